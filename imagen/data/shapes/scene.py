"""The scene model: what a drawn picture consists of, its vocabulary and its measures.

A scene is one or two groups on a background. A group is 1 to 3 equal objects: count x color x shape x size
x texture. Two groups differ in color or in shape, stand in one relation, and each keeps its own half of the
canvas.
Lengths and positions are fractions of the canvas' side; x grows to the right, y downwards.
"""

from dataclasses import dataclass
from typing import Any

# No channel comes near 0 or 255: dynamic thresholding (section 2.3) takes a picture whose extreme values overshoot
# by a little as a whole towards grey, and 4 of the 768 values of a 16 x 16 picture are enough.
# Base tone, and the tone of the details (outline, stripes, dots): the same hue, so the color is unchanged.
COLORS: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "red": ((218, 42, 46), (152, 28, 32)),
    "yellow": ((226, 196, 40), (184, 146, 28)),
    "green": ((40, 152, 70), (28, 106, 48)),
    "blue": ((42, 96, 218), (28, 60, 152)),
    "purple": ((128, 44, 168), (88, 28, 120)),
    "black": ((34, 34, 38), (92, 92, 98)),
}
SHAPES = ("circle", "square", "triangle", "star")
TEXTURES = {"plain": 0.4, "outlined": 0.2, "striped": 0.2, "dotted": 0.2}  # and their share
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "white": (228, 228, 226),
    "pink": (228, 180, 192),
    "mint": (176, 222, 194),
    "lavender": (192, 180, 228),
}
# Diameters: about 4 and 6 pixels at 16 x 16. Nothing lies between, so that a size can be judged.
SIZES: dict[str, tuple[float, float]] = {"small": (0.25, 0.27), "large": (0.35, 0.37)}
SIZE_BORDER = 0.32
RELATIONS = ("left of", "right of", "above", "below")  # groups[0] stands so to groups[1]
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
COUNTS_OF_ONE: dict[tuple[int, ...], float] = {(1,): 0.4, (2,): 0.35, (3,): 0.25}
COUNTS_OF_TWO: dict[tuple[int, ...], float] = {(1, 1): 0.5, (1, 2): 0.2, (2, 1): 0.2, (2, 2): 0.1}
MARGIN = 0.04  # from an object to the canvas' edge, at least
GAP = 0.085  # between two objects' bounding squares, at least: 1.4 pixels at 16 x 16


@dataclass(frozen=True)
class Group:
    """Equal objects. `diameter`: side of the square that an object fits in; `centres`: those squares'."""

    count: int
    color: str
    shape: str
    size: str
    texture: str
    diameter: float
    centres: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Scene:
    """`relation` is how groups[0] stands to groups[1]; None in a scene of one group."""

    groups: tuple[Group, ...]
    relation: str | None
    background: str


def scene_from_dict(fields: dict[str, Any]) -> Scene:
    """The inverse of `dataclasses.asdict(scene)`, also after a passage through JSON."""
    groups = tuple(
        Group(**{**group, "centres": tuple((float(x), float(y)) for x, y in group["centres"])})
        for group in fields["groups"]
    )
    return Scene(groups, fields["relation"], fields["background"])
