"""Are the objects that a prompt asks for in the picture: GenEval's verdicts (Ghosh et al. 2023, arXiv 2310.11513) from
what any detector has found.

Positions are in pixels, x to the right and y downward. Rules and thresholds are those of the authors' code.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

CONFIDENCE, COUNTING_CONFIDENCE = 0.3, 0.9  # counting asks for surer objects
MOST = 16  # objects of a class
NEAR = 0.1  # of the sum of both boxes' sides: an offset up to here is none
POSITIONS = ("left of", "right of", "above", "below")
COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
# GenEval renames three of COCO's classes, and detectors have some by the names of Pascal VOC
SAME = {
    "mouse": "computer mouse", "remote": "tv remote", "keyboard": "computer keyboard", "motorbike": "motorcycle",
    "aeroplane": "airplane", "sofa": "couch", "pottedplant": "potted plant", "diningtable": "dining table",
    "tvmonitor": "tv",
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """An object: its class's name, the detector's confidence in 0..1, and its box (x0, y0, x1, y1)."""

    name: str
    confidence: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Wanted:
    """`count` objects of a class; `color`: of each; `position`: (one of POSITIONS, number of the earlier entry)."""

    name: str
    count: int
    color: str | None = None
    position: tuple[str, int] | None = None


@dataclass(frozen=True)
class Truth:
    """A line of GenEval's jsonl: all of `include` (at least so many), and of `exclude` fewer than its count."""

    prompt: str
    tag: str
    include: tuple[Wanted, ...]
    exclude: tuple[Wanted, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """`correct`; `reasons`, why not, in words; `unchecked`: what could not be judged (colors without a classifier of
    them), so that `correct` is of the rest only."""

    correct: bool
    reasons: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


class Detector(Protocol):
    """Pictures -> objects. `classes`: the names it knows; `key`: what identifies it (see `features.Key`)."""

    @property
    def key(self) -> dict[str, Any]:
        """Plain JSON."""
        ...

    @property
    def classes(self) -> Sequence[str]:
        """Names of its classes."""
        ...

    def __call__(self, pictures: Tensor) -> list[list[Found]]:
        """uint8 (B, 3, H, W) -> the objects of each picture."""
        ...


ColorOf = Callable[[Tensor, Sequence[Found]], Sequence[str]]
"""A picture uint8 (3, H, W) and objects of one class in it -> one of COLORS each."""


def class_of(name: str) -> str:
    """A class by GenEval's name for it, whatever a detector or a suite calls it."""
    return SAME.get(name, name)


def read_truths(path: str | Path) -> list[Truth]:
    """GenEval's evaluation_metadata.jsonl -> a truth a line. ValueError with the line for anything else."""
    truths = []
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: cannot be read ({error}); give GenEval's evaluation_metadata.jsonl"
        ) from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                content = json.loads(line)
            except (ValueError, RecursionError):
                raise ValueError(f"{path}: line {number} is no JSON") from None
            truths.append(truth_of(content, f"{path}: line {number}"))
    if not truths:
        raise ValueError(f"{path}: no lines; give GenEval's evaluation_metadata.jsonl")
    return truths


def truth_of(content: object, where: str = "ground truth") -> Truth:
    """{"tag", "prompt", "include": [{"class", "count", "color"?, "position"?}], "exclude"?} -> a truth; ValueError,
    beginning with `where`, for anything else."""
    if not isinstance(content, Mapping) or not isinstance(content.get("include"), list):
        raise ValueError(f'{where}: needs an object with "include", a list of {{"class", "count"}}')
    include = tuple(_wanted(entry, number, where) for number, entry in enumerate(content["include"]))
    excluded = content.get("exclude") or []
    if not isinstance(excluded, list) or not include:
        raise ValueError(f'{where}: "include" needs an entry, and "exclude" must be a list')
    exclude = tuple(_wanted(entry, 0, where) for entry in excluded)
    return Truth(str(content.get("prompt", "")), str(content.get("tag", "")), include, exclude)


def check_classes(truths: Sequence[Truth], detector: Detector) -> None:
    """ValueError naming the classes that are asked for and that the detector does not know: it could never find them."""
    known = set(detector.classes)
    asked = {wanted.name for truth in truths for wanted in (*truth.include, *truth.exclude)}
    if unknown := sorted(asked - known):
        raise ValueError(
            f"weights.detector: the detector knows no {', '.join(unknown[:5])}; take one of COCO's 80 classes, or leave the "
            "prompts out"
        )


