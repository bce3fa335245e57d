"""Bytes of a picture file -> uint8 RGB of the resolution asked for, whatever the file's mode.

R resolution.
"""

import io
import warnings
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from imagen.data.sources.source import BadPair

EXTENSIONS = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff")
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
# theirs, and no other that Pillow knows, whatever a file is called: for one of them it starts a program; MPO is a JPEG
KEPT = {
    "JPEG": "jpg",
    "MPO": "jpg",
    "PNG": "png",
}  # formats that go into a shard as they are; MPO is a phone's JPEG
SPARE = 2


class Patch(NamedTuple):
    """A square of `side` pixels of a picture that was resized; `x`, `y` in [0, 1]: where it lies."""

    side: int
    x: float = 0.5
    y: float = 0.5


def decode(data: bytes, side: int | None = None) -> Image.Image:
    """A picture file's bytes -> upright RGB picture, transparency over white. BadPair when it cannot be read
    to its end.

    `side`: what `fit` will be asked for. A JPEG that is much larger is then decoded at 1/2, 1/4 or 1/8 of its size,
    by leaving out the fine part of each block, but never below `SPARE` times `side`: the last halving is left to
    `fit`'s resampling."""
    return _read(data, side)[0]


def fit(image: Image.Image, resolution: int, place: float = 0.5, patch: Patch | None = None) -> np.ndarray:
    """The square of the picture's short side, resized -> (R, R, 3) uint8. Antialiased bicubic, in one
    resampling.

    `place` in [0, 1]: where along the long side the square lies; 0.5 is the centre. `patch`: of that square of R x R
    only a smaller one -> (side, side, 3), without resizing the rest.
    """
    width, height = image.size
    side = min(width, height)
    # whole pixels: a crop between pixels would blur a picture that already has the resolution asked for
    left, top = round((width - side) * place), round((height - side) * place)
    right, bottom, out = left + side, top + side, resolution
    if patch is not None:
        scale, out = side / resolution, patch.side
        x, y = (round(at * (resolution - out)) for at in (patch.x, patch.y))
        left, right = left + round(x * scale), left + round((x + out) * scale)
        top, bottom = top + round(y * scale), top + round((y + out) * scale)
    square = np.array(image.crop((left, top, right, bottom)))
    if square.shape[:2] == (out, out):
        return square
    pixels = torch.from_numpy(square).permute(2, 0, 1)[None]
    # Pillow's own resampling, which takes twice as long, differs by 1 of 255 at most
    resized = F.interpolate(pixels, (out, out), mode="bicubic", antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


def in_range(pictures: torch.Tensor) -> torch.Tensor:
    """(B, R, R, 3) uint8 -> (B, 3, R, R) float32 in [-1, 1], on their device. A quarter of the bytes travels there; the
    memory stays as it is, which is channels-last."""
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1


def png(picture: np.ndarray) -> bytes:
    """(H, W, 3) uint8 -> the bytes of a png file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=6)
    return file.getvalue()


def storable(data: bytes) -> tuple[bytes, str, tuple[int, int]]:
    """A picture file's bytes -> bytes, extension and (width, height) for a shard: jpg and png as they are, other
    formats as png of the decoded picture. BadPair when it cannot be read to its end."""
    image, form = _read(data)
    return (data, KEPT[form], image.size) if form in KEPT else (png(np.asarray(image)), "png", image.size)


def size_of(data: bytes) -> tuple[int, int]:
    """(width, height) that a picture file will have, by its header alone. BadPair when it has none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            width, height = image.size
            turned = image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    except UnidentifiedImageError as error:
        raise BadPair("unreadable image", "not a picture") from error
    except Exception as error:
        raise BadPair("unreadable image", str(error) or type(error).__name__) from error
    return (height, width) if turned else (width, height)


def _read(data: bytes, side: int | None = None) -> tuple[Image.Image, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # broken EXIF and the like: what counts is whether the pixels can be had
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            form = image.format or ""
            if side is not None and form in ("JPEG", "MPO"):
                image.draft(None, (SPARE * side, SPARE * side))  # does nothing where that would be too small
            image.load()
            return _rgb(ImageOps.exif_transpose(image)), form
    except UnidentifiedImageError as error:  # whose own words name a place in memory, another one each time
        raise BadPair("unreadable image", "not a picture") from error
    except Exception as error:
        raise BadPair("unreadable image", str(error) or type(error).__name__) from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float32)
        if values.max() > 255:  # 16 bits a pixel, which Pillow would clip to white
            values = values / 257
        image = Image.fromarray(values.clip(0, 255).round().astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
