"""Answers as arrays: what of them is part of a score, choices between two systems, scores of one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from imagen.rating.answers import TOP, Answer

LEFT = {"left": 1.0, "same": 0.5, "right": 0.0}
RANGES = {"scale": (0.0, TOP), "levels": (0.0, 100.0), "best": (0.0, 1.0)}


@dataclass(frozen=True)
class Pairs:
    """n choices. systems: their names, ascending; left, right (n,): the number of the system on that side; won (n,): 1 when
    the left one was chosen, 0.5 for none of the two, 0 for the right one; raters, prompts (n,): numbered as among all answers
    of the study, whatever the question; the n prompts' texts and categories."""

    systems: tuple[str, ...]
    left: np.ndarray
    right: np.ndarray
    won: np.ndarray
    raters: np.ndarray
    prompts: np.ndarray
    texts: np.ndarray
    categories: np.ndarray

    def __len__(self) -> int:
        return len(self.won)

    def only(self, chosen: np.ndarray) -> "Pairs":
        """The choices of a mask (n,)."""
        arrays = (self.left, self.right, self.won, self.raters, self.prompts, self.texts, self.categories)
        return Pairs(self.systems, *(array[chosen] for array in arrays))

    def between(self, a: str, b: str) -> "Pairs":
        """The choices between these two, whatever their sides."""
        one, two = self.systems.index(a), self.systems.index(b)
        return self.only(
            ((self.left == one) & (self.right == two)) | ((self.left == two) & (self.right == one))
        )

    def for_system(self, a: str) -> np.ndarray:
        """(n,): 1 when `a`, one of the two of every choice, was chosen, 0.5 for none, 0 for the other."""
        return np.where(self.left == self.systems.index(a), self.won, 1 - self.won)


@dataclass(frozen=True)
class Scores:
    """n scores. systems: their names, ascending; system (n,): whose score it is, or -1 where a question is of the prompt
    alone; values (n,) in `bounds`; the others as in `Pairs`."""

    systems: tuple[str, ...]
    system: np.ndarray
    values: np.ndarray
    raters: np.ndarray
    prompts: np.ndarray
    texts: np.ndarray
    categories: np.ndarray
    bounds: tuple[float, float]

    def __len__(self) -> int:
        return len(self.values)

    def of(self, system: str) -> "Scores":
        """One system's."""
        return self.only(self.system == self.systems.index(system))

    def only(self, chosen: np.ndarray) -> "Scores":
        """The scores of a mask (n,)."""
        arrays = (self.system, self.values, self.raters, self.prompts, self.texts, self.categories)
        return Scores(self.systems, *(array[chosen] for array in arrays), bounds=self.bounds)


def scored(answers: Iterable[Answer]) -> list[Answer]:
    """Those that are part of a score: no control questions, and of repeated ones the first answer."""
    return [answer for answer in answers if answer.control is None and answer.repeat == 0]


def questions(answers: Iterable[Answer]) -> dict[str, str]:
    """{question: its kind}, in the order in which they come. ValueError for a question of two kinds."""
    kinds: dict[str, str] = {}
    for answer in answers:
        if kinds.setdefault(answer.question, answer.kind) != answer.kind:
            raise ValueError(
                f"question {answer.question!r} is a {kinds[answer.question]} and a {answer.kind}; give each kind its own key"
            )
    return kinds


def pairs(answers: Sequence[Answer], question: str) -> Pairs:
    """The choices of a question between two different systems, in their order."""
    rows = [a for a in answers if a.question == question and a.kind == "choice" and a.shown[0] != a.shown[1]]
    systems = tuple(sorted({name for row in rows for name in row.shown}))
    place = {name: i for i, name in enumerate(systems)}
    return Pairs(
        systems,
        np.array([place[row.shown[0]] for row in rows], int),
        np.array([place[row.shown[1]] for row in rows], int),
        np.array([LEFT[str(row.value)] for row in rows], float),
        *_who(rows, answers),
    )


def scores(answers: Sequence[Answer], question: str) -> Scores:
    """The scores of a question of scale or levels, in their order. Of "best": for each answer and each system shown, 1
    when the chosen picture is that system's and 0 when not."""
    rows, names, values, kind = [], [], [], "scale"
    for row in answers:
        if row.question != question or row.kind == "choice":
            continue
        kind = row.kind
        if kind == "best":
            shown = list(dict.fromkeys(row.shown))
            values += [float(name == row.shown[int(row.value)]) for name in shown]
        else:
            shown = [row.shown[0] if row.shown else ""]
            values.append(float(row.value))
        names += shown
        rows += [row] * len(shown)
    systems = tuple(sorted({name for name in names if name}))
    place = {name: i for i, name in enumerate(systems)} | {"": -1}
    return Scores(
        systems,
        np.array([place[name] for name in names], int),
        np.array(values, float),
        *_who(rows, answers),
        bounds=RANGES[kind],
    )


def _who(
    rows: Sequence[Answer], answers: Sequence[Answer]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Numbered as all the answers are, so that a rater has one number in every question."""
    raters = {name: i for i, name in enumerate(dict.fromkeys(a.rater for a in answers))}
    prompts = {name: i for i, name in enumerate(dict.fromkeys(a.prompt for a in answers))}
    return (
        np.array([raters[row.rater] for row in rows], int),
        np.array([prompts[row.prompt] for row in rows], int),
        np.array([row.prompt for row in rows], object),
        np.array([row.category for row in rows], object),
    )
