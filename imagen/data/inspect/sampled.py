"""The pairs of a data set, for looking at: all by their index, and a sample that is read and decoded as training does."""

import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from imagen.data.index import digest, path_of, read_shard_index, splits_of
from imagen.data.members import captions_of, half_character, picture_of, said_of
from imagen.data.pictures import EXTENSIONS, decode, fit, size_of
from imagen.data.remote import Cache
from imagen.data.shards import Shard, split_of
from imagen.data.sources.source import BadPair
from imagen.files import printable
from imagen.progress import bar

THUMB = 8  # pixels a side of what pictures are compared by
FLAT = 3.0  # standard deviation, of 255, below which a picture is of one colour
PARTS = ("read", "decode", "resize")


@dataclass
class Seen:
    """A pair that was read. `size`: (width, height); `bytes`: of the picture's file; `thumb`: (8, 8, 3) float32 in
    [0, 255]; `flat`: of one colour."""

    shard: int
    row: int
    key: str
    size: tuple[int, int]
    kind: str
    bytes: int
    digest: str
    thumb: np.ndarray
    flat: bool
    captions: tuple[str, ...]


@dataclass
class Split:
    """A split, and what was found in it. `error`: why it cannot be opened. Of all pairs, by the index, if `indexed`, or
    else of those that were read: `sizes` (n, 2) width and height, `counts` (n,) captions, `digests` (n,) uint64, the
    first half of each. `bad`: kind -> the pairs, as words."""

    name: str
    shards: list[Shard]
    error: str | None = None
    bytes: int = 0
    captions: int = 0
    indexed: bool = False
    sizes: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    digests: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    seen: list[Seen] = field(default_factory=list)
    bad: dict[str, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))

    @property
    def pairs(self) -> int:
        return sum(shard.samples for shard in self.shards)

    @property
    def read(self) -> int:
        return len(self.seen) + sum(map(len, self.bad.values()))

    def name_of(self, number: int) -> str:
        """Shard and key of pair `number` of `digests`."""
        if self.indexed:
            index, row = _placed(np.cumsum([shard.samples for shard in self.shards]), number)
        else:
            index, row = self.seen[number].shard, self.seen[number].row
        try:
            key = self.shards[index].read(row)["__key__"]
        except BadPair:
            key = f"pair {row}"
        return printable(f"{self.shards[index].name} {key}")


def opened(where: str, option: str, cache: Cache | None = None) -> list[Split]:
    """The splits of a folder, or the one that a pattern of tars is, with what their indexes say; what lies at addresses
    by way of `cache`. Names are plain text, as all that is told of data. ValueError, naming
    `option`, when there are none; what is wrong with one of several is its `error`."""
    if not os.path.isdir(where):
        splits = [Split("train", split_of(where, "train", option, cache))]
    else:
        splits = []
        for name, entry in splits_of(Path(where), option).items():
            try:
                shards = split_of(where, name, option, cache) if entry["samples"] else []
                splits.append(Split(printable(name), shards))
            except ValueError as error:  # one split's: the others can be looked at
                splits.append(Split(printable(name), [], printable(error, 1000)))
    for split in splits:
        _by_index(split)
    return splits


def read(splits: list[Split], resolution: int, samples: int, seed: int) -> None:
    """Reads `samples` pairs, drawn by the seed, and decodes them for `resolution`."""
    shares = _shares(splits, samples)
    with bar(total=sum(shares), desc="pairs", unit="pair") as progress:
        for split, count in zip(splits, shares):
            for number, row in _drawn(split, count, seed):
                _look(split, number, row, resolution)
                progress.update()
    for split in splits:
        if not split.indexed:
            _by_sample(split)


def _by_index(split: Split) -> None:
    """Sizes, digests and counts of captions of all pairs of a split whose shards all have an index; bytes of all."""
    columns: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    kept: list[Shard] = []
    for shard in bar(split.shards, desc=f"index of {split.name}", unit="shard"):
        try:
            places = shard.places
            split.bytes += int((places.ends - places.starts).sum())
            path = path_of(shard.folder, shard.name)
            if isinstance(path, Path) and path.exists():
                columns.append(_columns(path, places.starts))
                split.captions += int(columns[-1][1].sum())
            else:
                split.captions += int(places.first_caption[-1]) + _captions_of_last(shard)
            kept.append(shard)
        except (ValueError, BadPair) as error:
            split.error = split.error or printable(error, 1000)
    split.shards = kept
    split.indexed = len(columns) == len(kept)
    if split.indexed and kept:
        split.sizes, split.counts, split.digests = (np.concatenate(parts) for parts in zip(*columns))


