"""A mark comes back from the picture that carries it, and leaves pixels alone."""

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from imagen.provenance import Mark, chunks, read

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)


def png(info: PngImagePlugin.PngInfo | None = None) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG", pnginfo=info)
    return file.getvalue()


@pytest.mark.parametrize("prompt", ["a cat", "日本語の猫", "<b>|</b>\n two\tlines", "x" * 5000, "", None])
@pytest.mark.parametrize("seed", [0, 2**63 - 1, None])
def test_there_and_back(prompt: str | None, seed: int | None) -> None:
    mark = Mark(prompt, seed, "ab" * 32)
    data = png(chunks(mark))
    assert read(data) == mark
    assert data == png(chunks(mark)), "the same picture is the same bytes"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), PIXELS)
    assert b"iTXt" in data
    assert b"tEXt" not in data


def test_half_a_character_is_spelt() -> None:
    found = read(png(chunks(Mark("a \udce9", 1, "r"))))
    assert found
    assert found.prompt == r"a \udce9"


def test_pictures_without_a_mark() -> None:
    assert read(png()) is None
    info = PngImagePlugin.PngInfo()
    info.add_itxt("imagen.release", "r")
    info.add_itxt("imagen.seed", "-1; drop")
    assert read(png(info)) is None


@pytest.mark.parametrize("data", [b"", b"GIF89a", png()[:60]])
def test_what_is_no_png(data: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be read as a PNG"):
        read(data)
