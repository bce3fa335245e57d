"""An invisible mark in the pixels of a picture, by the library blind-watermark, which is an extra.

A mark is 32 bits of a text's hash: who knows the text can ask whether a picture has it. How well it holds is measured in
experiments/watermark: through JPEG and resizing, and through no cropping at all. It is no lock: who knows the library can take it
out, or put it into any picture."""

import hashlib
import multiprocessing
from typing import Any

import numpy as np

BITS = 32
FOUND = 28
"""Bits that must agree: of 100,000 pictures without the mark about one has so many by chance."""
STRENGTH = (24, 13)
"""Steps to which the two largest singular values of a block are rounded. The library's own, 36 and 20, are seen as blotches of
color on plain ground; with less JPEG at quality 75 takes the mark out (experiments/watermark)."""
LEAST = 64
"""Pixels of the side below which there is no room for `BITS` twice."""


def write(picture: np.ndarray, text: str) -> np.ndarray:
    """(R, R, 3) uint8 -> the same with the mark of `text`. The same picture and text give the same pixels. ValueError when it is
    too small, or without the library."""
    if min(picture.shape[:2]) < LEAST:
        raise ValueError(
            f"watermark={text}: a picture of {picture.shape[1]} x {picture.shape[0]} has no room for it; leave it out, "
            f"or sample at {LEAST} x {LEAST} or more"
        )
    core = _core()
    core.read_img_arr(picture[..., ::-1].copy())  # the library's order of colors is OpenCV's
    core.read_wm(bits_of(text))
    return core.embed()[..., ::-1].round().clip(0, 255).astype(np.uint8)


def agreeing(picture: np.ndarray, text: str) -> int:
    """How many of `BITS` agree with the mark of `text`; about half of them where there is none. (H, W, 3) uint8 of the size
    that was marked."""
    if min(picture.shape[:2]) < LEAST:
        return 0
    read = _core().extract(picture[..., ::-1].copy(), (BITS,)) > 0.5
    return int((read == bits_of(text)).sum())


def has(picture: np.ndarray, text: str) -> bool:
    """Whether a picture has the mark of `text`, by `FOUND` of its bits."""
    return agreeing(picture, text) >= FOUND


def bits_of(text: str) -> np.ndarray:
    """(BITS,) of 0 and 1."""
    digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()
    return np.unpackbits(np.frombuffer(digest[: BITS // 8], np.uint8)).astype(np.int64)


def _core() -> Any:
    core = library()()
    core.d1, core.d2 = STRENGTH
    return core


def library() -> Any:
    """The library's class that marks one picture. ValueError when it is not there."""
    set_start_method = multiprocessing.set_start_method
    # the library sets the start method of all processes when it is imported, and fails where there is one already
    multiprocessing.set_start_method = lambda *_, **__: None
    try:
        from blind_watermark import WaterMarkCore  # type: ignore[import-not-found]  (an extra)
    except ImportError as error:
        raise ValueError(
            f"watermark= needs blind-watermark: pip install 'imagen-cascade[watermark]' ({error!s:.120})"
        ) from None
    finally:
        multiprocessing.set_start_method = set_start_method
    return WaterMarkCore
