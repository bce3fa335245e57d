"""Shards on disk: WebDataset tars, of which any pair can be read without reading the rest.

FOLDER/train-000000.tar          KEY.png or KEY.jpg, KEY.txt (the first caption), KEY.json ({"captions": all, ...})
       index/train-000000.json   where each pair lies in the tar, and what was left out (imagen.data.index)
       index.json                every split with its shards; written last
       settings.json, .lock      what the shards are of, and who writes there (imagen.data.prepare.claim)
       text/ENCODER/...          embeddings of the captions (imagen.text.cache)

Tars of others that are used where they lie have all this but the tars themselves. Such a folder, or tars alone, may also
lie elsewhere, at an address: of what is used there are copies here (imagen.data.remote).
"""

import glob
import io
import itertools
import json
import logging
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import braceexpand
from webdataset.tariterators import group_by_keys, tar_file_expander

from imagen.data.address import is_address
from imagen.data.index import AGAIN, Places, digest, path_of, places, read_digests, read_places, splits_of
from imagen.data.members import picture_of, plain_pair, scan
from imagen.data.remote import Cache, Lost, Remote, names_tars, place_of
from imagen.data.sources.source import BadPair
from imagen.progress import bar

log = logging.getLogger(__name__)
MOST = 1_000_000  # shards that one pattern may name


class Shard:
    """A tar of `samples` pairs. `folder`, `name`: what its index and its embeddings lie in, and are called after.

    `path`, `folder`, `index` are paths, or `Remote`s, which open like them. `version`: what tells a remote shard from
    another one of its name."""

    def __init__(
        self, path: Any, folder: Any, name: str, samples: int, index: Any = None, dropped: tuple[int, ...] = (),
        version: str = "",
    ) -> None:  # fmt: skip
        self.path, self.folder, self.name, self.samples, self.version = path, folder, name, samples, version
        self._index, self._dropped = index, dropped
        self._scanned: Places | None = None

    @classmethod
    def scanned(cls, path: Any) -> "Shard":
        """A tar without an index, whose headers are read now. What is damaged in it is told in the log. ValueError when
        it is no tar; Lost when it is remote and cannot be had."""
        entries = list(scan(path, lambda words: log.warning("%s: %s", path, words)))
        if isinstance(path, Remote):  # what was scanned is what must come if it is fetched again
            path = path.at(path.stat().st_size)
        shard = cls(path, path.parent, path.name, len(entries))
        shard._scanned = places(
            (entry.start for entry in entries),
            (entry.end for entry in entries),
            (len(entry.captions) for entry in entries),
        )
        return shard

    @property
    def places(self) -> Places:
        """Where its pairs lie. ValueError naming its index when that is damaged; BadPair when it is remote and cannot be
        had."""
        if self._scanned is not None:
            return self._scanned
        assert self._index
        if isinstance(self._index, Remote):
            try:
                found = self._index.read(self._read_places)
            except Lost as error:
                raise _missing(error) from error
        else:
            found = self._read_places(self._index)
        if len(found) != self.samples:
            raise ValueError(
                f"{self._index} is damaged ({len(found)} pairs, {self.samples} in index.json); {AGAIN}"
            )
        return found

    def _read_places(self, index: Path) -> Places:
        return read_places(index, self._dropped)

    def first_caption(self, row: int) -> int:
        """The number of pair `row`'s first caption among all that the tar has."""
        return int(self.places.first_caption[row])

    def read(self, row: int) -> dict[str, Any]:
        """Pair `row` as WebDataset has it: {"__key__": ..., "png": bytes, "txt": bytes, "json": bytes}.
        BadPair when the tar is broken there, gone, or another one than was indexed.

        A tar that nothing was done to since it was indexed has a change time before that. Of another, which may be a mere
        copy of the folder, each picture is held against its digest: a hash of all of it would take a start hours."""
        places = self.places
        start, end = int(places.starts[row]), int(places.ends[row])
        try:
            with self.path.open("rb", buffering=0) as file:
                younger = places.since is not None and os.fstat(file.fileno()).st_ctime_ns >= places.since
                if (size := file.seek(0, 2)) < end:
                    raise BadPair("broken tar", f"{self.path} has {size} bytes, and the pair ends at {end}")
                file.seek(start)
                data = file.read(end - start)
        except Lost as error:
            raise _missing(error) from error
        except OSError as error:
            raise BadPair("missing shard", f"{self.path}: {error.strerror}") from error
        sample = self._sample(data, start)
        if younger and isinstance(self.path, Path):
            held = read_digests(self._index, self._dropped, places.since or 0)[row]
            if digest(picture_of(sample)) != held:
                raise BadPair(
                    "another picture",
                    f"{self.path} at byte {start}: not the one that was indexed: run imagen-prepare again",
                )
        return sample

    def _sample(self, data: bytes, start: int) -> dict[str, Any]:
        if (sample := plain_pair(data)) is not None:
            return sample
        try:
            sample = next(
                group_by_keys(tar_file_expander([{"url": str(self.path), "stream": io.BytesIO(data)}]))
            )
            del sample["__url__"]
            return sample
        except (
            tarfile.TarError,
            StopIteration,
            ValueError,
        ) as error:  # ValueError: a member that is there twice
            # the library puts more than words into its errors
            reason = str(next(iter(error.args), "no pair")).partition(": duplicate file name")
            reason = f"{reason[0]} is there twice" if reason[1] else reason[0]
            raise BadPair("broken tar", f"{self.path} at byte {start}: {reason}") from error


def _missing(error: Lost) -> Exception:
    """What is not there is a bad pair's shard; what cannot be reached just now is no fault of the data."""
    if error.gone:
        return BadPair("missing shard", str(error))
    return ValueError(f"{error}: the same command goes on when it can be reached")


