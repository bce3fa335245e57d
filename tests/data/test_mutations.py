"""Shards with random damage: never a crash, never a hang, and every pair that was not hit is read as before."""

import io
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from webdataset.tariterators import group_by_keys, tar_file_expander

from imagen.data.members import captions_of, picture_of, plain_pair, scan
from imagen.data.pictures import decode
from imagen.data.prepare.preparing import prepare
from imagen.data.shards import Shard, split_of
from imagen.data.sources.img2dataset import Img2dataset
from imagen.data.sources.shapes import Shapes
from imagen.data.sources.source import BadPair

PAIRS = 6
Known = dict[str, tuple[range, bytes, tuple[str, ...]]]

ODD = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    database=None,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "out"
    prepare(Shapes(count=PAIRS, resolution=16, held_out=0), folder)
    return folder / "train-000000.tar"


@pytest.fixture(scope="module")
def known(whole: Path) -> Known:
    """What each pair is, and in which bytes it lies."""
    entries = scan(whole, pytest.fail, pictures=True)
    return {e.sample["__key__"]: (range(e.start, e.end), picture_of(e.sample), e.captions) for e in entries}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@st.composite
def damages(draw: st.DrawFn) -> tuple[list[tuple[int, bytes]], int | None]:
    """Bytes to be written over, as shares of the file's length; and where the file is cut, if it is."""
    share = st.floats(0, 0.999)
    hits = draw(st.lists(st.tuples(share, st.binary(min_size=1, max_size=700)), min_size=0, max_size=4))
    cut = draw(st.none() | share)
    return [(int(at * 10**6), data) for at, data in hits], None if cut is None else int(cut * 10**6)


def damaged(
    whole: Path, place: Path, damage: tuple[list[tuple[int, bytes]], int | None]
) -> tuple[Path, list[range]]:
    """A copy with the damage done, and the bytes that were hit."""
    data, hit = bytearray(whole.read_bytes()), []
    size = len(data)
    for at, new in damage[0]:
        start = at * size // 10**6
        new = new[: size - start]
        data[start : start + len(new)] = new
        hit.append(range(start, start + len(new)))
    if damage[1] is not None:
        cut = damage[1] * size // 10**6
        del data[cut:]
        hit.append(range(cut, size))
    shutil.rmtree(place)
    place.mkdir()
    (place / "damaged.tar").write_bytes(data)
    return place / "damaged.tar", hit


def unhurt(known: Known, hit: list[range]) -> set[str]:
    def apart(one: range, other: range) -> bool:
        return one.stop <= other.start or other.stop <= one.start

    return {key for key, (where, _, _) in known.items() if all(apart(where, part) for part in hit)}


def read(shards: list[Shard]) -> Iterator[tuple[str, bytes, tuple[str, ...]]]:
    """All pairs that can be read and decoded."""
    for shard in shards:
        for row in range(shard.samples):
            try:
                sample = shard.read(row)
                picture = picture_of(sample)
                decode(picture, 8)
            except BadPair:
                continue
            yield sample["__key__"], picture, captions_of(sample)


def holds(known: Known, hit: list[range], shards: list[Shard]) -> None:
    found = {key: (picture, captions) for key, picture, captions in read(shards)}
    for key in unhurt(known, hit):
        assert found[key] == known[key][1:]


def opened(find: Callable[[], list[Shard]], nothing: str) -> list[Shard]:
    """What `find` finds; nothing, when it says in the words of `nothing` that there is not one pair left."""
    try:
        return find()
    except ValueError as error:
        if not re.search(nothing, str(error)):
            raise
        return []


@ODD
@given(damages())
def test_with_an_index(whole: Path, known: Known, place: Path, damage: tuple) -> None:
    tar, hit = damaged(whole, place, damage)
    index = whole.parent / "index/train-000000.json"
    holds(known, hit, [Shard(tar, tar.parent, tar.name, PAIRS, index)])


@ODD
@given(damages())
def test_without_an_index(whole: Path, known: Known, place: Path, damage: tuple) -> None:
    tar, hit = damaged(whole, place, damage)
    holds(known, hit, opened(lambda: [Shard.scanned(tar)], "is no tar"))


@ODD
@given(damages())
def test_indexed_where_it_lies(whole: Path, known: Known, place: Path, damage: tuple) -> None:
    _, hit = damaged(whole, place, damage)

    def indexed() -> list[Shard]:
        prepare(Img2dataset(place), place / "out", max_bad=1, duplicates=True)
        return split_of(place / "out", "train", "data.train")

    holds(known, hit, opened(indexed, "is no tar|nothing is left to train on"))


@ODD
@given(damages())
def test_what_is_read_fast_is_what_the_library_reads(
    whole: Path, known: Known, place: Path, damage: tuple
) -> None:
    """Of bytes that may be damaged anywhere: either the same pair, or the library is asked."""
    tar, _ = damaged(whole, place, damage)
    data = tar.read_bytes()
    for where, _, _ in known.values():
        part = data[where.start : where.stop]
        if (fast := plain_pair(part)) is not None:
            (slow,) = group_by_keys(tar_file_expander([{"url": "x", "stream": io.BytesIO(part)}]))
            slow.pop("__url__")
            assert fast == slow
