"""Prompts of common things, in DrawBench's categories, whose ground truth is in GenEval's form: a detector can check it."""

from collections.abc import Sequence
from itertools import permutations, product
from typing import Any

from imagen.evaluation.suites.streams import Space, split_index
from imagen.evaluation.suites.suite import Prompt

LEAVES_OUT = (
    "whatever a detector of COCO's classes cannot check: texts, styles, actions, people; more than five of a thing; no "
    "relation but left, right, above, below"
)
COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
RELATIONS = ("left of", "right of", "above", "below")
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
# COCO's names (a detector's), of things that come in any color -> of many
THINGS = {
    "bicycle": "bicycles", "car": "cars", "motorcycle": "motorcycles", "bus": "buses", "train": "trains", "truck": "trucks",
    "boat": "boats", "bench": "benches", "bird": "birds", "cat": "cats", "dog": "dogs", "horse": "horses",
    "backpack": "backpacks", "umbrella": "umbrellas", "handbag": "handbags", "tie": "ties", "suitcase": "suitcases",
    "frisbee": "frisbees", "kite": "kites", "baseball glove": "baseball gloves", "skateboard": "skateboards",
    "surfboard": "surfboards", "bottle": "bottles", "wine glass": "wine glasses", "cup": "cups", "fork": "forks",
    "knife": "knives", "spoon": "spoons", "bowl": "bowls", "cake": "cakes", "chair": "chairs", "couch": "couches",
    "bed": "beds", "dining table": "dining tables", "laptop": "laptops", "computer mouse": "computer mice",
    "cell phone": "cell phones", "microwave": "microwaves", "toaster": "toasters", "refrigerator": "refrigerators",
    "book": "books", "clock": "clocks", "vase": "vases", "teddy bear": "teddy bears",
    "hair drier": "hair driers", "toothbrush": "toothbrushes", "parking meter": "parking meters",
}  # fmt: skip
# things that everyone knows in some colors: those that contradict nothing
USUAL = {
    "banana": ("yellow", "green", "brown", "black"),
    "broccoli": ("green", "purple"),
    "carrot": ("orange", "purple", "yellow", "red", "white", "black"),
    "fire hydrant": ("red", "yellow"),
    "stop sign": ("red",),
    "elephant": ("brown", "white", "black"),
    "zebra": ("black", "white", "brown"),
    "giraffe": ("yellow", "orange", "brown", "white"),
    "bear": ("brown", "black", "white"),
    "cow": ("brown", "black", "white", "red"),
    "sheep": ("white", "black", "brown"),
}
_THINGS = tuple(THINGS)
_ODD = tuple((thing, color) for thing, usual in USUAL.items() for color in COLORS if color not in usual)
_ODD_PAIRS = tuple((a, b) for a, b in product(_ODD, _ODD) if a[0] != b[0])
_COLOR_PAIRS = tuple(permutations(COLORS, 2))
_PAIRS = tuple(permutations(_THINGS, 2))
_SWAPS = tuple(
    (thing, place)
    for thing in _THINGS
    for place in range(1, len(thing) - 2)
    if len(thing) >= 5 and " " not in thing and thing[place] != thing[place + 1]
)


def spaces() -> dict[str, list[Space]]:
    """Category -> its prompts, of one kind or several, which take turns.

    Colors        a thing in a color; two things, each in its own
    Counting      two to five of a thing; so many of one and so many of another
    Positional    a thing left of, right of, above or below another; the same with colors
    Conflicting   a thing in a color it never has; two of those
    Misspellings  two letters of a thing's name changed places; the thing has a color

    The truth is GenEval's: include: [{class, count, color?, position?: [relation, index of the other]}], exclude: the
    same, of which so many must not be found."""
    colors, numbers = len(COLORS), len(NUMBERS)
    places = len(_PAIRS) * len(RELATIONS)
    return {
        "Colors": [
            Space("color", len(_THINGS) * colors, _color),
            Space("colors", len(_PAIRS) * len(_COLOR_PAIRS), _colors),
        ],
        "Counting": [
            Space("number", len(_THINGS) * numbers, _number),
            Space("numbers", len(_PAIRS) * numbers**2, _numbers),
        ],
        "Positional": [
            Space("relation", places, _relation),
            Space("colored relation", places * len(_COLOR_PAIRS), _colored_relation),
        ],
        "Conflicting": [
            Space("odd", len(_ODD), lambda index: _listed("Conflicting", [_ODD[index]])),
            Space("odd two", len(_ODD_PAIRS), lambda index: _listed("Conflicting", _ODD_PAIRS[index])),
        ],
        "Misspellings": [Space("swapped", len(_SWAPS) * colors, _misspelled)],
    }


