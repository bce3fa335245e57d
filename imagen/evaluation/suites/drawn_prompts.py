"""Prompts of the drawn world, in DrawBench's categories, whose ground truth its judge can check exactly."""

from itertools import product
from typing import Any

from imagen.data.shapes.captions import Asked, AskedGroup, words_of
from imagen.data.shapes.scene import (
    BACKGROUNDS,
    COLORS,
    COUNTS_OF_TWO,
    RELATIONS,
    SHAPES,
    SIZES,
    Group,
    Scene,
)
from imagen.data.shapes.splits import split_of
from imagen.evaluation.suites.streams import Space, split_index
from imagen.evaluation.suites.suite import Prompt

LEAVES_OUT = (
    "whatever is not drawn: more than four objects, textures, texts, styles, people; no relation but left, right, above, "
    "below"
)
_KINDS = tuple(product(COLORS, SHAPES))  # color, shape
_SIZES = (None, *SIZES)
_BACKGROUNDS = (None, *BACKGROUNDS)
_COUNTS = tuple(COUNTS_OF_TWO)
_APART = tuple((a, b) for a, b in product(_KINDS, _KINDS) if a[0] != b[0] and a[1] != b[1])
_ALIKE = tuple((a, b) for a, b in product(_KINDS, _KINDS) if (a[0] == b[0]) != (a[1] == b[1]))


def spaces() -> dict[str, list[Space]]:
    """Category -> its prompts.

    Colors       one object
    Counting     two or three equal ones
    Positional   two groups that share neither color nor shape
    Conflicting  two groups that share one of them, so that attributes can be bound wrongly

    Each prompt's tag split:NAME says which split of imagen.data.shapes its scene belongs to: those of train may have
    been seen, the others not."""
    one = len(_KINDS) * len(_SIZES) * len(_BACKGROUNDS)
    two = len(RELATIONS) * len(_COUNTS) * len(_SIZES) ** 2 * len(_BACKGROUNDS)
    return {
        "Colors": [Space("one", one, lambda i: _alone("Colors", (1,), i))],
        "Counting": [Space("equal", 2 * one, lambda i: _alone("Counting", (2, 3), i))],
        "Positional": [Space("apart", len(_APART) * two, lambda i: _related("Positional", _APART, i))],
        "Conflicting": [Space("alike", len(_ALIKE) * two, lambda i: _related("Conflicting", _ALIKE, i))],
    }


def truth_of(asked: Asked) -> dict[str, Any]:
    """What a prompt asks for as plain JSON; sizes, relation and background only where they are said."""
    groups = [
        {"count": g.count, "color": g.color, "shape": g.shape} | ({"size": g.size} if g.size else {})
        for g in asked.groups
    ]
    said = {"relation": asked.relation, "background": asked.background}
    return {"world": "shapes", "groups": groups} | {key: value for key, value in said.items() if value}


def asked_for(truth: dict[str, Any]) -> Asked:
    """The inverse of `truth_of`: what `shapes_judge.score` compares a picture with. ValueError for a truth that is not of
    the drawn world."""
    try:
        if truth["world"] != "shapes":
            raise KeyError("world")
        groups = tuple(
            AskedGroup(int(g["count"]), g["color"], g["shape"], g.get("size")) for g in truth["groups"]
        )
        asked = Asked(groups, truth.get("relation"), truth.get("background"))
        possible = (
            len(groups) in (1, 2)
            and all(
                g.count in (1, 2, 3) and g.color in COLORS and g.shape in SHAPES and g.size in _SIZES
                for g in groups
            )
            and asked.relation in (None, *RELATIONS)
            and asked.background in _BACKGROUNDS
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        possible = False
    if not possible:
        raise ValueError(
            "truth is none of the drawn world; prompts of imagen-suite compose world=shapes have one"
        )
    return asked


def _alone(category: str, counts: tuple[int, ...], index: int) -> Prompt:
    count, kind, size, background = split_index(
        index, [len(counts), len(_KINDS), len(_SIZES), len(_BACKGROUNDS)]
    )
    group = AskedGroup(counts[count], *_KINDS[kind], _SIZES[size])
    return _prompt(category, Asked((group,), None, _BACKGROUNDS[background]))


def _related(category: str, pairs: tuple[tuple[tuple[str, str], tuple[str, str]], ...], index: int) -> Prompt:
    sizes = [len(pairs), len(RELATIONS), len(_COUNTS), len(_SIZES), len(_SIZES), len(_BACKGROUNDS)]
    pair, relation, count, first, second, background = split_index(index, sizes)
    groups = tuple(
        AskedGroup(number, *kind, _SIZES[size])
        for number, kind, size in zip(_COUNTS[count], pairs[pair], (first, second))
    )
    return _prompt(category, Asked(groups, RELATIONS[relation], _BACKGROUNDS[background]))


def _prompt(category: str, asked: Asked) -> Prompt:
    groups = tuple(Group(g.count, g.color, g.shape, "small", "plain", 0.0, ()) for g in asked.groups)
    split = split_of(Scene(groups, asked.relation, "white"))
    return Prompt(
        words_of(asked), category, source="composed", tags=(f"split:{split}",), truth=truth_of(asked)
    )
