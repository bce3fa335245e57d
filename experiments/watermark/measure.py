"""How well invisible watermarks of libraries hold: share of bits right and of marks read back, by size of picture and by what
was done to it, and what the mark costs (PSNR).

    python experiments/watermark/measure.py PHOTOS --count 40 > results.md

PHOTOS is a folder of photographs, whose middle squares are resized; drawn scenes of this project's world stand beside them.
Needs `pip install invisible-watermark blind-watermark`."""

import argparse
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from imwatermark.dwtDctSvd import EmbedDwtDctSvd
from imwatermark.maxDct import EmbedMaxDct
from PIL import Image

from imagen.data.pictures import EXTENSIONS, decode, fit
from imagen.data.shapes import draw, scene_of
from imagen.watermark import BITS, FOUND, STRENGTH, library

WaterMarkCore = library()
Mark = tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]


def invisible(kind: type) -> Mark:
    """A method of invisible-watermark, whose front refuses pictures below 256 x 256."""

    def write(picture: np.ndarray, bits: np.ndarray) -> np.ndarray:
        return kind(list(bits), wmLen=BITS).encode(picture[..., ::-1].copy())[..., ::-1]

    def read(picture: np.ndarray) -> np.ndarray:
        return np.asarray(kind([], wmLen=BITS).decode(picture[..., ::-1].copy()))

    return write, read


def blind(strength: tuple[int, int]) -> Mark:
    """blind-watermark without its keys and its clustering of what it read."""

    def core() -> Any:
        made = WaterMarkCore()
        made.d1, made.d2 = strength
        return made

    def write(picture: np.ndarray, bits: np.ndarray) -> np.ndarray:
        one = core()
        one.read_img_arr(picture[..., ::-1].copy())
        one.read_wm(bits)
        return one.embed()[..., ::-1].round().clip(0, 255).astype(np.uint8)

    def read(picture: np.ndarray) -> np.ndarray:
        return core().extract(picture[..., ::-1].copy(), (BITS,)) > 0.5

    return write, read


METHODS = {
    "invisible-watermark dwtDct": invisible(EmbedMaxDct),
    "invisible-watermark dwtDctSvd": invisible(EmbedDwtDctSvd),
    "blind-watermark": blind((36, 20)),
    f"the same, strength {STRENGTH}: ours": blind(STRENGTH),
}


def jpeg(quality: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(picture: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))

    return change


def resized(picture: np.ndarray) -> np.ndarray:
    side = len(picture)
    small = Image.fromarray(picture).resize((side // 2, side // 2), Image.Resampling.BICUBIC)
    return np.asarray(small.resize((side, side), Image.Resampling.BICUBIC))


def cropped(picture: np.ndarray) -> np.ndarray:
    edge = round(len(picture) * 0.05)
    return picture[edge : len(picture) - edge, edge : len(picture) - edge].copy()


BEFORE = "not marked"
CHANGES = {
    "as it is": lambda picture: picture,
    "JPEG 95": jpeg(95),
    "JPEG 75": jpeg(75),
    "JPEG 50": jpeg(50),
    "half and back": resized,
    "10 % cropped": cropped,
}


def photographs(folder: Path, side: int, count: int) -> Iterator[np.ndarray]:
    """Their middle squares."""
    files = sorted(p for p in folder.iterdir() if p.suffix[1:].lower() in EXTENSIONS)
    for file in files[:count]:
        yield fit(decode(file.read_bytes()), side)


def scenes(side: int, count: int) -> Iterator[np.ndarray]:
    """Of the drawn world."""
    for row in range(count):
        yield draw(scene_of("test", 0, row), side)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(max(np.mean((a.astype(float) - b) ** 2) / 255**2, 1e-9)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 256, 512])
    given = parser.parse_args()
    print(f"| pictures | pixels | method | PSNR, dB | s | {' | '.join([BEFORE, *CHANGES])} |")
    print("|" + " --- |" * (6 + len(CHANGES)))
    for side in given.sides:
        of = {"photographs": photographs(given.photos, side, given.count), "drawn": scenes(side, given.count)}
        for what, pictures in of.items():
            pictures = list(pictures)
            for name, (write, read) in METHODS.items():
                random, loss, began = np.random.default_rng(0), [], time.perf_counter()
                truth = [random.integers(0, 2, BITS) for _ in pictures]
                marked = [write(picture, bits) for picture, bits in zip(pictures, truth)]
                seconds = (time.perf_counter() - began) / len(pictures)
                loss = [psnr(picture, one) for picture, one in zip(pictures, marked)]
                cells = []
                read_from = [pictures, *([change(one) for one in marked] for change in CHANGES.values())]
                for ones in read_from:
                    right = [(read(one) == bits).sum() for one, bits in zip(ones, truth)]
                    found = np.mean(np.asarray(right) >= FOUND)
                    cells.append(f"{found:.2f} ({np.mean(right) / BITS:.2f})")
                row = [
                    what,
                    f"{side} (n = {len(pictures)})",
                    name,
                    f"{np.mean(loss):.1f}",
                    f"{seconds:.2f}",
                    *cells,
                ]
                print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
