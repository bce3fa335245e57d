"""Captioned pictures on a sheet: a row a prompt, a column a setting; or a caption under each."""

import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

MARGIN = 4
LETTERS = 13  # height of the type in pixels


def to_uint8(pictures: Tensor) -> np.ndarray:
    """(..., 3, R, R) in [-1, 1] -> (..., R, R, 3) uint8 on the host; values outside are clipped."""
    scaled = ((pictures.float().clamp(-1, 1) + 1) * 127.5).round().byte().cpu()
    return scaled.movedim(-3, -1).numpy()


def captioned_grid(
    pictures: np.ndarray, rows: Sequence[str], columns: Sequence[str], side: int = 96
) -> Image.Image:
    """`pictures` (rows, columns, R, R, 3) uint8 -> one picture, each enlarged by a whole number until it is
    about `side` wide.

    `rows`: captions, at the left. `columns`: what is written above.
    """
    height, width, resolution = pictures.shape[:3]
    cell = resolution * max(1, side // resolution)
    font = ImageFont.load_default(LETTERS)
    left, line = 150, LETTERS + 3
    heads = [textwrap.wrap(column, max(6, cell // 7)) for column in columns]
    top = line * max(len(head) for head in heads) + MARGIN
    sheet = Image.new("RGB", (left + width * (cell + MARGIN), top + height * (cell + MARGIN)), "white")
    draw = ImageDraw.Draw(sheet)
    for j, head in enumerate(heads):
        draw.text((left + j * (cell + MARGIN), 2), "\n".join(head), "black", font)
    for i, caption in enumerate(rows):
        y = top + i * (cell + MARGIN)
        lines = textwrap.wrap(caption, 22)[: max(1, cell // line)]
        draw.text((MARGIN, y), "\n".join(lines), "black", font)
        for j in range(width):
            tile = Image.fromarray(pictures[i, j]).resize((cell, cell), Image.Resampling.NEAREST)
            sheet.paste(tile, (left + j * (cell + MARGIN), y))
    return sheet


def contact_sheet(
    pictures: Sequence[np.ndarray], captions: Sequence[str], columns: int = 6, side: int = 160, lines: int = 4
) -> Image.Image:
    """Pictures (H_i, W_i, 3) uint8 of any sizes -> one picture: each whole, in a square of `side`, over the first
    `lines` lines of its caption. No picture makes an empty row."""
    font, line = ImageFont.load_default(LETTERS), LETTERS + 3
    height, width = side + lines * line + 3 * MARGIN, side + 2 * MARGIN
    rows = max(1, -(-len(pictures) // columns))
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        x, y = number % columns * width + MARGIN, number // columns * height + MARGIN
        tile = letterboxed(picture, side)
        sheet.paste(tile, (x, y))
        # cut first: wrapping a caption of a megabyte takes seconds
        draw.text(
            (x, y + side + MARGIN),
            "\n".join(_wrapped(caption[: 200 * lines], side, lines, font)),
            "black",
            font,
        )
    return sheet


def letterboxed(picture: np.ndarray, side: int) -> Image.Image:
    """(H, W, 3) uint8 -> the whole picture in the middle of a grey square of `side`. Enlarged, its pixels stay to be
    seen."""
    image = Image.fromarray(picture)
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    square = Image.new("RGB", (side, side), (226, 226, 226))
    square.paste(image.resize(size, how), ((side - size[0]) // 2, (side - size[1]) // 2))
    return square


def _wrapped(
    text: str, width: int, lines: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont
) -> list[str]:
    """The first lines of a text, each at most `width` pixels wide; the last one ends in ... when there is more."""
    found, rest = [], text.split()
    while rest and len(found) < lines:
        words = 1
        while words < len(rest) and font.getlength(" ".join(rest[: words + 1])) <= width:
            words += 1
        line = " ".join(rest[:words])
        letters = len(line)
        while letters > 1 and font.getlength(line[:letters]) > width:  # a word wider than the sheet
            letters -= 1
        rest = ([line[letters:]] if letters < len(line) else []) + rest[words:]
        found.append(line[:letters])
    if rest and found:
        while found[-1] and font.getlength(f"{found[-1]}...") > width:
            found[-1] = found[-1][:-1]
        found[-1] += "..."
    return found
