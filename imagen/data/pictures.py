"""Bytes of a picture file -> uint8 RGB of the resolution asked for, whatever the file's mode.

R resolution.
"""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from imagen.data.sources.source import BadPair

EXTENSIONS = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff")
KEPT = {
    "JPEG": "jpg",
    "MPO": "jpg",
    "PNG": "png",
}  # formats that go into a shard as they are; MPO is a phone's JPEG


def decode(data: bytes) -> Image.Image:
    """A picture file's bytes -> upright RGB picture, transparency over white. BadPair when it cannot be read
    to its end."""
    return _read(data)[0]


def fit(image: Image.Image, resolution: int, place: float = 0.5) -> np.ndarray:
    """The square of the picture's short side, resized -> (R, R, 3) uint8. Antialiased bicubic, in one
    resampling.

    `place` in [0, 1]: where along the long side the square lies; 0.5 is the centre.
    """
    width, height = image.size
    side = min(width, height)
    # whole pixels: a crop between pixels would blur a picture that already has the resolution asked for
    left, top = round((width - side) * place), round((height - side) * place)
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((resolution, resolution), Image.Resampling.BICUBIC, box=box))


def png(picture: np.ndarray) -> bytes:
    """(H, W, 3) uint8 -> the bytes of a png file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=6)
    return file.getvalue()


def storable(data: bytes) -> tuple[bytes, str]:
    """A picture file's bytes -> bytes and extension for a shard: jpg and png as they are, other formats as
    png of the decoded picture. BadPair when it cannot be read to its end."""
    image, form = _read(data)
    return (data, KEPT[form]) if form in KEPT else (png(np.asarray(image)), "png")


def _read(data: bytes) -> tuple[Image.Image, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # broken EXIF and the like: what counts is whether the pixels can be had
            image = Image.open(io.BytesIO(data))
            form = image.format or ""
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
