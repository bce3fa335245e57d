"""A source -> a folder of shards, by several processes; killed anywhere, the same call again goes on."""

import itertools
import logging
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from imagen.data.address import is_address
from imagen.data.index import Index, path_of, read_index, read_shard_index, write_index
from imagen.data.prepare.claim import alone, claim
from imagen.data.prepare.disk import room
from imagen.data.prepare.filters import Filters
from imagen.data.prepare.left_out import DUPLICATE, NAMED, LeftOut, TooManyBad, refuse_bad
from imagen.data.prepare.processes import Tick, each
from imagen.data.prepare.writing import index_tar, sha256_of, write_shard
from imagen.data.remote import Cache, Lost, place_of
from imagen.data.shards import Shard
from imagen.data.sources.files import told
from imagen.data.sources.source import BadPair, Source, Tars
from imagen.files import printable, size_in_words
from imagen.progress import bar

log = logging.getLogger(__name__)
SPLIT = re.compile(r"\w{1,64}", re.ASCII)  # it becomes part of files' names
SOON = 5.0  # seconds that looking at a finished folder takes without a bar
TOLD = 300  # characters of a text of the data, to people
FORMAT = 2  # of the index; folders of another one are refused


@dataclass(frozen=True)
class Job:
    """A shard to be made: rows of a source, or a tar that lies elsewhere."""

    split: str
    name: str
    rows: range
    tar: str | None = None

    @property
    def where(self) -> str:
        """Where its rows are from, for people."""
        return self.tar.rpartition("/")[2] if self.tar else self.split


def prepare(
    source: Source | Tars,
    folder: str | Path,
    shard_size: int = 2000,
    max_bad: float = 0.1,
    filters: Filters | None = None,
    duplicates: bool = False,
    workers: int = 1,
    cache: Cache | None = None,
) -> Index:
    """Writes every split of `source` as shards of `shard_size` rows each, or indexes its tars (imagen.data.shards says
    what the folder holds), with `workers` processes; returns the index, at once when the folder is finished. Tars at
    addresses are read by way of `cache`.

    The same source gives the same bytes, by however many processes; a shard whose tar is gone or another one is
    made again. Pairs that `filters` do not want, that cannot be used, or, unless `duplicates`, whose picture equals an
    earlier one of the same split byte for byte, are left out and counted. ValueError once the unusable ones are more
    than `max_bad` of all rows, when none is left, when `folder` holds anything else, named by the key that differs,
    when another process writes there, or when the disk is full: what is written stays."""
    if not shard_size >= 1:
        raise ValueError(f"shard_size={shard_size}: give at least 1")
    if not 0 <= max_bad <= 1:
        raise ValueError(f"max_bad={max_bad}: a share lies between 0 and 1")
    if not workers >= 1:
        raise ValueError(f"workers={workers}: give at least 1")
    for split in source.splits:
        if not SPLIT.fullmatch(split):
            raise ValueError(
                f"source: {split[:80]!r} cannot name a split, which is up to 64 letters, digits and _"
            )
    folder, filters = Path(folder), filters or Filters()
    settings = {**source.identity, "shard_size": shard_size, "filters": filters.identity}
    settings |= {"duplicates": duplicates, "format": FORMAT}
    jobs = list(_jobs(source, shard_size))
    total = None if any(job.tar for job in jobs) else sum(len(job.rows) for job in jobs)
    cache = cache or Cache()
    for job in jobs:
        if is_address(job.tar or ""):
            cache.check(str(job.tar), "source.path")
    with alone(folder):
        claim(folder, settings)
        finished: set[str] = set()  # shards of a folder that was finished once
        if (folder / "index.json").exists():
            index = read_index(folder)
            shards = [shard for split in index["splits"].values() for shard in split["shards"]]
            finished = {
                s["name"]
                for s in bar(shards, desc="tars", unit="tar", delay=SOON)
                if path_of(folder, s["name"]).exists() and _whole(folder, s, s.get("url"))
            }
            if len(finished) == len(shards) and finished == {f"{job.name}.tar" for job in jobs}:
                bad = index["unusable"] if "unusable" in index else _unusable(index, folder, jobs)
                refuse_bad(bad["pairs"], bad["first"], bad["rows"], max_bad)
                return index
        for part in folder.glob(".*.tar.part"):
            part.unlink()
        left_out = LeftOut(total, max_bad)
        try:
            made = _made(source, jobs, folder, filters, cache, left_out, workers)
            left_out.refuse(sum(shard["rows"] for shard in made.values()))
        except TooManyBad:
            # another try may find what this one missed: a wrong folder of pictures is soon put right
            for job in jobs:
                if f"{job.name}.tar" not in finished:
                    _forget_bad(folder, job)
            raise
        left_out = LeftOut(total, max_bad)  # told in the order of the source, whichever was done first
        for job in jobs:
            left_out.add(job.where, made[job.name]["left_out"])
        index = _index(source, settings, folder, jobs, made, left_out, duplicates)
        if not any(split["samples"] for split in index["splits"].values()):
            for job in jobs:  # other filters may leave some: these shall bind nobody
                _forget(folder, job)
            left_out.refuse_all()
        write_index(folder / "index.json", index, indent=1)
        return index


