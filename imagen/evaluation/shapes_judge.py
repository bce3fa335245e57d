"""The judge of drawn scenes: a picture back into what stands in it, and the score of that against a caption.

Exact image analysis, no learned weights. The background is the frame's median; objects are the connected
regions that differ from it; an object's color is the one that most of its inner pixels are nearest to; its
shape is the one whose own rendering, at the region's centroid and area, overlaps it best (intersection over
union). What fits nothing is "unknown", which is right for no caption.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from imagen.data.shapes.captions import Asked, AskedGroup, asked_of, parse
from imagen.data.shapes.render import distance
from imagen.data.shapes.scene import BACKGROUNDS, COLORS, SHAPES, SIZE_BORDER, Scene

KEYS = ("color", "shape", "count", "relation", "scene")
UNKNOWN = "unknown"
CONTRAST = 60.0  # RGB distance from the background, of 255, that makes a pixel part of an object
SPECK = (
    0.005  # regions of a smaller area (of the canvas) are noise; the smallest object, a small star, has 0.017
)
COLOR_REACH = 85.0  # RGB distance to the palette beyond which a color is unknown
FIT = 0.7  # overlap below which a shape is unknown; clean pictures at 64 have 0.87 and more
MOST = 7  # objects that are looked at when groups are told apart; captions ask for at most 4


@dataclass(frozen=True)
class SeenObject:
    """Lengths: fractions of the side. `color` and `shape` may be "unknown"; `fit`: the shape's overlap."""

    color: str
    shape: str
    x: float
    y: float
    diameter: float
    fit: float

    @property
    def size(self) -> str:
        return "small" if self.diameter < SIZE_BORDER else "large"


@dataclass(frozen=True)
class Seen:
    """All that the judge found in a picture, the largest object first."""

    objects: tuple[SeenObject, ...]
    background: str


def judge(picture: np.ndarray) -> Seen:
    """uint8 (R, R, 3) -> what is seen. Meant for R = 32 to 128; 16 has too few pixels to tell shapes apart.

    Raises ValueError for another type or shape.
    """
    if (
        picture.dtype != np.uint8
        or picture.ndim != 3
        or picture.shape[0] != picture.shape[1]
        or picture.shape[2] != 3
    ):
        raise ValueError(f"picture is {picture.dtype} {picture.shape}; the judge reads uint8 (R, R, 3)")
    image = picture.astype(np.float32)
    resolution = len(image)
    frame = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
    ground = np.median(frame, axis=0)
    contrast = np.linalg.norm(image - ground, axis=2)
    labels, regions = _regions(_smoothed(contrast) > CONTRAST)
    objects = []
    for label, (y0, y1, x0, x1) in regions:
        y0, y1, x0, x1 = max(y0 - 1, 0), min(y1 + 1, resolution), max(x0 - 1, 0), min(x1 + 1, resolution)
        own = labels[y0:y1, x0:x1] == label
        if own.sum() < SPECK * resolution**2:
            continue
        near = _grown(own)  # its anti-aliased rim may lie below the threshold
        objects.append(_object(image[y0:y1, x0:x1], contrast[y0:y1, x0:x1], own, near, (x0, y0), resolution))
    objects.sort(key=lambda o: -o.diameter)
    return Seen(tuple(objects), _nearest_background(ground))


def score(seen: Seen, asked: Asked) -> dict[str, bool | None]:
    """Which of KEYS are right, and "size" and "background".

    Objects are first dealt out to the asked groups in the way that makes most right; then
    color     every object has its group's color, and no group is empty
    shape     likewise
    count     every group has its number of objects; none is left over
    relation  the centre of every object of one group lies on the asked side of every one of the other, and
              the groups' mean centres are further apart on that axis than on the other; None where the
              caption asks for none
    size, background  None where the caption does not say them
    scene     all of these at once
    Textures are not judged.
    """
    background = None if asked.background is None else seen.background == asked.background
    best: tuple[tuple[bool, int, int], dict[str, bool | None]] | None = None
    for groups in _dealt(seen.objects[:MOST], len(asked.groups)):
        found, agreeing = _compare(groups, asked)
        if len(seen.objects) > MOST:
            found["count"] = False
        sized = [(wanted.size, group) for wanted, group in zip(asked.groups, groups) if wanted.size]
        found["size"] = all(o.size == size for size, group in sized for o in group) if sized else None
        found["background"] = background
        found["scene"] = all(value is not False for value in found.values())
        rank = (bool(found["scene"]), sum(value is True for value in found.values()), agreeing)
        if best is None or rank > best[0]:
            best = rank, found
    assert best is not None
    return best[1]