def _color(index: int) -> Prompt:
    thing, color = split_index(index, [len(_THINGS), len(COLORS)])
    return _listed("Colors", [(_THINGS[thing], COLORS[color])])


def _colors(index: int) -> Prompt:
    pair, two = split_index(index, [len(_PAIRS), len(_COLOR_PAIRS)])
    return _listed("Colors", list(zip(_PAIRS[pair], _COLOR_PAIRS[two])))


def _number(index: int) -> Prompt:
    thing, number = split_index(index, [len(_THINGS), len(NUMBERS)])
    return _counted([(_THINGS[thing], list(NUMBERS)[number])])


def _numbers(index: int) -> Prompt:
    pair, first, second = split_index(index, [len(_PAIRS), len(NUMBERS), len(NUMBERS)])
    return _counted(list(zip(_PAIRS[pair], (list(NUMBERS)[first], list(NUMBERS)[second]))))


def _relation(index: int) -> Prompt:
    pair, relation = split_index(index, [len(_PAIRS), len(RELATIONS)])
    return _placed(_PAIRS[pair], RELATIONS[relation], None)


def _colored_relation(index: int) -> Prompt:
    pair, relation, two = split_index(index, [len(_PAIRS), len(RELATIONS), len(_COLOR_PAIRS)])
    return _placed(_PAIRS[pair], RELATIONS[relation], _COLOR_PAIRS[two])


def _misspelled(index: int) -> Prompt:
    swap, color = split_index(index, [len(_SWAPS), len(COLORS)])
    thing, place = _SWAPS[swap]
    written = thing[:place] + thing[place + 1] + thing[place] + thing[place + 2 :]
    found = {"class": thing, "count": 1, "color": COLORS[color]}
    return _prompt("Misspellings", f"a photo of {_a(f'{COLORS[color]} {written}')}", [found])


def _listed(category: str, things: Sequence[tuple[str, str]]) -> Prompt:
    """One or two things in their colors."""
    words = " and ".join(_a(f"{color} {thing}") for thing, color in things)
    found = [{"class": thing, "count": 1, "color": color} for thing, color in things]
    return _prompt(category, f"a photo of {words}", found)


def _counted(things: Sequence[tuple[str, int]]) -> Prompt:
    words = " and ".join(f"{NUMBERS[number]} {THINGS[thing]}" for thing, number in things)
    found = [{"class": thing, "count": number} for thing, number in things]
    too_many = [{"class": thing, "count": number + 1} for thing, number in things]
    return _prompt("Counting", f"a photo of {words}", found, too_many)


def _placed(things: tuple[str, str], relation: str, colors: tuple[str, str] | None) -> Prompt:
    first, second = (f"{color} {thing}" for color, thing in zip(colors, things)) if colors else things
    found: list[dict[str, Any]] = [{"class": thing, "count": 1} for thing in reversed(things)]
    for entry, color in zip(found, reversed(colors or ())):
        entry["color"] = color
    found[1]["position"] = [relation, 0]
    return _prompt("Positional", f"a photo of {_a(first)} {relation} {_a(second)}", found)


def _prompt(
    category: str, words: str, include: list[dict[str, Any]], exclude: list[dict[str, Any]] | None = None
) -> Prompt:
    truth = {"include": include} | ({"exclude": exclude} if exclude else {})
    return Prompt(words, category, source="composed", truth=truth)


def _a(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
