"""Blocks of pictures: whole or not there, read as they were written, and refused when they are of something else."""

import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import webdataset as wds

from imagen.evaluation.protocols.blocks import Blocks, Made, digest
from imagen.evaluation.protocols.scoring import Drift
from imagen.evaluation.protocols.wanted import Wanted, wanted_of

WANTED = wanted_of([(f"prompt {i}", "", None) for i in range(5)], 0)


def made(rows: Sequence[Wanted], seed: int = 0) -> Made:
    random = np.random.default_rng(seed)
    pictures = [random.integers(0, 256, (len(rows), side, side, 3), dtype=np.uint8) for side in (8, 4)]
    return Made(list(rows), pictures[0], {"base": pictures[1]})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path, WANTED, 2)
    assert len(blocks) == 3
    for block in range(3):
        assert not blocks.has(block)
        blocks.write(block, made(blocks.rows(block), block))
        there = blocks.read(block)
        assert there.rows == list(blocks.rows(block))
        assert np.array_equal(there.last, made(blocks.rows(block), block).last)
        assert np.array_equal(there.before["base"], made(blocks.rows(block), block).before["base"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000000.tar", "000001.tar", "000002.tar"]
    first = blocks.path(0).read_bytes()
    blocks.write(0, made(blocks.rows(0)))
    assert blocks.path(0).read_bytes() == first, "the same pictures, the same bytes"


def test_any_webdataset_reader_reads_them(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path, WANTED, 8)
    blocks.write(0, made(blocks.rows(0)))
    samples = list(wds.WebDataset(str(blocks.path(0)), shardshuffle=False).decode("rgb8"))  # pyright: ignore
    assert [sample["json"]["prompt"] for sample in samples] == [row.prompt for row in WANTED]
    assert np.array_equal(samples[1]["png"], made(blocks.rows(0)).last[1])
    assert samples[0]["base.png"].shape == (4, 4, 3)


def test_pictures_that_could_not_be_had_are_not_there(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path, WANTED, 3, partial=True)
    blocks.write(0, made([WANTED[0], WANTED[2]]))
    blocks.write(1, made([]))
    assert [row.index for row in blocks.read(0).rows] == [0, 2]
    assert blocks.read(1).rows == []
    assert len(blocks.read(1).last) == 0


@pytest.mark.parametrize("damage", ["cut", "zeros", "other", "stranger"])
def test_damage_is_one_line_with_its_remedy(tmp_path: Path, damage: str) -> None:
    blocks = Blocks(tmp_path, WANTED, 5)
    blocks.write(0, made(blocks.rows(0)))
    data = bytearray(blocks.path(0).read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "zeros":
        data[600:700] = bytes(100)
    elif damage == "other":
        blocks = Blocks(tmp_path, wanted_of([(f"prompt {i}", "", None) for i in range(5)], 1), 5)
    blocks.path(0).write_bytes(data)
    if damage == "stranger":
        with tarfile.open(blocks.path(0), "a") as tar:
            tar.addfile(tarfile.TarInfo("../../escape.png"))
    with pytest.raises(ValueError, match=r"000000.tar: damaged \(.*\); delete it") as error:
        blocks.read(0)
    assert "\n" not in str(error.value)


def test_the_digest_is_of_pixels_in_order() -> None:
    pictures = made(WANTED).last
    assert digest(iter(pictures)) == digest(iter(pictures.copy()))
    assert digest(iter(pictures)) != digest(iter(pictures[::-1]))
    assert digest(iter(pictures)) != digest(iter(pictures.reshape(5, 4, 16, 3)))


def test_drift_is_zero_where_a_picture_keeps_its_input_and_known_where_it_does_not() -> None:
    low = np.random.default_rng(0).integers(60, 180, (2, 4, 4, 3), dtype=np.uint8)
    high = low.repeat(2, 1).repeat(2, 2)
    kept = Made(list(WANTED[:2]), high, {"base": low})
    assert [scores["8.color"] for scores in Drift()(kept)] == [0, 0]
    assert min(scores["8.psnr"] or 0 for scores in Drift()(kept)) >= 100
    brighter = Made(list(WANTED[:2]), high + 51, {"base": low})  # a fifth of the range
    for scores in Drift()(brighter):
        assert scores["8.color"] == pytest.approx(0.2, abs=1e-5)
        assert scores["8.psnr"] == pytest.approx(-20 * np.log10(0.2), abs=1e-4)
        assert [scores[f"8.mean.{c}"] for c in ("red", "green", "blue")] == pytest.approx([0.2] * 3, abs=1e-5)
        assert [scores[f"8.spread.{c}"] for c in ("red", "green", "blue")] == pytest.approx([0] * 3, abs=1e-5)
    with pytest.raises(ValueError, match="no low-resolution input"):
        Drift()(Made(list(WANTED[:2]), high, {}))


def test_a_shard_that_was_cut_between_two_pictures_is_damaged(tmp_path: Path) -> None:
    rows = wanted_of([(f"prompt {i}", "", None) for i in range(4)], 0)
    blocks = Blocks(tmp_path, rows, 4)
    blocks.write(0, Made(rows, np.zeros((4, 8, 8, 3), np.uint8), {}))
    with tarfile.open(blocks.path(0)) as tar:
        end = tar.getmembers()[4].offset  # two members a picture
    blocks.path(0).write_bytes(blocks.path(0).read_bytes()[:end])
    with pytest.raises(ValueError, match=r"damaged .2 of its 4 pictures.; delete it"):
        blocks.read(0)