def alignment(pictures: Sequence[np.ndarray], asked: Sequence[str | Scene | Asked]) -> dict[str, float]:
    """Means of the keys over pictures, uint8 (R, R, 3) each, against captions (or scenes: all they have).

    `relation` is the mean over those that ask for one, 1.0 where none does. ValueError for no picture, for
    unequal numbers, and for a caption outside of the grammar.
    """
    if len(pictures) != len(asked) or not len(pictures):
        raise ValueError(
            f"{len(pictures)} pictures cannot be judged against {len(asked)} captions; give one each"
        )
    scores = [score(judge(picture), _asked(wanted)) for picture, wanted in zip(pictures, asked)]
    means = {}
    for key in KEYS:
        values = [value for one in scores if (value := one[key]) is not None]
        means[key] = sum(values) / len(values) if values else 1.0
    return means


def _asked(wanted: str | Scene | Asked) -> Asked:
    if isinstance(wanted, str):
        return parse(wanted)
    return asked_of(wanted) if isinstance(wanted, Scene) else wanted


# From a picture to objects


def _object(
    patch: np.ndarray,
    contrast: np.ndarray,
    own: np.ndarray,
    near: np.ndarray,
    corner: tuple[int, int],
    resolution: int,
) -> SeenObject:
    """patch (h, w, 3), contrast, own, near (h, w); `corner` is the patch's upper left pixel (x, y)."""
    inner = own & (contrast > 0.8 * np.median(contrast[own]))
    # The region's edge, where color and background mix, is at half of the inner contrast.
    cover = np.clip(2.5 * (contrast / np.median(contrast[inner]) - 0.5) + 0.5, 0, 1) * near
    area = cover.sum() / resolution**2
    xs = (corner[0] + np.arange(own.shape[1]) + 0.5) / resolution
    ys = (corner[1] + np.arange(own.shape[0]) + 0.5) / resolution
    x = float((cover.sum(0) * xs).sum() / cover.sum())
    y = float((cover.sum(1) * ys).sum() / cover.sum())
    fits = []
    for shape in SHAPES:
        unit_area, unit_rise = _MEASURES[shape]
        diameter = float(np.sqrt(area / unit_area))
        depth = distance(shape, xs[None, :] - x, ys[:, None] - (y - unit_rise * diameter), diameter)
        template = np.clip(0.5 - depth * resolution, 0, 1)
        # What the template has outside of the patch counts as missed.
        both = np.minimum(template, cover).sum()
        union = area * resolution**2 + max(unit_area * (diameter * resolution) ** 2, template.sum()) - both
        fits.append((float(both / union), shape, diameter, y - unit_rise * diameter))
    fit, shape, diameter, centre_y = max(fits)
    return SeenObject(_color(patch[inner]), shape if fit >= FIT else UNKNOWN, x, centre_y, diameter, fit)


def _color(pixels: np.ndarray) -> str:
    """(n, 3) -> the color most pixels are nearest to; all tones from base to details are that color."""
    offset = pixels[:, None, :] - _BASES
    along = np.clip((offset * _TONES).sum(2) / (_TONES**2).sum(1), 0, 1)
    far = np.linalg.norm(offset - along[:, :, None] * _TONES, axis=2)
    votes = np.bincount(far.argmin(1), minlength=len(COLORS))
    winner = int(votes.argmax())
    sure = votes[winner] >= 0.6 * len(pixels) and np.median(far[:, winner]) <= COLOR_REACH
    return tuple(COLORS)[winner] if sure else UNKNOWN


def _nearest_background(ground: np.ndarray) -> str:
    far = {name: float(np.linalg.norm(ground - np.asarray(rgb))) for name, rgb in BACKGROUNDS.items()}
    name = min(far, key=far.__getitem__)
    return name if far[name] <= COLOR_REACH else UNKNOWN