def split_of(where: str | Path, split: str, option: str, cache: Cache | None = None) -> list[Shard]:
    """The shards of a split, in order; those without a pair are left out.

    `where`: a folder that imagen-prepare wrote, or a pattern of tars ("F/train-*.tar",
    "F/{000000..000009}.tar"), which is a split in itself; or the address of either, read by way of `cache`. Remote tars
    without a folder's index are fetched now. ValueError, naming `option`, when there are none or one is missing or cut
    short, or cannot be fetched now."""
    cache = cache or Cache()
    if folder := folder_at(where, cache, option):
        shards = _indexed(folder, split, option, cache)
    elif is_address(where):
        shards = _fetched(str(where), option, cache)
    else:
        shards = map(_found, _matching(str(where), option))
    shards = [shard for shard in shards if shard.samples]
    if not shards:
        raise ValueError(
            f"{option}={where} matches no shards: give a folder written by imagen-prepare, or a pattern such "
            "as FOLDER/train-*.tar"
        )
    return shards


def folder_at(where: str | Path, cache: Cache, option: str) -> Path | Remote | None:
    """The folder of shards that `where` is, if it is one and no pattern of tars. ValueError naming `option` when it is an
    address that cannot be read from."""
    if is_address(where):
        cache.check(str(where), option)
        return None if names_tars(str(where)) else Remote(str(where), cache)
    folder = os.path.isdir(where)  # which, unlike a Path, takes a pattern longer than names may be
    return Path(where) if folder else None


def shard_of(folder: Path | Remote, entry: dict[str, Any], cache: Cache | None = None) -> Shard:
    """A shard as index.json lists it."""
    name, dropped = entry["name"], tuple(entry.get("dropped", ()))
    path: Any = place_of(entry["url"], cache) if "url" in entry else folder / name
    index, version = path_of(folder, name), ""
    if isinstance(folder, Remote):  # where another folder may have been put since
        version = digest(json.dumps(entry, sort_keys=True).encode())
        index = index.at(None, version)
    if isinstance(path, Remote):
        path = path.at(entry["bytes"], "" if "url" in entry else version)
    return Shard(path, folder, name, entry["samples"], index, dropped, version)


def expanded(pattern: str, option: str) -> list[str]:
    """A pattern with its braces written out; ValueError naming `option` when it is none, or of too many names."""
    ranges = re.findall(r"{(-?\d+)\.\.(-?\d+)", pattern)
    # asked first, as the library would write a long range down before it gives the first of its names
    many = any(len(a + b) > 40 or abs(int(a) - int(b)) > MOST for a, b in ranges)
    try:
        parts = [] if many else list(itertools.islice(braceexpand.braceexpand(pattern), MOST + 1))
    except ValueError as error:
        raise ValueError(f"{option}={pattern} is no pattern: {error}") from None
    if many or len(parts) > MOST:
        raise ValueError(f"{option}={pattern} names more than {MOST} shards: give fewer, or * in their place")
    return parts


def addresses(pattern: str, option: str) -> list[str]:
    """The tars that a pattern of addresses names. ValueError naming `option` when it is none."""
    if not pattern.startswith("pipe:") and "*" in pattern:
        raise ValueError(
            f"{option}={pattern}: servers do not list what matches *: give {{00000..00009}} in its place"
        )
    return expanded(pattern, option)


def _fetched(pattern: str, option: str, cache: Cache) -> Iterator[Shard]:
    for url in bar(addresses(pattern, option), desc="remote tars", unit="tar"):
        try:
            yield Shard.scanned(Remote(url, cache))
        except Lost as error:
            raise ValueError(f"{option}={pattern}: {error}: leave it out, or try again later") from None


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
    for path in (Path(path) for part in expanded(pattern, option) for path in sorted(glob.glob(part))):
        if not path.is_file():
            raise ValueError(f"{option}={pattern}: {path} is no file: give a pattern of tars only")
        yield path


def _indexed(folder: Path | Remote, split: str, option: str, cache: Cache) -> Iterator[Shard]:
    splits = splits_of(folder, option)
    if split not in splits:
        raise ValueError(f"{option}={folder} has no split {split!r}; it has {', '.join(splits)}")
    for entry in splits[split]["shards"]:
        shard = shard_of(folder, entry, cache)
        _refuse_what_leads_on(folder, shard, option)
        if isinstance(shard.path, Remote):
            cache.check(shard.path.url, option)
        size = shard.path.stat().st_size if isinstance(shard.path, Path) and shard.path.is_file() else 0
        if isinstance(shard.path, Path) and size != entry["bytes"]:
            there = f"has {size} bytes, {entry['bytes']} in index.json" if shard.path.exists() else "is gone"
            remedy = (
                f"put it back, or prepare into another folder: it lies in {shard.path.parent}"
                if "url" in entry
                else "copy it again, or run the same imagen-prepare again, which makes it again"
            )
            raise ValueError(f"{option}={folder}: {shard.path.name} {there}: {remedy}")
        if isinstance(folder, Path) and not path_of(folder, shard.name).is_file():
            raise ValueError(
                f"{option}={folder}: {path_of(folder, shard.name)} is missing: run imagen-prepare again"
            )
        yield shard


def _refuse_what_leads_on(folder: Path | Remote, shard: Shard, option: str) -> None:
    """ValueError when an index that came from elsewhere leads to a file of this machine, or to a command."""
    if isinstance(folder, Remote) and (isinstance(shard.path, Path) or shard.path.url.startswith("pipe:")):
        raise ValueError(
            f"{option}={folder}: its index.json leads to {shard.path}, which is no address: put the tars at addresses, and "
            "prepare from those"
        )
