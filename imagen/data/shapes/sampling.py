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
# How far a lone object of a relation may stand off the common axis: no relation is ambiguous.
OFF_AXIS = 0.12

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
        if group.count == 3 and scene.relation:
            largest = (high - low - 2 * GAP) / 3  # three in a row along the half
        diameter = float(random.uniform(smallest, largest))
        if scene.relation is None:
            centres = _anywhere(random, box, group.count, diameter)
        else:
            centres = _along(random, _narrowed(box, group.count, diameter), group.count, diameter)
        groups.append(
            Group(group.count, group.color, group.shape, group.size, group.texture, diameter, centres)
        )
    return Scene(tuple(groups), scene.relation, scene.background)


def _anywhere(random: Generator, box: Box, count: int, diameter: float) -> tuple[Centre, ...]:
    """On the whole canvas: one anywhere, two or three in a line or, three, two over one or one over two."""
    x0, y0, x1, y1 = box
    line_fits = count * diameter + (count - 1) * GAP <= x1 - x0
    if count < 3 or (line_fits and random.random() < 0.5):
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


def _narrowed(box: Box, count: int, diameter: float) -> Box:
    """The half's box, shortened about the middle when it holds a single object: see OFF_AXIS."""
    if count > 1:
        return box
    x0, y0, x1, y1 = box
    reach = OFF_AXIS + diameter / 2
    if x1 - x0 > y1 - y0:
        return (0.5 - reach, y0, 0.5 + reach, y1)
    return (x0, 0.5 - reach, x1, 0.5 + reach)


def _row(random: Generator, box: Box, count: int, diameter: float) -> tuple[Centre, ...]:
    """Left to right, the slack dealt out at random before, between and after; each at its own height."""
    x0, y0, x1, y1 = box
    slack = max(x1 - x0 - count * diameter - (count - 1) * GAP, 0.0)
    offsets = np.sort(random.random(count)) * slack
    xs = x0 + diameter / 2 + np.arange(count) * (diameter + GAP) + offsets
    ys = random.uniform(y0 + diameter / 2, y1 - diameter / 2, count)
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
