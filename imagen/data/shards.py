"""Shards on disk: WebDataset tars, of which any pair can be read without reading the rest.

FOLDER/train-000000.tar          KEY.png or KEY.jpg, KEY.txt (the first caption), KEY.json ({"captions": all, ...})
       index/train-000000.json   where each pair lies in the tar, and what was left out (imagen.data.index)
       index.json                every split with its shards; written last
       settings.json, .lock      what the shards are of, and who writes there (imagen.data.claim)
       text/ENCODER/...          embeddings of the captions (imagen.text.cache)

Tars of others that are used where they lie have all this but the tars themselves.
"""

import glob
import io
import itertools
import logging
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import braceexpand
from webdataset.tariterators import group_by_keys, tar_file_expander

from imagen.data.index import AGAIN, Places, path_of, places, read_places, splits_of
from imagen.data.members import scan
from imagen.data.sources.source import BadPair

log = logging.getLogger(__name__)
MOST = 1_000_000  # shards that one pattern may name


class Shard:
    """A tar of `samples` pairs. `folder`, `name`: what its index and its embeddings lie in, and are called after."""

    def __init__(
        self, path: Path, folder: Path, name: str, samples: int, index: Path | None = None,
        dropped: tuple[int, ...] = (),
    ) -> None:  # fmt: skip
        self.path, self.folder, self.name, self.samples = path, folder, name, samples
        self._index, self._dropped = index, dropped
        self._scanned: Places | None = None

    @classmethod
    def scanned(cls, path: Path) -> "Shard":
        """A tar without an index, whose headers are read now. What is damaged in it is told in the log. ValueError when
        it is no tar."""
        entries = list(scan(path, lambda words: log.warning("%s: %s", path, words)))
        shard = cls(path, path.parent, path.name, len(entries))
        shard._scanned = places(
            (entry.start for entry in entries),
            (entry.end for entry in entries),
            (len(entry.captions) for entry in entries),
        )
        return shard

    @property
    def places(self) -> Places:
        """Where its pairs lie. ValueError naming its index when that is damaged."""
        if self._scanned is not None:
            return self._scanned
        assert self._index
        found = read_places(self._index, self._dropped)
        if len(found) != self.samples:
            raise ValueError(
                f"{self._index} is damaged ({len(found)} pairs, {self.samples} in index.json); {AGAIN}"
            )
        return found

    def first_caption(self, row: int) -> int:
        """The number of pair `row`'s first caption among all that the tar has."""
        return int(self.places.first_caption[row])

    def read(self, row: int) -> dict[str, Any]:
        """Pair `row` as WebDataset has it: {"__key__": ..., "png": bytes, "txt": bytes, "json": bytes}.
        BadPair when the tar is broken there, or gone."""
        start, end = int(self.places.starts[row]), int(self.places.ends[row])
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(start)
                data = file.read(end - start)
        except OSError as error:
            raise BadPair("missing shard", f"{self.path}: {error.strerror}") from error
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


def split_of(where: str | Path, split: str, option: str) -> list[Shard]:
    """The shards of a split, in order; those without a pair are left out.

    `where`: a folder that imagen-prepare wrote, or a pattern of tars ("F/train-*.tar",
    "F/{000000..000009}.tar"), which is a split in itself. ValueError, naming `option`, when there are none or
    one is missing or cut short."""
    folder = os.path.isdir(where)  # which, unlike a Path, takes a pattern longer than names may be
    shards = _indexed(Path(where), split, option) if folder else map(_found, _matching(str(where), option))
    shards = [shard for shard in shards if shard.samples]
    if not shards:
        raise ValueError(
            f"{option}={where} matches no shards: give a folder written by imagen-prepare, or a pattern such "
            "as FOLDER/train-*.tar"
        )
    return shards


def shard_of(folder: Path, entry: dict[str, Any]) -> Shard:
    """A shard as index.json lists it."""
    path = Path(entry["url"]) if "url" in entry else folder / entry["name"]
    dropped = tuple(entry.get("dropped", ()))
    return Shard(path, folder, entry["name"], entry["samples"], path_of(folder, entry["name"]), dropped)


def _found(path: Path) -> Shard:
    """A tar that a pattern names: by the index beside it, if it has one."""
    beside = path_of(path.parent, path.name)
    if not beside.exists():
        return Shard.scanned(path)
    found = read_places(beside, ())
    end, size = (int(found.ends[-1]) if len(found) else 0), path.stat().st_size
    if size < end:
        raise ValueError(f"{path} has {size} bytes, but its pairs end at {end}: copy it again")
    return Shard(path, path.parent, path.name, len(found), beside)


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


def _indexed(folder: Path, split: str, option: str) -> Iterator[Shard]:
    splits = splits_of(folder, option)
    if split not in splits:
        raise ValueError(f"{option}={folder} has no split {split!r}; it has {', '.join(splits)}")
    for entry in splits[split]["shards"]:
        shard = shard_of(folder, entry)
        size = shard.path.stat().st_size if shard.path.is_file() else 0
        if size != entry["bytes"]:
            raise ValueError(
                f"{option}={folder}: {shard.path.name} has {size} bytes, {entry['bytes']} in index.json: copy it "
                "again, or run the same imagen-prepare again, which makes it again"
            )
        if not path_of(folder, shard.name).is_file():
            raise ValueError(
                f"{option}={folder}: {path_of(folder, shard.name)} is missing: run imagen-prepare again"
            )
        yield shard