def _columns(path: Path, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes, counts and digests of the pairs that begin at `starts`."""
    pairs = read_shard_index(path)["pairs"]
    # pairs that prepare dropped are in the shard's index, and nothing leads to them
    used = np.isin(np.array(pairs["starts"], np.int64), starts)
    try:
        sizes = np.array(pairs["sizes"], np.int64).reshape(-1, 2)
        digests = np.array([int(d[:16], 16) for d in pairs["digests"]], np.uint64)
        if (sizes < 1).any():
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"{path} is damaged (sizes or digests are none); delete it and prepare again"
        ) from None
    return sizes[used], np.array(pairs["captions"], np.int64)[used], digests[used]


def _captions_of_last(shard: Shard) -> int:
    """Of a tar without an index here: its places say with which caption each pair begins, and not where the last ends."""
    if not isinstance(shard.folder, Path):
        return 1  # at least: to know, a whole tar would be fetched
    try:
        return len(captions_of(shard.read(shard.samples - 1)))
    except BadPair:
        return 0


def _by_sample(split: Split) -> None:
    """The same of the pairs that were read."""
    split.sizes = np.array([seen.size for seen in split.seen], np.int64).reshape(-1, 2)
    split.counts = np.array([len(seen.captions) for seen in split.seen], np.int64)
    split.digests = np.array([int(seen.digest[:16], 16) for seen in split.seen], np.uint64)


def _shares(splits: list[Split], samples: int) -> list[int]:
    """How many pairs of each split are read: by their sizes, but each at least a quarter of an equal share."""
    least = [min(split.pairs, samples // (4 * len(splits))) for split in splits]
    rest, left = samples - sum(least), sum(split.pairs for split in splits) - sum(least)
    more = [rest * (split.pairs - n) // max(left, 1) for split, n in zip(splits, least)]
    shares = [min(split.pairs, n + m) for split, n, m in zip(splits, least, more)]
    for i, split in enumerate(splits):  # what rounding down left over
        shares[i] = min(split.pairs, shares[i] + samples - sum(shares))
    return shares


def _drawn(split: Split, count: int, seed: int) -> Iterator[tuple[int, int]]:
    """`count` pairs (shard, row), drawn by the seed, in the order of the shards: each shard's index is read once."""
    ends = np.cumsum([shard.samples for shard in split.shards])
    for position in sorted(random.Random(f"{seed} {split.name}").sample(range(split.pairs), count)):
        yield _placed(ends, position)


def _placed(ends: np.ndarray, position: int) -> tuple[int, int]:
    """The shard and row of a pair of all; `ends`: after how many pairs each shard ends."""
    number = int(np.searchsorted(ends, position, side="right"))
    return number, position - int(ends[number - 1] if number else 0)


def _look(split: Split, number: int, row: int, resolution: int) -> None:
    """Reads a pair as training does, each part timed, and notes what it is."""
    shard = split.shards[number]
    _ = shard.places  # an index is parsed once for many pairs: not this one's time
    seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)

    def timed(part: str, work: Callable, *given: Any) -> Any:
        start = time.perf_counter()
        done = work(*given)
        seconds[part] = time.perf_counter() - start
        return done

    key = f"pair {row}"
    try:
        sample = timed("read", shard.read, row)
        key = sample["__key__"]
        data = picture_of(sample)
        image = timed("decode", decode, data, resolution)
        picture = timed("resize", fit, image, resolution)
        size, captions = size_of(data), said_of(sample)
        if not all(caption.strip() for caption in captions):
            raise BadPair("empty caption", "one of its captions is blank")
        if any(map(half_character, captions)):
            raise BadPair("unreadable text", "half a character")
    except BadPair as bad:
        reason = bad.reason.removeprefix(f"{key}: ")
        split.bad.setdefault(bad.kind, []).append(printable(f"{shard.name} {key}: {reason}"))
        return
    for part in PARTS:
        split.seconds[part] += seconds[part]
    kind = next(extension for extension in EXTENSIONS if extension in sample)
    thumb = fit(image, THUMB).astype(np.float32)
    flat = bool(picture.reshape(-1, 3).std(0).max() < FLAT)
    kind = {"jpeg": "jpg", "tiff": "tif"}.get(kind, kind)
    split.seen.append(Seen(number, row, key, size, kind, len(data), digest(data), thumb, flat, captions))