def described(folder: str | Path, index: Index) -> str:
    """An index in words, for people: a line a split, and a table of what was left out and why."""
    lines = []
    for split, sums in index["splits"].items():
        size = f"{size_in_words(sums['bytes'])} in {len(sums['shards'])} shards"
        lines.append(f"{folder}: {split} {sums['samples']} pairs, {sums['captions']} captions, {size}")
        if unwanted := sums.get("captions_left_out", 0):
            lines[-1] += f"; filters took {unwanted} captions from pairs that stay"
    if index["left_out"]:
        lines.append(f"{folder}: left out; which ones: {Path(folder) / 'index'}")
        for kind, count in sorted(index["left_out"].items(), key=lambda item: -item[1]):
            some = [printable(text, TOLD) for text in index.get("examples", {}).get(kind, [])[:NAMED]]
            named = "; ".join([*some, "..."] if len(some) < count else some)
            with_it = "; a duplicate's captions are left out with it" if kind == DUPLICATE else ""
            lines.append(f"  {count:>10,}  {printable(kind, TOLD)} ({named}){with_it}")
    return "\n".join(lines)


def _jobs(source: Source | Tars, shard_size: int) -> Iterator[Job]:
    for split, content in source.splits.items():
        if isinstance(content, int):
            for number, start in enumerate(range(0, content, shard_size)):
                yield Job(split, f"{split}-{number:06d}", range(start, min(start + shard_size, content)))
        else:
            for number, tar in enumerate(content):
                yield Job(split, f"{split}-{number:06d}", range(0), tar)


def _made(
    source: Any,
    jobs: list[Job],
    folder: Path,
    filters: Filters,
    cache: Cache,
    left_out: LeftOut,
    workers: int,
) -> dict[str, Index]:
    """The index of every job's shard, by its name: those that are there, and those that are made now."""
    made: dict[str, Index] = {}
    rows = left_out.total is not None
    settings = {"total": left_out.total, "desc": "pairs", "unit": "pair"}
    with bar(**settings if rows else {"total": len(jobs), "desc": "tars", "unit": "tar"}) as shown:
        for job in jobs:
            if (there := _there(folder, job)) is not None:
                made[job.name] = there
                left_out.add(job.where, there["left_out"])
                shown.update(there["rows"] if rows else 1)
        missing, before = [job for job in jobs if job.name not in made], shown.n

        def show(read: int) -> None:
            if rows:
                shown.update(before + read - shown.n)
            else:
                shown.set_postfix_str(f"{read} pairs", refresh=False)
                shown.update(0)  # as often as a bar is drawn, and not once a pair

        for job, index in each(missing, partial(_make, source, folder, filters, cache), workers, show):
            made[job.name] = index
            left_out.add(job.where, index["left_out"])
            if not rows:
                shown.update()
    return made


def _make(source: Any, folder: Path, filters: Filters, cache: Cache, job: Job, tick: Tick) -> Index:
    try:
        with room(folder, "out"):
            if job.tar is not None:
                return index_tar(source, place_of(job.tar, cache), folder, job.name, filters, tick)
            return write_shard(source, job.split, job.rows, folder, job.name, filters, tick)
    except Lost as error:
        raise ValueError(
            f"source.path: {error}: leave it out, or run the same command again, which goes on"
        ) from None


def _there(folder: Path, job: Job) -> Index | None:
    """The index of a shard that is finished already."""
    path = path_of(folder, job.name)
    if not path.exists():
        return None
    index = read_shard_index(path)
    return index if _whole(folder, index, job.tar) else None


def _whole(folder: Path, shard: Index, elsewhere: str | None) -> bool:
    """Whether a shard's tar, in the folder or `elsewhere`, is there, and the one that was indexed. At an address what was
    indexed is taken for what is there, as asking takes long.

    A tar that nothing was done to since it was indexed is not read: its change time, which unlike the time of its content
    comes along with no copy, is before that of the index."""
    if is_address(elsewhere or ""):
        return True
    tar = Path(elsewhere) if elsewhere else folder / shard["name"]
    index = path_of(folder, shard["name"])
    if not tar.is_file() or tar.stat().st_size != shard["bytes"]:
        return False
    if tar.stat().st_ctime_ns < index.stat().st_mtime_ns:
        return True
    if sha256_of(tar) == shard.get("sha256"):
        os.utime(index)  # and so it is not read again
        return True
    log.warning("%s is another one than was indexed, of the same size: it is prepared again", tar)
    index.unlink()
    return False


