"""Shards on disk: WebDataset tars, and what must be known of a tar to read any of its pairs without reading
the rest.

FOLDER/train-000000.tar          KEY.png or KEY.jpg, KEY.txt (the first caption), KEY.json ({"captions": all, ...})
       index/train-000000.json   where each pair lies in the tar, how many captions it has, what was left out
       index.json                every split with its shards: pairs, captions, bytes, sha256; written last
       settings.json, .lock      what the shards are of, and who writes there (imagen.data.claim)
       text/ENCODER/...          embeddings of the captions (imagen.text.cache)
"""

import glob
import io
import itertools
import json
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import braceexpand
import numpy as np
from webdataset.tariterators import base_plus_ext, group_by_keys, tar_file_expander

from imagen.data.pictures import EXTENSIONS
from imagen.data.sources.source import BadPair
from imagen.files import read_json

WORDS = ("txt", "json")
MOST = 1_000_000  # shards that one pattern may name
AGAIN = "delete it and prepare again"


@dataclass(frozen=True)
class Entry:
    """A pair of a tar: its members lie in the bytes [start, end) of the file."""

    key: str
    start: int
    end: int
    captions: tuple[str, ...]


class Shard:
    """A tar of `samples` pairs, read by the index that lies beside it, or is made by reading the tar's headers.

    `bounds` (samples + 1,) int64: pair i lies in the bytes bounds[i] to bounds[i + 1] of the tar. `first_caption`
    (samples + 1,) int64: pair i has the shard's captions first_caption[i] to first_caption[i + 1].

    ValueError naming the file when it is no tar, or its index is not one."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        beside = path.parent / "index" / f"{path.stem}.json"
        if beside.exists():
            index = read_json(beside, AGAIN)
            self.bounds, self.first_caption = np.array(0), np.array(0)
            try:
                self.bounds, self.first_caption = np.array(index["bounds"]), np.array(index["first_caption"])
                fit = _are_bounds(self.bounds, self.first_caption)
            except (KeyError, ValueError, OverflowError):
                fit = False
            if not fit:
                raise ValueError(f"{beside} is damaged (its bounds are none); {AGAIN}")
            if (size := path.stat().st_size) < (end := int(self.bounds[-1])):
                raise ValueError(f"{path} has {size} bytes, but its pairs end at {end}: copy it again")
        else:
            self.bounds, self.first_caption = bounds_of(list(scan(path)))
        self.samples = len(self.bounds) - 1

    def read(self, row: int) -> dict[str, Any]:
        """Pair `row` as WebDataset has it: {"__key__": ..., "png": bytes, "txt": bytes, "json": bytes}.
        BadPair when the tar is broken there."""
        start, end = int(self.bounds[row]), int(self.bounds[row + 1])
        with self.path.open("rb", buffering=0) as file:
            file.seek(start)
            data = file.read(end - start)
        try:
            return next(
                group_by_keys(tar_file_expander([{"url": str(self.path), "stream": io.BytesIO(data)}]))
            )
        except (
            tarfile.TarError,
            StopIteration,
            ValueError,
        ) as error:  # ValueError: a member that is there twice
            # the library puts more than words into its errors
            reason = next(iter(error.args), "no pair")
            raise BadPair("broken tar", f"{self.path} at byte {start}: {reason}") from error


def _are_bounds(bounds: np.ndarray, first_caption: np.ndarray) -> bool:
    return (
        bounds.ndim == 1
        and bounds.shape == first_caption.shape
        and bounds.dtype.kind == first_caption.dtype.kind == "i"
        and bounds[0] >= 0
        and bool((np.diff(bounds) > 0).all())
        and first_caption[0] == 0
        and bool((np.diff(first_caption) >= 0).all())
    )


def split_of(where: str | Path, split: str, option: str) -> list[Shard]:
    """The shards of a split, in order; those without a pair are left out.

    `where`: a folder that imagen-prepare wrote, or a pattern of tars ("F/train-*.tar",
    "F/{000000..000009}.tar"), which is a split in itself. ValueError, naming `option`, when there are none or
    one is missing or cut short."""
    folder = os.path.isdir(where)  # which, unlike a Path, takes a pattern longer than names may be
    shards = _indexed(Path(where), split, option) if folder else map(Shard, _matching(str(where), option))
    shards = [shard for shard in shards if shard.samples]
    if not shards:
        raise ValueError(
            f"{option}={where} matches no shards: give a folder written by imagen-prepare, or a pattern such "
            "as FOLDER/train-*.tar"
        )
    return shards


def _matching(pattern: str, option: str) -> Iterator[Path]:
    ranges = re.findall(r"{(-?\d+)\.\.(-?\d+)", pattern)
    # asked first, as the library would write a long range down before it gives the first of its names
    many = any(len(a + b) > 40 or abs(int(a) - int(b)) > MOST for a, b in ranges)
    try:
        parts = [] if many else list(itertools.islice(braceexpand.braceexpand(pattern), MOST + 1))
    except ValueError as error:
        raise ValueError(f"{option}={pattern} is no pattern: {error}") from None
    if many or len(parts) > MOST:
        raise ValueError(f"{option}={pattern} names more than {MOST} shards: give fewer, or * in their place")
    for path in (Path(path) for part in parts for path in sorted(glob.glob(part))):
        if not path.is_file():
            raise ValueError(f"{option}={pattern}: {path} is no file: give a pattern of tars only")
        yield path


def read_index(folder: Path) -> dict[str, Any]:
    """index.json of a folder of shards; ValueError naming the file when it is not what was written there."""
    path = folder / "index.json"
    index, numbers = read_json(path, AGAIN), ("samples", "captions", "bytes")
    try:
        parts = [part for split in index["splits"].values() for part in (split, *split["shards"])]
        fit = all(type(part[k]) is int and part[k] >= 0 for part in parts for k in numbers) and all(
            Path(shard["name"]).name == shard["name"]
            for split in index["splits"].values()
            for shard in split["shards"]
        )
        fit = fit and isinstance(index["skipped"], dict) and isinstance(index.get("examples", {}), dict)
    except (KeyError, TypeError, AttributeError):
        fit = False
    if not fit:
        raise ValueError(f"{path} is damaged (it does not list splits and their shards); {AGAIN}")
    return index


def splits_of(folder: Path, option: str) -> dict[str, Any]:
    """The splits that imagen-prepare wrote into a folder, as its index has them; ValueError, naming `option`,
    when it did not get so far."""
    if not (folder / "index.json").exists():
        raise ValueError(
            f"{option}={folder} has no index.json: write it with imagen-prepare out={folder} (again, if that "
            "was interrupted: it goes on), or give a pattern such as FOLDER/train-*.tar"
        )
    return read_index(folder)["splits"]


def _indexed(folder: Path, split: str, option: str) -> Iterator[Shard]:
    splits = splits_of(folder, option)
    if split not in splits:
        raise ValueError(f"{option}={folder} has no split {split!r}; it has {', '.join(splits)}")
    for entry in splits[split]["shards"]:
        path = folder / entry["name"]
        size = path.stat().st_size if path.is_file() else 0
        if size != entry["bytes"]:
            raise ValueError(
                f"{option}={folder}: {path.name} has {size} bytes, {entry['bytes']} in index.json: copy it "
                "again, or run the same imagen-prepare again, which makes it again"
            )
        shard = Shard(path)
        if shard.samples != entry["samples"]:
            raise ValueError(
                f"{folder / 'index' / path.stem}.json is damaged ({shard.samples} pairs, {entry['samples']} in "
                f"index.json); {AGAIN}"
            )
        yield shard


def scan(path: Path) -> Iterator[Entry]:
    """The pairs of a tar, in order, by its headers; pictures are not read. The members of a pair follow one
    another. ValueError when it is no tar."""
    key, start, end, words = "", 0, 0, {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                name, extension = base_plus_ext(member.name)
                if not member.isreg() or name is None:
                    continue
                if name != key:
                    if key:
                        yield Entry(key, start, member.offset, captions_of(words))
                    key, start, words = name, member.offset, {}
                end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                if extension in WORDS and (file := tar.extractfile(member)):
                    words[extension] = file.read()
            if key:
                yield Entry(key, start, end, captions_of(words))
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{path} is no whole tar ({error}): give tars of pictures and captions that are not compressed, or "
            "copy it again"
        ) from None


def bounds_of(entries: list[Entry]) -> tuple[np.ndarray, np.ndarray]:
    """(n + 1,) byte bounds and (n + 1,) caption numbers of a tar's n pairs: see `Shard`."""
    bounds = [entry.start for entry in entries] + [
        entry.end for entry in entries[-1:] or [Entry("", 0, 0, ())]
    ]
    return np.array(bounds), np.cumsum([0, *(len(entry.captions) for entry in entries)])


def captions_of(sample: dict[str, Any]) -> tuple[str, ...]:
    """All captions of a pair: "captions" of its json when there is such a list, else its txt, else "caption"
    of its json. Blank ones count too, as embeddings are found by their number. () when it has none or they
    are not text."""
    try:
        fields = json.loads(sample.get("json") or b"{}")
        if isinstance(fields, dict) and isinstance(fields.get("captions"), list):
            return tuple(map(str, fields["captions"]))
        if "txt" in sample:
            return (sample["txt"].decode(),)
        return (str(fields["caption"]),) if isinstance(fields, dict) and fields.get("caption") else ()
    except (ValueError, RecursionError):  # not JSON, not UTF-8, brackets without end
        return ()


def picture_of(sample: dict[str, Any]) -> bytes:
    """The bytes of a pair's picture; BadPair when it has none."""
    for extension in EXTENSIONS:
        if extension in sample:
            return sample[extension]
    raise BadPair(
        "missing image", f"{sample['__key__']} has only {', '.join(k for k in sample if k[0] != '_')}"
    )
