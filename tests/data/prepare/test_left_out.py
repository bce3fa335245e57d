"""What does not go into a folder of shards: bad pairs, duplicates, what filters do not want; counted and told."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagen.data.index import read_index
from imagen.data.members import captions_of
from imagen.data.pictures import png
from imagen.data.prepare.embedding import embed
from imagen.data.prepare.filters import Filters
from imagen.data.prepare.preparing import described, prepare
from imagen.data.shards import split_of
from imagen.data.sources.img2dataset import Img2dataset
from imagen.data.sources.source import BadPair, Pair
from imagen.text import HashedWords, open_embeddings

TarOf = Callable[..., Path]


def test_bad_pairs_are_counted_up_to_a_limit(folder: Path, tmp_path: Path, numbers: Any) -> None:
    index = prepare(numbers(bad=(2, 4, 5, 6, 7)), folder, shard_size=4, max_bad=0.4)
    assert index["left_out"] == {"unreadable image": 5}
    assert index["splits"]["train"]["samples"] == 6
    assert "5  unreadable image (train row 2: row 2; train row 4: row 4; " in described(folder, index)
    keys = [
        shard.read(at)["__key__"] for shard in split_of(folder, "train", "x") for at in range(shard.samples)
    ]
    assert keys == [f"train-{row:08d}" for row in (0, 1, 3, 8, 9, 10)]
    with pytest.raises(
        ValueError,
        match=r"4 pairs cannot be used \(the first is train row 2: unreadable image: row 2\): more than max_bad=0.1 of all 14",
    ):
        prepare(numbers(bad=(2, 4, 5, 6)), tmp_path / "limit", shard_size=4)


@pytest.mark.parametrize("kept", [True, False])
def test_a_finished_folder_still_has_too_many(folder: Path, numbers: Any, kept: bool) -> None:
    """Also one that was finished before its index said how many."""
    prepare(numbers(bad=(2, 4)), folder, shard_size=4, max_bad=0.4)
    path = folder / "index.json"
    index = json.loads(path.read_text())
    assert index["unusable"]["pairs"] == 2
    if not kept:
        del index["unusable"]
        path.write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"2 pairs cannot be used \(the first is train row 2: .* of all 14;"):
        prepare(numbers(bad=(2, 4)), folder, shard_size=4)


def test_texts_of_a_hostile_index_are_cut(folder: Path, numbers: Any) -> None:
    prepare(numbers(bad=(2,)), folder, shard_size=4)
    path = folder / "index.json"
    index = json.loads(path.read_text())
    index["unusable"]["first"] = "x" * 10**6
    index |= {"left_out": {"y" * 10**6: 4}, "examples": {"y" * 10**6: ["z" * 10**6] * 100}}
    path.write_text(json.dumps(index))
    assert len(described(folder, read_index(folder))) < 3000
    with pytest.raises(ValueError, match="cannot be used") as refused:
        prepare(numbers(bad=(2,)), folder, shard_size=4, max_bad=0)
    assert len(str(refused.value)) < 1000


def test_an_index_without_all_of_the_splits_is_made_again(folder: Path, numbers: Any) -> None:
    whole = prepare(numbers(), folder, shard_size=4)
    path = folder / "index.json"
    index = json.loads(path.read_text())
    del index["splits"]["test"]
    path.write_text(json.dumps(index))
    assert prepare(numbers(), folder, shard_size=4) == whole == json.loads(path.read_text())


def test_nothing_usable_is_an_error(folder: Path, numbers: Any) -> None:
    class Nothing(numbers):
        def pair(self, split: str, row: int) -> Pair:
            raise BadPair("empty caption", "all of them")

    with pytest.raises(
        ValueError,
        match=r"nothing is left to train on: 14 empty caption \(train row 0: all.*: put them right",
    ):
        prepare(Nothing(), folder, max_bad=1)


def test_exact_duplicates_are_left_out_and_told(folder: Path, tmp_path: Path, numbers: Any) -> None:
    class Doubles(numbers):
        """Rows 5 and 9 have the picture of row 1; its captions are their own."""

        def pair(self, split: str, row: int) -> Pair:
            pair = super().pair(split, row)
            same = split == "train" and row in (5, 9)
            pair = replace(pair, name="" if row == 9 else f"{row}.jpg")
            return replace(pair, image=super().pair(split, 1).image) if same else pair

    index = prepare(Doubles(), folder, shard_size=4, workers=1)
    assert index["left_out"] == {"exact duplicate": 2}
    assert index["splits"]["train"]["samples"] == 9
    assert index["splits"]["train"]["captions"] == sum(1 + row % 3 for row in (0, 1, 2, 3, 4, 6, 7, 8, 10))
    shards = split_of(folder, "train", "x")
    keys = [shard.read(row)["__key__"] for shard in shards for row in range(shard.samples)]
    assert keys == [f"train-{row:08d}" for row in (0, 1, 2, 3, 4, 6, 7, 8, 10)]
    embed(folder, [HashedWords(8)])
    texts = open_embeddings(folder, HashedWords(8).configured)
    for shard in shards:
        for row in range(shard.samples):
            for number, caption in enumerate(captions_of(shard.read(row))):
                texts(shard.name).of(shard.first_caption(row) + number, caption)
    named = "train row 5: 5.jpg is train row 1: 1.jpg; train row 9 is train row 1: 1.jpg"
    told = f"2  exact duplicate ({named}); a duplicate's captions are left out with it"
    assert told in described(folder, index)
    kept = prepare(Doubles(), tmp_path / "kept", shard_size=4, duplicates=True)
    assert kept["splits"]["train"]["samples"] == 11


def test_filters_leave_out_any_number(folder: Path, numbers: Any) -> None:
    index = prepare(numbers(), folder, max_bad=0, filters=Filters(columns={"row": [None, 2]}))
    assert index["left_out"] == {"column row": 8}
    with pytest.raises(ValueError, match=r"other settings \(filters is .*: choose another out="):
        prepare(numbers(), folder)
    none = folder.parent / "none"
    with pytest.raises(
        ValueError, match=r"nothing is left to train on: .*13 too small \(.*: loosen filters="
    ):
        prepare(numbers(bad=(3,)), none, filters=Filters(min_side=9))
    prepare(numbers(), none, filters=Filters(min_side=8))  # those filters bind nobody


def test_captions_that_filters_take_from_pairs_that_stay_are_told(folder: Path, numbers: Any) -> None:
    class Wordy(numbers):
        def pair(self, split: str, row: int) -> Pair:
            pair = super().pair(split, row)
            return replace(pair, captions=(pair.captions[0], *("x" * 99 for _ in pair.captions[1:])))

    index = prepare(Wordy(), folder, shard_size=4, filters=Filters(caption_length=[None, 50]))
    split = index["splits"]["train"]
    assert (split["samples"], split["captions"]) == (11, 11)
    assert split["captions_left_out"] == sum(row % 3 for row in range(11))
    assert f"shards; filters took {split['captions_left_out']}" in described(folder, index)


def test_what_filters_leave_out_is_named(folder: Path, tmp_path: Path, numbers: Any, tar_of: TarOf) -> None:
    class Named(numbers):
        def pair(self, split: str, row: int) -> Pair:
            return replace(super().pair(split, row), name=f"{split}/{row}.jpg\x1b")

    index = prepare(Named(), folder, filters=Filters(columns={"row": [None, 9]}))
    assert index["examples"] == {"column row": [r"train row 10: train/10.jpg\x1b: 10"]}
    small, large = (png(np.full((side, side, 3), 7, np.uint8)) for side in (8, 16))
    pictures = {"a": small, "b": large, "c": large}
    members = [(f"{key}.{k}", v) for key, data in pictures.items() for k, v in (("png", data), ("txt", b"a"))]
    tar_of(tmp_path / "tars/0.tar", *members)
    index = prepare(Img2dataset(tmp_path / "tars"), tmp_path / "indexed", filters=Filters(min_side=9))
    assert index["examples"] == {
        "too small": ["0.tar row 0: a: 8 x 8 pixels"],
        "exact duplicate": ["0.tar row 2: c is 0.tar row 1: b"],
    }


def test_max_bad_is_asked_again_of_a_finished_folder(folder: Path, numbers: Any) -> None:
    for bad in ((2, 4), (2,)):
        prepare(numbers(bad=bad), folder / str(len(bad)), shard_size=4, max_bad=0.4)
    words = r"^2 pairs cannot be used \(the first is train row 2: unreadable image: row 2\): more than max_bad=0.1 of all 14;"
    before = sorted(folder.rglob("*"))
    with pytest.raises(ValueError, match=words):
        prepare(numbers(bad=(2, 4)), folder / "2", shard_size=4, max_bad=0.1)
    prepare(numbers(bad=(2,)), folder / "1", shard_size=4, max_bad=0.1)
    assert sorted(folder.rglob("*")) == before