def _forget_bad(folder: Path, job: Job) -> None:
    """A shard that has unusable pairs will be made again."""
    path = path_of(folder, job.name)
    try:
        bad = any(part["bad"] for part in read_shard_index(path)["left_out"])
    except ValueError:
        return
    if bad:
        _forget(folder, job)


def _forget(folder: Path, job: Job) -> None:
    """Its index and its tar, if that is ours."""
    path = path_of(folder, job.name)
    path.unlink(missing_ok=True)
    (folder / f"{job.name}.tar").unlink(missing_ok=True)
    if path.parent.is_dir() and not any(path.parent.iterdir()):
        path.parent.rmdir()


def _index(
    source: Any,
    settings: Index,
    folder: Path,
    jobs: list[Job],
    made: dict[str, Index],
    left_out: LeftOut,
    duplicates: bool,
) -> Index:
    """index.json of all shards, in the order of the source. Duplicates are known only now: their pairs stay in the
    tars, and no index leads to them."""
    splits: dict[str, Any] = {}
    for split in dict.fromkeys(job.split for job in jobs):
        own = [job for job in jobs if job.split == split]
        firsts = [] if duplicates else _duplicates([made[job.name] for job in own])
        dropped: dict[str, list[int]] = {}
        for (shard, number), _ in firsts:
            dropped.setdefault(own[shard].name, []).append(number)
        some = [
            " is ".join(
                _row(source, folder, own[shard], made[own[shard].name], number) for shard, number in both
            )
            for both in firsts[:NAMED]
        ]
        left_out.add_duplicates(len(firsts), some)
        shards, captions = [], 0
        for job in own:
            shard, numbers = made[job.name], dropped.get(job.name, [])
            entry = {key: shard[key] for key in ("name", "samples", "captions", "bytes", "sha256")}
            entry["samples"] -= len(numbers)
            captions += shard["captions"] - sum(shard["pairs"]["captions"][number] for number in numbers)
            entry |= {"url": job.tar} if job.tar else {}
            shards.append(entry | ({"dropped": numbers} if numbers else {}))
        sums = {key: sum(shard[key] for shard in shards) for key in ("samples", "bytes")}
        splits[split] = {**sums, "captions": captions, "shards": shards}
        if unwanted := sum(made[job.name].get("captions_left_out", 0) for job in own):
            splits[split]["captions_left_out"] = unwanted
    found = {
        "settings": settings,
        "splits": splits,
        "left_out": left_out.kinds,
        "examples": left_out.examples,
    }
    rows = sum(shard["rows"] for shard in made.values())
    return found | {"unusable": _told(left_out, rows)}


def _unusable(index: Index, folder: Path, jobs: list[Job]) -> Index:
    """What an index.json without it would have: a folder's that was finished before it was kept."""
    left_out, rows = LeftOut(None, 1), 0
    if any(kind != DUPLICATE for kind in index["left_out"]):
        for job in jobs:
            shard = read_shard_index(path_of(folder, job.name))
            left_out.add(job.where, shard["left_out"])
            rows += shard["rows"]
    return _told(left_out, rows)


def _told(left_out: LeftOut, rows: int) -> Index:
    return {"pairs": left_out.bad, "rows": rows, "first": left_out.first}


def _duplicates(shards: list[Index]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Each pair whose picture came before, in its shard or in an earlier one: (shard, number) of it and of the first."""
    digests = np.array([bytes.fromhex(d) for shard in shards for d in shard["pairs"]["digests"]], "V16")
    _, first, inverse = np.unique(digests, return_index=True, return_inverse=True)
    starts = np.cumsum([0, *(shard["samples"] for shard in shards)])

    def place(pair: int) -> tuple[int, int]:
        shard = int(np.searchsorted(starts, pair, "right")) - 1
        return shard, pair - int(starts[shard])

    again = np.flatnonzero(first[inverse] != np.arange(len(digests)))
    return [(place(pair), place(int(first[inverse[pair]]))) for pair in again.tolist()]


def _row(source: Any, folder: Path, job: Job, shard: Index, number: int) -> str:
    """The row that pair `number` of a shard came from, for people, and its name where that takes no download."""
    gone = {part["row"] for part in shard["left_out"]}
    kept = (row for row in range(job.rows.start, job.rows.start + shard["rows"]) if row not in gone)
    row, name = next(itertools.islice(kept, number, None)), ""
    with suppress(BadPair, ValueError, OSError):  # it may have gone since; its number is known
        if job.tar is None:
            name = source.pair(job.split, row).name
        elif not is_address(job.tar):
            tar = Shard(Path(job.tar), folder, shard["name"], shard["samples"], path_of(folder, job.name))
            name = told(tar.read(number)["__key__"])
    return f"{job.where} row {row}: {name}" if name else f"{job.where} row {row}"
