"""Small pictures for a page, out of the shards of an evaluation: WebP, of a size that many of them can be held in one file."""

import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from imagen.data.members import Entry, scan
from imagen.data.pictures import decode, size_of
from imagen.data.sources.source import BadPair
from imagen.evaluation.report.read import inside, one_line, regular, text

PIXELS = 1 << 26  # of a picture that is decoded
SHARD = 8_000_000_000  # bytes of a shard
QUALITY = (80, 62, 44, 28, 12)  # of WebP, tried in turn until a picture is small enough
BESIDE = 96  # pixels of the pictures of earlier stages, at most


@dataclass(frozen=True)
class Thumbnail:
    """`data`: WebP; `size`: (width, height) in pixels of the picture that it is of. `stages`: those of earlier stages, by their
    names."""

    data: bytes
    size: tuple[int, int]
    stages: dict[str, "Thumbnail"] = field(default_factory=dict)


def thumbnails(
    folder: Path,
    prompts: Mapping[str, str],
    side: int,
    most: int,
    stages: int,
    told: Callable[[], object],
) -> tuple[dict[str, Thumbnail], list[str]]:
    """{key: thumbnail} of the pictures in `folder`/pictures/*.tar that `prompts` {key: prompt} asks for, and a line for each
    shard or kind of picture that could not be read. `side`: pixels of the long side, smaller ones keep theirs; `most`: bytes of
    one; `stages`: of so many pictures those of the stages before as well. `told` is called once a picture."""
    found: dict[str, Thumbnail] = {}
    problems: list[str] = []
    bad: dict[str, list[str]] = {}
    place = folder / "pictures"
    if not place.is_dir():
        return {}, ["no folder pictures: there is nothing to show"] if prompts else []
    if not inside(place, folder):
        return {}, ["pictures: a link that leads out of the folder"]
    for shard in sorted(place.glob("*.tar")):
        try:
            regular(shard, place, SHARD)
            damage: list[str] = []
            for entry in scan(shard, damage.append, pictures=True):
                key = entry.sample["__key__"]
                if key not in prompts or key in found:
                    continue
                told()
                try:
                    found[key] = _thumbnail(entry, prompts[key], side, most, len(found) < stages)
                except BadPair as error:
                    bad.setdefault(error.kind, []).append(f"{shard.name}/{key}: {error.reason}")
            if damage:
                problems.append(f"pictures/{shard.name}: damaged: {damage[0]}")
        except (ValueError, OSError) as error:
            reason = (
                str(error)
                .removeprefix(f"{shard} ")
                .removeprefix(f"{shard.name}: ")
                .partition("; ")[0]
                .partition(":")[0]
            )
            problems.append(f"pictures/{shard.name}: {reason}")
    for kind, reasons in bad.items():
        count = f"{len(reasons):,} picture{'' if len(reasons) == 1 else 's'}"
        problems.append(f"{count} not shown ({kind}), the first: {reasons[0]}")
    if absent := len(prompts) - len(found) - sum(map(len, bad.values())):
        problems.append(f"{absent:,} of {len(prompts):,} pictures are in no shard")
    return found, list(map(one_line, problems))


def _thumbnail(entry: Entry, prompt: str, side: int, most: int, stages: bool) -> Thumbnail:
    sample = entry.whole()
    if "png" not in sample:
        raise BadPair("no picture", "no member .png")
    if "json" in sample:
        try:
            said = json.loads(sample["json"])["prompt"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise BadPair("damaged words", "its .json says no prompt") from None
        if text(said, 2000) != prompt:
            raise BadPair("of another prompt", "its .json has another prompt than per_prompt.jsonl")
    before = {}
    if stages:
        names = [m[1] for name in sample if (m := re.fullmatch(r"([\w.-]{1,60})\.png", name))]
        before = {name: _encoded(sample[f"{name}.png"], min(side, BESIDE), most) for name in names[:8]}
    small = _encoded(sample["png"], side, most)
    return Thumbnail(small.data, small.size, before)


def _encoded(data: bytes, side: int, most: int) -> Thumbnail:
    width, height = size_of(data)
    if width * height > PIXELS:
        raise BadPair("too large", f"{width} x {height} pixels")
    image = decode(data, side)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    small = b""
    for quality in QUALITY:
        file = io.BytesIO()
        image.save(file, "WEBP", quality=quality, method=4)
        small = file.getvalue()
        if len(small) <= most:
            break
    return Thumbnail(small, (width, height))
