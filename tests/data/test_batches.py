"""Batches: a function of (seed, place) alone, whoever makes them and whatever came before."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from imagen.data.order import Order
from imagen.data.pictures import in_range, png
from imagen.data.pipeline import Batch, Batches, FromMemory, FromShards, Texts, whole_batch
from imagen.data.prepare.embedding import embed
from imagen.data.prepare.preparing import prepare
from imagen.data.shards import split_of
from imagen.data.sources.source import Pair
from imagen.text import HashedWords, open_embeddings

COUNT = 22
BROKEN = (5, 17)
BLANK = 9


class Stripes:
    """22 + 5 pictures of 12 x 8 pixels, each of its own brightness; two broken, one with a blank caption."""

    splits = {"train": COUNT, "test": 5}  # noqa: RUF012
    identity = {"source": "stripes"}  # noqa: RUF012

    def pair(self, split: str, row: int) -> Pair:
        picture = np.full((8, 12, 3), row, np.uint8) + np.arange(0, 240, 20, dtype=np.uint8)[None, :, None]
        captions = ("a", f"the picture {row}", f"stripes, number {row} of many")[: 1 + row % 3]
        if split == "train" and row == BLANK:
            captions = (" ",)
        broken = split == "train" and row in BROKEN
        return Pair(b"broken %d" % row if broken else png(picture), "png", (8, 8), captions, {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stripes") / "shards"
    prepare(Stripes(), folder, shard_size=6)
    return folder


def batches(
    folder: Path, size: int = 4, split: str = "train", memory: bool = False, **where: object
) -> Batches:
    shards = split_of(folder, split, "data.train")
    reader = FromMemory(FromShards(shards, 8)) if memory else FromShards(shards, 8)
    order = Order([shard.samples for shard in shards], 1, window=2, shuffle=split == "train")
    return Batches(reader, None, order, size, seed=1, **{"max_bad": 0.9, **where})  # type: ignore[arg-type]


def taken(source: Batches, count: int, workers: int = 0) -> list[Batch]:
    loader = DataLoader(source, batch_size=None, collate_fn=whole_batch, num_workers=workers)
    return [{**batch, "image": in_range(batch["image"])} for batch, _ in zip(loader, range(count))]


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        a["key"] == b["key"] and a["caption"] == b["caption"] and torch.equal(a["image"], b["image"])
        for a, b in zip(one, other)
    )


def test_shapes_and_ranges(folder: Path) -> None:
    batch = batches(folder, size=5).batch(0)
    assert (batch["image"].shape, batch["image"].dtype) == ((5, 8, 8, 3), torch.uint8)
    batch["image"] = in_range(batch["image"])
    assert batch["image"].shape == (5, 3, 8, 8)
    assert batch["image"].dtype == torch.float32
    assert batch["image"].min() >= -1
    assert batch["image"].max() <= 1
    row = int(batch["key"][0].removeprefix("train-"))
    # the middle 8 of 12 columns, of a picture that already has the height asked for
    levels = (batch["image"][0, 0, 0] + 1) * 127.5
    assert levels.tolist() == pytest.approx([row + 20 * column for column in range(2, 10)])


def test_workers_and_memory_make_the_same_batches(folder: Path) -> None:
    plain = taken(batches(folder), 13)
    assert same(plain, taken(batches(folder), 13, workers=2))
    assert same(plain, taken(batches(folder, memory=True), 13))
    assert not same(plain, taken(batches(folder, start=4), 13))


def test_skipping_ahead_equals_having_read(folder: Path) -> None:
    read = taken(batches(folder), 12)
    for skipped in (1, 5, 7):
        ahead = batches(folder, start=4 * skipped)
        assert same(read[skipped:], taken(ahead, 12 - skipped))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_every_good_pair_once_an_epoch_over_ranks_and_workers(folder: Path, world: int, workers: int) -> None:
    size = 8 // world  # the same 8 at a time over all ranks: 11 batches are 4 epochs
    ranks = [taken(batches(folder, size, rank=rank, world=world), 11, workers) for rank in range(world)]
    stream = [key for step in zip(*ranks) for batch in step for key in batch["key"]]
    good = sorted(f"train-{row:08d}" for row in range(COUNT) if row not in (*BROKEN, BLANK))
    for epoch in range(4):
        keys = stream[COUNT * epoch : COUNT * (epoch + 1)]
        assert set(keys) == set(good)
        assert len(keys) == COUNT  # the three bad ones' places are taken by others
    single = [key for batch in taken(batches(folder, 8), 11) for key in batch["key"]]
    assert stream == single


@pytest.mark.parametrize("worlds", [(1, 4, 2), (4, 1, 2)])
def test_other_numbers_of_ranks_go_on_in_the_same_epoch(folder: Path, worlds: tuple[int, ...]) -> None:
    """Three parts of a run, each on another number of ranks and stopped in the middle of an epoch."""
    stream: list[str] = []
    for world in worlds:
        size, start = 8 // world, len(stream)
        ranks = [taken(batches(folder, size, rank=r, world=world, start=start), 3) for r in range(world)]
        stream += [key for step in zip(*ranks) for batch in step for key in batch["key"]]
    assert stream == [key for batch in taken(batches(folder, 8), 9) for key in batch["key"]]


def test_mirrored_pictures_are_those_whose_caption_names_no_side(tmp_path: Path) -> None:
    class Sided(Stripes):
        splits = {"train": 40}  # noqa: RUF012

        def pair(self, split: str, row: int) -> Pair:
            picture = np.zeros((8, 8, 3), np.uint8)
            picture[:, :4] = 200
            picture[0, 0] = row
            words = ("to the LEFT", "rightmost", "a wright", "plain")[row % 4]
            return Pair(png(picture), "png", (8, 8), (words,), {})

    prepare(Sided(), tmp_path / "out")
    seen: dict[str, list[bool]] = {}
    for batch in taken(batches(tmp_path / "out", flip=True), 10):
        for image, caption in zip(batch["image"], batch["caption"]):
            seen.setdefault(caption, []).append(bool(image[0, 4, 0] < image[0, 4, 7]))
    assert not any(seen["to the LEFT"] + seen["rightmost"])
    assert {True, False} == set(seen["plain"]) == set(seen["a wright"])
    assert same(
        taken(batches(tmp_path / "out", flip=True), 5), taken(batches(tmp_path / "out", flip=True), 5)
    )


def test_patches_are_parts_of_the_resized_picture(folder: Path) -> None:
    whole, parts = taken(batches(folder), 6), taken(batches(folder, patch=4), 6)
    corners = set()
    for picture, part in zip((p for b in whole for p in b["image"]), (p for b in parts for p in b["image"])):
        assert part.shape == (3, 4, 4)
        found = [
            (y, x) for y in range(5) for x in range(5) if torch.equal(picture[:, y : y + 4, x : x + 4], part)
        ]
        assert found, "a part of the picture, pixel for pixel, as this one needs no resampling"
        corners.add(found[0][1])  # the stripes are upright: rows are alike
    assert len(corners) > 2


def test_one_of_several_captions_each_time(folder: Path) -> None:
    said: dict[str, set[str]] = {}
    for batch in taken(batches(folder), 110):
        for key, caption in zip(batch["key"], batch["caption"]):
            said.setdefault(key, set()).add(caption)
    assert {len(said[f"train-{row:08d}"]) for row in (2, 8, 11)} == {3}
    assert len(said["train-00000000"]) == 1


def test_random_crops_move_and_repeat(folder: Path) -> None:
    one, other = taken(batches(folder, random_crop=True), 8), taken(batches(folder, random_crop=True), 8)
    assert same(one, other)
    assert not same(one, taken(batches(folder), 8))
    first = {round(float((batch["image"][i, 0, 0, 0] + 1) * 127.5)) % 20 for batch in one for i in range(4)}
    assert len(first) > 1


def test_cached_embeddings_come_with_their_caption(folder: Path) -> None:
    encoder = HashedWords(8)
    # the blank caption cannot be embedded, so this folder is written without it
    good = folder.parent / "good"
    source = Stripes()
    source.splits = {"train": 5, "test": 5}
    prepare(source, good, shard_size=2)
    embed(good, [encoder])
    plain = batches(good, size=5)
    shards = plain.reader.shards
    plain.texts = Texts(shards, [open_embeddings(good, encoder.configured)] * len(shards))
    batch = plain.batch(3)
    emb, mask = encoder(batch["caption"])
    assert torch.equal(batch["text_mask"], mask)
    assert torch.allclose(batch["text_emb"], emb, atol=2e-3)
    assert (batch["text_emb"][~mask] == 0).all()


def test_bad_pairs_are_counted_and_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = batches(folder)
    with caplog.at_level(logging.WARNING):
        taken(source, 22)
    assert len(source.bad) == 3
    assert len(caplog.records) == 3
    assert any("unreadable image" in r.getMessage() for r in caplog.records)
    assert any("empty caption" in r.getMessage() for r in caplog.records)


@pytest.mark.parametrize("workers", [0, 2])
def test_too_many_bad_pairs_are_an_error(folder: Path, workers: int) -> None:
    with pytest.raises(ValueError, match=r"pairs cannot be used \(.*\), more than data.max_bad=0.1"):
        taken(batches(folder, max_bad=0.1), 60, workers)
    taken(batches(folder, max_bad=0.4), 60, workers)


def test_nothing_but_bad_pairs_is_an_error(tmp_path: Path) -> None:
    class Broken(Stripes):
        def pair(self, split: str, row: int) -> Pair:
            return Pair(b"broken", "png", (8, 8), ("a",), {})

    prepare(Broken(), tmp_path / "out")
    with pytest.raises(ValueError, match="100 pairs tried, none can be used"):
        batches(tmp_path / "out").batch(0)
