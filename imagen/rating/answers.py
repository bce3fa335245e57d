"""What a rater answered, one line a judgement: all that the statistics know of a study, and all that a study hands them."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from imagen.files import printable, write_text

Kind = Literal["choice", "scale", "levels", "best"]
KINDS: tuple[str, ...] = get_args(Kind)
SIDES = ("left", "same", "right")
LEVELS = (0, 50, 100)  # of "no", "somewhat" and "yes" (the paper, section 4.2)
TOP = 10.0  # of a scale, which begins at 0
REMEDY = "export the answers again"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of one rater to one question about one item.

    rater     an opaque id
    item      an opaque id of what was shown: the same for every rater who saw it, and when one sees it again
    prompt    the prompt's text; prompts with one text are one prompt
    category  "" where the suite has none
    question  its key: "alignment", "quality", "difficulty"
    kind      "choice": `value` is "left", "same" or "right"; "scale": a number in [0, 10]; "levels": 0, 50 or 100;
              "best": the place of the chosen picture among those shown, from 0
    shown     the systems from left to right: two of a choice, one of a scale or of levels (none where the question is
              of the prompt alone), one a picture of the best
    seconds   of attention
    at        when, in unix seconds
    order     the place in the rater's session, from 0
    repeat    0; 1 when the same rater saw the item for the second time
    control   None, or the right `value` of a question whose answer is known: such an answer is never part of a score
    """

    rater: str
    item: str
    prompt: str
    category: str
    question: str
    kind: Kind
    value: str | float
    shown: tuple[str, ...]
    seconds: float
    at: float
    order: int
    repeat: int = 0
    control: str | float | None = None


FIELDS = tuple(field.name for field in fields(Answer))


def answer_of(row: Any) -> Answer:
    """The answer in a parsed line. ValueError naming what is wrong with it."""
    if not isinstance(row, dict):
        raise ValueError(f"an answer is an object, found {type(row).__name__}")
    if missing := [name for name in FIELDS if name not in row]:
        raise ValueError(f"has no {', '.join(missing)}")
    if foreign := [printable(name, 40) for name in row if name not in FIELDS]:
        raise ValueError(f"has {', '.join(foreign)}, which no answer has")
    for name in ("rater", "item", "prompt", "category", "question"):
        if not isinstance(row[name], str) or not _whole(row[name]) or not (row[name] or name == "category"):
            raise ValueError(f"{name}={_told(row[name])} is no text")
    if row["kind"] not in KINDS:
        raise ValueError(f"kind={_told(row['kind'])} is none of {', '.join(KINDS)}")
    shown = row["shown"]
    if not isinstance(shown, list) or not all(
        isinstance(name, str) and name and _whole(name) for name in shown
    ):
        raise ValueError(f"shown={_told(shown)} is no list of systems")
    for name in ("seconds", "at"):
        if not _number(row[name]) or row[name] < 0:
            raise ValueError(f"{name}={_told(row[name])} is no number of seconds")
    for name in ("order", "repeat"):
        if not isinstance(row[name], int) or isinstance(row[name], bool) or row[name] < 0:
            raise ValueError(f"{name}={_told(row[name])} is no whole number from 0")
    _check(row["kind"], "value", row["value"], len(shown))
    if row["control"] is not None:
        _check(row["kind"], "control", row["control"], len(shown))
    return Answer(**{**row, "shown": tuple(shown)})


def read_answers(path: str | Path) -> list[Answer]:
    """The answers in a file of `write_answers`, in its order.

    ValueError in one line naming the file, and the line where one is damaged or is the answer of an earlier line again
    (same rater, item, question and repeat): nothing is skipped, as a lost or doubled answer changes every number."""
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}; {REMEDY}") from None
    answers: list[Answer] = []
    seen: dict[tuple[str, str, str, int], int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            answer = answer_of(json.loads(line.decode("utf-8")))
        except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, brackets without end, no answer
            raise ValueError(f"{path}: line {number}: {printable(error, 120)}; {REMEDY}") from None
        key = answer.rater, answer.item, answer.question, answer.repeat
        if key in seen:
            raise ValueError(f"{path}: line {number} is the answer of line {seen[key]} again; {REMEDY}")
        seen[key] = number
        answers.append(answer)
    return answers


def write_answers(path: str | Path, answers: Iterable[Answer]) -> None:
    """One JSON object a line; the whole file or, when something fails, the one that was there before."""
    lines = (json.dumps(asdict(answer), ensure_ascii=False, allow_nan=False) for answer in answers)
    write_text(Path(path), "".join(f"{line}\n" for line in lines))


def _check(kind: str, name: str, value: Any, shown: int) -> None:
    if kind == "choice":
        right, wanted = value in SIDES and isinstance(value, str), "left, same or right"
    elif kind == "scale":
        right, wanted = _number(value) and 0 <= value <= TOP, f"a number from 0 to {TOP:g}"
    elif kind == "levels":
        right, wanted = _number(value) and value in LEVELS, "0, 50 or 100"
    else:
        right = _number(value) and value in range(shown)
        wanted = f"a place among the {shown} pictures shown, from 0"
    if not right:
        raise ValueError(f"{name}={_told(value)} of a {kind} is not {wanted}")
    most, least = {"choice": (2, 2), "best": (math.inf, 2)}.get(kind, (1, 0))
    if not least <= shown <= most:
        raise ValueError(f"shown: {shown} systems do not make a {kind}")


def _number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def _whole(text: str) -> bool:
    """Without half characters, which JSON can hold and no file."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _told(value: Any) -> str:
    return printable(repr(value), 40)
