"""What is said before anything is written, beside what is then written."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imagen.data.pictures import png
from imagen.data.prepare.embedding import embed
from imagen.data.prepare.estimate import estimate
from imagen.data.prepare.filters import Filters
from imagen.data.prepare.preparing import prepare
from imagen.data.sources.img2dataset import Img2dataset
from imagen.data.sources.shapes import Shapes
from imagen.text import HashedWords

TarOf = Callable[..., Path]


@pytest.fixture(scope="module")
def shapes() -> Shapes:
    return Shapes(count=300, resolution=32, held_out=20)


@pytest.fixture(scope="module")
def folder(shapes: Shapes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("estimate") / "out"
    prepare(shapes, folder, shard_size=100)
    embed(folder, [HashedWords(32)])
    return folder


def size(folder: Path, pattern: str) -> int:
    return sum(file.stat().st_size for file in folder.glob(pattern))


def test_it_is_near_what_is_written(shapes: Shapes, folder: Path) -> None:
    said = estimate(shapes, 32)
    assert said.pairs == sum(shapes.splits.values())
    assert said.shards == pytest.approx(size(folder, "**/*.tar") + size(folder, "index/*"), rel=0.15)
    # four characters a token is what subwords take; these words are short and one token each
    assert 1 <= said.embeddings / size(folder, "text/**/*.safetensors") <= 2
    assert said.left_out == {}


def test_it_tells_what_filters_leave_out(shapes: Shapes, tmp_path: Path) -> None:
    none = estimate(shapes, 32, Filters(min_side=33))
    assert (none.pairs, none.bytes) == (0, 0)
    assert none.left_out == {"too small": none.looked}
    assert "left out: " in str(none)
    some = estimate(shapes, 32, Filters(caption_length=[None, 24]))
    index = prepare(shapes, tmp_path / "some", filters=Filters(caption_length=[None, 24]))
    kept = sum(split["samples"] for split in index["splits"].values())
    assert some.pairs == pytest.approx(kept, rel=0.3)


def test_tars_of_others_are_told_by_their_first_pairs(folder: Path) -> None:
    source = Img2dataset(f"{folder}/train-*.tar")
    assert estimate(source, 32).pairs == pytest.approx(300, rel=0.1)
    assert estimate(source, 32, Filters(min_side=33)).pairs == 0


def test_tars_unlike_the_first_are_looked_at_too(tmp_path: Path, tar_of: TarOf) -> None:
    pictures = [png(np.zeros((side, side, 3), np.uint8)) for side in (32, 8, 8, 8)]
    for number, picture in enumerate(pictures):
        members = [(f"{n:03d}.{k}", v) for n in range(40) for k, v in (("png", picture), ("txt", b"a rose"))]
        tar_of(tmp_path / f"{number}.tar", *members)
    said = estimate(Img2dataset(tmp_path), 32, Filters(min_side=9))
    assert (said.looked, said.left_out) == (64, {"too small": 43})
    assert said.pairs == pytest.approx(40, rel=0.5)


def test_a_column_that_nothing_has_is_a_slip_of_the_finger(shapes: Shapes, folder: Path) -> None:
    for source in (shapes, Img2dataset(f"{folder}/train-*.tar")):
        with pytest.raises(
            ValueError, match=r"filters.columns: no pair of those looked at has sceen; they have .*scene"
        ):
            estimate(source, 32, Filters(columns={"sceen": [1, None]}))
