"""An invisible mark is read back by who knows its text, also after JPEG and resizing; it is not where it was not put."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from imagen.data.shapes import draw, scene_of
from imagen.watermark import BITS, agreeing, bits_of, has, write

TEXT = "made by a model"


@pytest.fixture(autouse=True)
def _library() -> None:
    pytest.importorskip("cv2", exc_type=ImportError)
    if "blind_watermark" not in sys.modules:
        from imagen.watermark import library

        try:
            library()
        except ValueError as error:
            pytest.skip(str(error))


def drawn(side: int) -> np.ndarray:
    return draw(scene_of("test", 0, 3), side)


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("side", [64, 256])
def test_there_and_back(side: int) -> None:
    before = drawn(side)
    picture = write(before, TEXT)
    assert picture.shape == before.shape
    assert picture.dtype == np.uint8
    assert 0 < np.abs(picture.astype(int) - before).mean() < 6
    assert np.array_equal(picture, write(drawn(side), TEXT)), "the same picture is the same pixels"
    assert agreeing(picture, TEXT) == BITS
    assert has(jpeg(picture, 95), TEXT)
    assert not has(picture, "another text")
    assert not has(before, TEXT)


def test_it_holds_at_256() -> None:
    picture = write(drawn(256), TEXT)
    small = Image.fromarray(picture).resize((128, 128), Image.Resampling.BICUBIC)
    assert has(np.asarray(small.resize((256, 256), Image.Resampling.BICUBIC)), TEXT)
    assert has(jpeg(picture, 75), TEXT)


def test_no_room() -> None:
    with pytest.raises(ValueError, match="watermark=x: a picture of 32 x 32 has no room for it"):
        write(drawn(32), "x")
    assert not has(drawn(32), "x")


def test_texts_are_told_apart() -> None:
    assert bits_of("a").shape == (BITS,)
    assert set(bits_of("a")) <= {0, 1}
    assert not np.array_equal(bits_of("a"), bits_of("b"))


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "blind_watermark", None)
    with pytest.raises(ValueError, match=r"pip install 'imagen-cascade\[watermark\]'"):
        write(drawn(64), "x")
