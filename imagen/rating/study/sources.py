"""Pictures of a system, wherever they lie: what imagen-evaluate wrote, a folder with a .txt beside each picture, or a table."""

import json
import re
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from imagen.data.sources.folder import Folder
from imagen.data.sources.source import BadPair, plain
from imagen.data.sources.table import Table
from imagen.evaluation.outside import whole_lines
from imagen.files import printable

MOST = 1 << 28  # bytes of a picture file
KEY = re.compile(r"[\w.-]{1,100}")
SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Source:
    """`pictures`: prompt -> how the bytes of each of its picture files are read, in the source's own order, and
    `categories`: prompt -> its category, "" where none is known. `unread`: how many pictures could not be used. `release`:
    sha256 of the release that made them, as their evaluation says; "" where it does not."""

    pictures: dict[str, list[Callable[[], bytes]]]
    categories: dict[str, str]
    unread: int
    release: str = ""


def read_source(option: str, path: Path) -> Source:
    """The pictures of `path`; no picture is read yet. ValueError naming the `option`: no such folder, nothing in it."""
    try:
        if (path / "per_prompt.jsonl").is_file():
            found = _evaluation(path)
        elif path.is_dir() or path.is_file():
            found = _pairs(path)
        else:
            raise ValueError("no such folder or table")
    except (ValueError, OSError) as error:
        words = plain(" ".join(str(error).replace("source.path=", "").split()))
        raise ValueError(f"{option}={path}: {words}") from None
    if not found.pictures:
        raise ValueError(
            f"{option}={path}: no picture in it has a prompt; give .txt files beside them, or a table"
        )
    return found


def _evaluation(path: Path) -> Source:
    """The pictures of the last stage, by the table of an evaluation. What its files say is not trusted: members are found by
    their names within the tars, never on the disk."""
    members: dict[str, tuple[Path, int, int]] = {}
    for tar in sorted((path / "pictures").glob("*.tar")):
        try:
            with tarfile.open(tar) as opened:
                for member in opened:
                    key, _, kind = member.name.partition(".")
                    if kind == "png" and member.isfile() and member.size <= MOST:
                        members[key] = (tar, member.offset_data, member.size)
        except tarfile.TarError as error:
            raise ValueError(f"{tar.name} is damaged ({error}); evaluate again") from None
    pictures: dict[str, list[Callable[[], bytes]]] = {}
    categories: dict[str, str] = {}
    unread = 0
    for line in whole_lines(path / "per_prompt.jsonl"):
        try:
            row = json.loads(line)
            prompt, key, category = row["prompt"], row["key"], row.get("category") or ""
            if not (
                isinstance(prompt, str)
                and prompt.strip()
                and isinstance(category, str)
                and KEY.fullmatch(key)
            ):
                raise ValueError("no row of a table")
            place = members[key]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            unread += 1
            continue
        prompt = _text(prompt)
        pictures.setdefault(prompt, []).append(partial(_part, *place))
        categories.setdefault(prompt, printable(" ".join(category.split()), 120))
    return Source(pictures, categories, unread, _release(path))


def _release(path: Path) -> str:
    """What result.json says of it, if anything."""
    try:
        source = json.loads((path / "result.json").read_text("utf-8"))["source"]
        made = source["sha256"] if source["kind"] == "release" else ""
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return ""
    return made if isinstance(made, str) and SHA256.fullmatch(made) else ""


def _part(tar: Path, offset: int, size: int) -> bytes:
    with tar.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def _pairs(path: Path) -> Source:
    data: Folder | Table = Folder(path) if path.is_dir() else Table(path)
    pictures: dict[str, list[Callable[[], bytes]]] = {}
    unread = 0
    for split, total in data.splits.items():
        for row in range(total):
            try:
                captions = data.captions(split, row)
            except BadPair:
                unread += 1
                continue
            for caption in captions:
                pictures.setdefault(_text(caption), []).append(partial(_image, data, split, row))
    return Source(pictures, dict.fromkeys(pictures, ""), unread)


def _image(data: Folder | Table, split: str, row: int) -> bytes:
    return data.pair(split, row).image


def _text(prompt: str) -> str:
    """As two systems' files of one prompt both have it: white space aside."""
    return printable(" ".join(prompt.split()), 10_000)