def _smoothed(values: np.ndarray) -> np.ndarray:
    """(R, R) -> (R, R), a light blur (1 2 1 in both directions) against noise, at 48 pixels and more."""
    if len(values) < 48:
        return values
    padded = np.pad(values, 1, mode="edge")
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    return (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 16


def _grown(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    return rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]


def _regions(mask: np.ndarray) -> tuple[np.ndarray, list[tuple[int, tuple[int, int, int, int]]]]:
    """(R, R) bool -> labels (R, R) int; label and y0, y1, x0, x1 of each connected (4-neighbour) region.

    Runs of a row are joined with those they touch in the row above (union-find): visits runs, not pixels.
    """
    height, width = mask.shape
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    _, ends = np.nonzero(edges == -1)
    runs = list(zip(rows.tolist(), starts.tolist(), ends.tolist()))
    parent = list(range(len(runs)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    above = 0
    for i, (row, start, end) in enumerate(runs):
        while runs[above][0] < row - 1 or (runs[above][0] == row - 1 and runs[above][2] <= start):
            above += 1
        j = above
        while j < i and runs[j][0] == row - 1 and runs[j][1] < end:
            parent[root(j)] = root(i)
            j += 1
    labels = np.zeros((height, width), np.int32)
    boxes: dict[int, tuple[int, int, int, int]] = {}
    for i, (row, start, end) in enumerate(runs):
        label = root(i) + 1
        labels[row, start:end] = label
        y0, _, x0, x1 = boxes.get(label, (row, row, start, end))
        boxes[label] = (y0, row + 1, min(x0, start), max(x1, end))
    return labels, list(boxes.items())


def _measures(shape: str) -> tuple[float, float]:
    """Area, and how far the centroid lies below the centre, of the shape of diameter 1."""
    place = (np.arange(400) + 0.5) / 400 - 0.5
    inside = distance(shape, place[None, :], place[:, None], 1.0) < 0
    return float(inside.mean()), float((inside.sum(1) * place).sum() / inside.sum())


_MEASURES = {shape: _measures(shape) for shape in SHAPES}
_BASES = np.asarray([base for base, _ in COLORS.values()], np.float32)
_TONES = np.asarray([tone for _, tone in COLORS.values()], np.float32) - _BASES


# From objects to a score


def _dealt(objects: Sequence[SeenObject], groups: int) -> list[tuple[list[SeenObject], ...]]:
    """All ways to deal the objects out to the groups."""
    return [
        tuple([o for o, to in zip(objects, deal) if to == group] for group in range(groups))
        for deal in product(range(groups), repeat=len(objects))
    ]


def _compare(groups: Sequence[list[SeenObject]], asked: Asked) -> tuple[dict[str, bool | None], int]:
    """The keys but "scene", and how many attributes of how many objects agree (to choose between equals)."""
    pairs: list[tuple[AskedGroup, list[SeenObject]]] = list(zip(asked.groups, groups))
    none_empty = all(len(group) > 0 for group in groups)
    found: dict[str, bool | None] = {
        "color": none_empty and all(o.color == wanted.color for wanted, group in pairs for o in group),
        "shape": none_empty and all(o.shape == wanted.shape for wanted, group in pairs for o in group),
        "count": all(len(group) == wanted.count for wanted, group in pairs),
        "relation": None
        if asked.relation is None
        else none_empty and _related(groups[0], groups[1], asked.relation),
    }
    agreeing = sum((o.color == w.color) + (o.shape == w.shape) for w, group in pairs for o in group)
    return found, agreeing


def _related(first: list[SeenObject], second: list[SeenObject], relation: str) -> bool:
    a, b = (np.asarray([(o.x, o.y) for o in group]) for group in (first, second))
    if relation in ("right of", "below"):
        a, b = b, a
    axis = 0 if relation in ("left of", "right of") else 1
    apart = b.mean(0) - a.mean(0)
    return bool(a[:, axis].max() < b[:, axis].min() and apart[axis] > abs(apart[1 - axis]))
