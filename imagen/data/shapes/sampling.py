"""Scenes at random: what stands in the picture (rejected until it belongs to the split), then where."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.random import Generator

from imagen.data.shapes.scene import (
    BACKGROUNDS,
    COLORS,
    COUNTS_OF_ONE,
    COUNTS_OF_TWO,
    GAP,
    MARGIN,
    RELATIONS,
    SHAPES,
    SIZES,
    TEXTURES,
    Group,
    Scene,
)
from imagen.data.shapes.splits import SPLITS, split_of

STREAM = 7919  # sets these random numbers apart from those of captions, whose seeds are small
TWO_GROUPS = 0.6  # the share of scenes with two groups
JITTER = 0.05  # how far an object may stand off its place in an even arrangement, along each axis

_COLORS, _BACKGROUNDS = tuple(COLORS), tuple(BACKGROUNDS)
Box = tuple[float, float, float, float]  # x0, y0, x1, y1
Centre = tuple[float, float]
T = TypeVar("T")


def scene_of(split: str, seed: int, index: int) -> Scene:
    """The scene with this number: always the same, from (split, seed, index) alone. Seed and index are >= 0.

    Raises ValueError for a split that does not exist.
    """
    if split not in SPLITS:
        raise ValueError(f"split={split!r} does not exist; choose one of {', '.join(SPLITS)}")
    random = np.random.default_rng([STREAM, SPLITS.index(split), seed, index])
    while True:
        scene = _contents(random)
        if split_of(scene) == split:
            return _placed(scene, random)


def _contents(random: Generator) -> Scene:
    """Everything but diameters and places."""
    two = random.random() < TWO_GROUPS
    table: dict[tuple[int, ...], float] = COUNTS_OF_TWO if two else COUNTS_OF_ONE
    counts = _choose(random, table)
    groups = [_group(random, count, lone=not two) for count in counts]
    while two and (groups[0].color, groups[0].shape) == (groups[1].color, groups[1].shape):
        groups[1] = _group(random, counts[1], lone=False)
    relation = _choose(random, RELATIONS) if two else None
    return Scene(tuple(groups), relation, _choose(random, _BACKGROUNDS))


def _group(random: Generator, count: int, lone: bool) -> Group:
    color, shape = _choose(random, _COLORS), _choose(random, SHAPES)
    texture = _choose(random, TEXTURES)
    large = random.random() < 0.5 and (lone or count < 3)  # three large ones do not fit into half a canvas
    return Group(count, color, shape, "large" if large else "small", texture, 0.0, ())


def _placed(scene: Scene, random: Generator) -> Scene:
    low, high = MARGIN, 1 - MARGIN
    before, after = 0.5 - GAP / 2, 0.5 + GAP / 2
    halves: dict[str | None, tuple[Box, ...]] = {
        None: ((low, low, high, high),),
        "left of": ((low, low, before, high), (after, low, high, high)),
        "right of": ((after, low, high, high), (low, low, before, high)),
        "above": ((low, low, high, before), (low, after, high, high)),
        "below": ((low, after, high, high), (low, low, high, before)),
    }
    groups = []
    for group, box in zip(scene.groups, halves[scene.relation], strict=True):
        smallest, largest = SIZES[group.size]
        diameter = float(random.uniform(smallest, largest))
        if scene.relation is None:
            centres = _anywhere(random, box, group.count, diameter)
        else:
            centres = _along(random, box, group.count, diameter)
        groups.append(
            Group(group.count, group.color, group.shape, group.size, group.texture, diameter, centres)
        )
    return Scene(tuple(groups), scene.relation, scene.background)


def _anywhere(random: Generator, box: Box, count: int, diameter: float) -> tuple[Centre, ...]:
    """On the whole canvas: one in the middle, two in a line, three as two over one or one over two."""
    x0, y0, x1, y1 = box
    if count < 3:
        return _turned(random, box, count, diameter)
    border = random.uniform(y0 + diameter + GAP / 2, y1 - diameter - GAP / 2)
    over, under = (x0, y0, x1, border - GAP / 2), (x0, border + GAP / 2, x1, y1)
    pair, lone = (over, under) if random.random() < 0.5 else (under, over)
    return _row(random, pair, 2, diameter) + _row(random, lone, 1, diameter)


def _turned(random: Generator, box: Box, count: int, diameter: float) -> tuple[Centre, ...]:
    return (_row if random.random() < 0.5 else _column)(random, box, count, diameter)


def _along(random: Generator, box: Box, count: int, diameter: float) -> tuple[Centre, ...]:
    """In a line along the longer side of half a canvas."""
    x0, y0, x1, y1 = box
    return (_row if x1 - x0 > y1 - y0 else _column)(random, box, count, diameter)


def _row(random: Generator, box: Box, count: int, diameter: float) -> tuple[Centre, ...]:
    """Left to right in even places, each object off its own by up to JITTER, as far as GAP and the box
    allow."""
    x0, y0, x1, y1 = box
    pitch = (x1 - x0) / count
    between = GAP if count > 1 else 0.0
    along, across = (
        min(JITTER, max(free / 2, 0.0)) for free in (pitch - diameter - between, y1 - y0 - diameter)
    )
    xs = x0 + pitch * (np.arange(count) + 0.5) + random.uniform(-along, along, count)
    ys = (y0 + y1) / 2 + random.uniform(-across, across, count)
    return tuple((float(x), float(y)) for x, y in zip(xs, ys, strict=True))


def _column(random: Generator, box: Box, count: int, diameter: float) -> tuple[Centre, ...]:
    x0, y0, x1, y1 = box
    return tuple((x, y) for y, x in _row(random, (y0, x0, y1, x1), count, diameter))


def _choose(random: Generator, options: Mapping[T, float] | Sequence[T]) -> T:
    """One of the options, by their weights where they have some; 10 times as fast as `Generator.choice`."""
    draw = random.random()
    if not isinstance(options, Mapping):
        return options[int(draw * len(options))]
    *others, last = options
    for option in others:
        draw -= options[option]
        if draw < 0:
            return option
    return last