def judge(
    detector: Detector, pictures: Tensor, truths: Sequence[Truth], color_of: ColorOf | None = None
) -> list[Verdict]:
    """Pictures uint8 (B, 3, H, W) and a truth each -> verdicts. Without `color_of` colors are not judged, which the
    verdict says. ValueError for unequal numbers, and a detector that gives anything but lists of `Found`."""
    if len(pictures) != len(truths):
        raise ValueError(f"{len(pictures)} pictures and {len(truths)} ground truths; give one each")
    check_classes(truths, detector)
    found = detector(pictures)
    name = type(detector).__name__
    if not isinstance(found, list) or len(found) != len(pictures):
        raise ValueError(f"detector {name} gave no list of {len(pictures)} lists of objects")
    verdicts = []
    for picture, objects, truth in zip(pictures, found, truths):
        for one in objects:
            if not isinstance(one, Found) or not all(
                abs(x) < float("inf") for x in (one.confidence, *one.box)
            ):
                raise ValueError(
                    f"detector {name} gave {one!r:.60}, no object with a finite box and confidence"
                )
        verdicts.append(verdict(truth, objects, picture, color_of))
    return verdicts


def verdict(
    truth: Truth, objects: Sequence[Found], picture: Tensor | None = None, color_of: ColorOf | None = None
) -> Verdict:
    """One picture's verdict from the objects found in it. Only objects above the confidence count, at most 16 of a class;
    color and position are of the surest `count` of them."""
    least = COUNTING_CONFIDENCE if truth.tag == "counting" else CONFIDENCE
    sure = sorted((one for one in objects if one.confidence > least), key=lambda one: -one.confidence)

    def named(name: str) -> list[Found]:
        return [one for one in sure if one.name == name][:MOST]

    reasons: list[str] = []
    unchecked: list[str] = []
    groups: list[list[Found] | None] = []
    for wanted in truth.include:
        group = named(wanted.name)[: wanted.count]
        problem = None
        if len(group) < wanted.count:
            problem = f"expected {wanted.count} {wanted.name}, found {len(group)}"
        elif wanted.color and (color_of is None or picture is None):
            unchecked.append(f"color {wanted.color} of {wanted.name}")
        elif wanted.color and color_of is not None and picture is not None:
            colors = list(color_of(picture, group))
            if colors.count(wanted.color) < wanted.count:
                problem = f"expected {wanted.count} {wanted.color} {wanted.name}, found {', '.join(colors)}"
        if problem is None and wanted.position:
            problem = _misplaced(wanted, group, groups[wanted.position[1]])
        reasons += [problem] if problem else []
        groups.append(None if problem else group)
    for unwanted in truth.exclude:
        if len(named(unwanted.name)) >= unwanted.count:
            reasons.append(
                f"expected fewer than {unwanted.count} {unwanted.name}, found {len(named(unwanted.name))}"
            )
    return Verdict(not reasons, tuple(reasons), tuple(unchecked))


def relative_position(a: Found, b: Found) -> set[str]:
    """Where a is, seen from b: none, one or two of POSITIONS. The offset of the centres counts beyond a tenth of both
    boxes' sides, and in a direction in which it has more than half of the distance."""
    offset = [(a.box[i] + a.box[i + 2] - b.box[i] - b.box[i + 2]) / 2 for i in (0, 1)]
    sides = [abs(a.box[i + 2] - a.box[i]) + abs(b.box[i + 2] - b.box[i]) for i in (0, 1)]
    beyond = [max(abs(off) - NEAR * side, 0) * (1 if off > 0 else -1) for off, side in zip(offset, sides)]
    if max(abs(beyond[0]), abs(beyond[1])) < 1e-3:
        return set()
    x, y = (step / hypot(*offset) for step in beyond)
    told = {"left of": x < -0.5, "right of": x > 0.5, "above": y < -0.5, "below": y > 0.5}
    return {position for position, so in told.items() if so}


def _misplaced(wanted: Wanted, group: list[Found], target: list[Found] | None) -> str | None:
    assert wanted.position is not None
    place, number = wanted.position
    if target is None:
        return f"no target (entry {number}) for {wanted.name} to be {place}"
    for one in group:
        for other in target:
            found = relative_position(one, other)
            if place not in found:
                return f"expected {wanted.name} {place} {other.name}, found {' and '.join(sorted(found)) or 'none'}"
    return None


def _wanted(entry: object, number: int, where: str) -> Wanted:
    """`number`: of the entry; a position may name earlier ones only."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("class"), str):
        raise ValueError(f'{where}: an entry needs "class" and "count", found {entry!r:.60}')
    count, color, position = entry.get("count"), entry.get("color"), entry.get("position")
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ValueError(f'{where}: "count" must be a whole number from 1, found {count!r:.40}')
    if color is not None and color not in COLORS:
        raise ValueError(f"{where}: color {color!r:.40} is none of {', '.join(COLORS)}")
    if position is not None:
        fits = isinstance(position, list | tuple) and len(position) == 2 and position[0] in POSITIONS
        if not fits or type(position[1]) is not int or not 0 <= position[1] < number:
            raise ValueError(
                f"{where}: position {position!r:.40} must be [one of {', '.join(POSITIONS)}; an earlier entry]"
            )
        position = (position[0], position[1])
    return Wanted(class_of(entry["class"]), count, color, position)
