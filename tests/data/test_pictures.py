"""Any picture file that Pillow reads becomes upright RGB; what cannot be read to its end is refused."""

import io

import numpy as np
import pytest
from PIL import Image

from imagen.data.pictures import decode, fit, png, size_of, storable
from imagen.data.sources.source import BadPair


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def pixel(data: bytes) -> tuple[int, ...]:
    image = decode(data)
    assert image.mode == "RGB"
    return tuple(int(v) for v in np.asarray(image)[0, 0])


def test_modes_become_rgb() -> None:
    red = Image.new("RGB", (8, 8), (200, 30, 40))
    assert pixel(encoded(red)) == (200, 30, 40)
    assert pixel(encoded(red.convert("P", palette=Image.Palette.ADAPTIVE))) == (200, 30, 40)
    assert pixel(encoded(Image.new("L", (8, 8), 77))) == (77, 77, 77)
    assert pixel(encoded(Image.new("1", (8, 8), 1))) == (255, 255, 255)
    assert (
        np.abs(np.subtract(pixel(encoded(red.convert("CMYK"), "JPEG", quality=100)), (200, 30, 40))).max() < 4
    )
    assert pixel(encoded(red, "WEBP", lossless=True)) == (200, 30, 40)
    assert pixel(encoded(red, "BMP")) == (200, 30, 40)


def test_sixteen_bits_keep_their_range() -> None:
    deep = Image.fromarray(np.full((4, 4), 257 * 130, np.uint16))
    assert pixel(encoded(deep)) == (130, 130, 130)


def test_transparency_lies_over_white() -> None:
    assert pixel(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)))) == (255, 255, 255)
    assert pixel(encoded(Image.new("LA", (4, 4), (0, 51)))) == (204, 204, 204)
    see_through = Image.new("P", (4, 4), 0)
    see_through.putpalette([10, 20, 30])
    assert pixel(encoded(see_through, transparency=0)) == (255, 255, 255)


def test_exif_rotation() -> None:
    image = Image.new("RGB", (6, 4), "white")
    image.putpixel((0, 0), (0, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter to the right when shown
    upright = np.asarray(decode(encoded(image, exif=exif)))
    assert upright.shape == (6, 4, 3)
    assert tuple(upright[0, 3]) == (0, 0, 0)


def test_fit_cuts_the_square_of_the_short_side() -> None:
    picture = np.zeros((4, 12, 3), np.uint8)
    picture[:, 4:8], picture[:, 8:] = 100, 200
    image = Image.fromarray(picture)
    assert (fit(image, 4) == 100).all()
    assert (fit(image, 4, place=0) == 0).all()
    assert (fit(image, 4, place=1) == 200).all()
    assert fit(image, 64).shape == (64, 64, 3)


def test_fit_averages_when_it_shrinks_and_keeps_what_fits() -> None:
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    image = Image.fromarray(np.stack([board] * 3, -1))
    assert np.abs(fit(image, 8).astype(int) - 127).max() <= 2
    np.testing.assert_array_equal(fit(image, 64), np.asarray(image))


@pytest.mark.parametrize(
    "data", [b"", b"not a picture", encoded(Image.effect_noise((64, 64), 50), "JPEG")[:700]]
)
def test_unreadable_is_refused(data: bytes) -> None:
    with pytest.raises(BadPair, match="unreadable image"):
        decode(data)


def test_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("L", (64, 64)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(BadPair, match="unreadable image"):
        decode(data)


def test_storable_keeps_jpg_and_png_and_makes_png_of_the_rest() -> None:
    red = Image.new("RGB", (8, 8), (200, 30, 40))
    for form, extension in {"PNG": "png", "JPEG": "jpg"}.items():
        assert storable(encoded(red, form)) == (encoded(red, form), extension, red.size)
    data, extension, size = storable(encoded(red, "WEBP", lossless=True))
    assert (extension, size) == ("png", (8, 8))
    assert pixel(data) == (200, 30, 40)
    np.testing.assert_array_equal(np.asarray(decode(png(np.asarray(red)))), np.asarray(red))


def photo(width: int, height: int) -> Image.Image:
    """Something smooth with fine detail on it, as photographs have."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8)).resize((width, height))
    noise = random.normal(0, 6, (height, width, 3))
    return Image.fromarray((np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("size", [(97, 64), (64, 97), (128, 128)])
@pytest.mark.parametrize("resolution", [16, 33, 64, 100])
def test_resampling_is_pillow_s(size: tuple[int, int], resolution: int) -> None:
    image = photo(*size)
    side, (width, height) = min(size), size
    left, top = round((width - side) * 0.5), round((height - side) * 0.5)
    square = image.crop((left, top, left + side, top + side))
    expected = np.asarray(square.resize((resolution, resolution), Image.Resampling.BICUBIC))
    assert np.abs(fit(image, resolution).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("side", "size"), [(16, (64, 32)), (17, (128, 64)), (32, (128, 64)), (33, (256, 128))]
)
def test_large_jpegs_are_decoded_at_the_size_needed(side: int, size: tuple[int, int]) -> None:
    image = photo(512, 256)
    data = encoded(image, "JPEG", quality=95)
    small = decode(data, side)
    assert small.size == size, "a power of two smaller, and still twice what is asked for"
    error = fit(small, side).astype(float) - fit(decode(data), side)
    assert (error**2).mean() < 2.0


def test_the_size_needed_changes_nothing_else() -> None:
    image = photo(256, 128)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(image, "JPEG", exif=exif)
    assert decode(turned, 16).size == (32, 64)
    assert decode(encoded(image.convert("CMYK"), "JPEG"), 16).mode == "RGB"
    assert decode(encoded(image), 16).size == (256, 128), "other formats have no smaller size inside"


def test_sizes_by_the_header_are_those_of_the_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    for data in (
        encoded(photo(12, 8)),
        encoded(photo(12, 8), "JPEG", exif=exif),
        encoded(photo(12, 8), "WEBP"),
    ):
        assert size_of(data) == decode(data).size
    for data in (b"", b"text", encoded(photo(12, 8))[:20]):
        with pytest.raises(BadPair, match="unreadable image"):
            size_of(data)
