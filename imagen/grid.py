"""A captioned grid of pictures: a row a prompt, a column a setting."""

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
