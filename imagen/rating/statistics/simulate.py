"""Raters whose preferences are known: answers to try a study's size and its statistics on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from scipy.special import expit, softmax

from imagen.rating.answers import SIDES, Answer

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(61)
CONTROL = "a control: {side} is plainly better"


@dataclass(frozen=True)
class World:
    """What is planted, in logits unless told. A choice is Davidson's (see bradley_terry): with d = strength of the left
    system - that of the right + side, left : same : right = exp(d / 2) : exp(tie) : exp(-d / 2).

    strengths     of the systems
    side, tie     as there; tie=-inf: no ties
    taste, fit    standard deviations of what one rater, and one prompt, adds to each system's strength
    hardness      standard deviation of prompts' difficulty
    levelling     how much of a difference in strength is left on a prompt of difficulty b: exp(-levelling b)
    lapses        share of answers that are a throw of dice; careless: share of raters all of whose are
    severity      how far raters differ in what they make of a scale: their mean of a score m lies between
                  m - severity m (1 - m) and m + severity m (1 - m); at most 1
    precision     of a score about its mean m, whose variance is m (1 - m) / (precision + 1)
    """

    strengths: Mapping[str, float] = field(default_factory=lambda: {"ours": 0.6, "theirs": 0.0})
    side: float = 0.0
    tie: float = 0.0
    taste: float = 0.0
    fit: float = 0.0
    hardness: float = 0.0
    levelling: float = 0.0
    lapses: float = 0.0
    careless: float = 0.0
    severity: float = 0.5
    precision: float = 6.0

    def chances(self, left: str, right: str, moved: np.ndarray | float = 0.0) -> np.ndarray:
        """(..., 3): of left, same and right when taste, fit and difficulty move the difference by `moved`; no lapses."""
        half = (self.strengths[left] - self.strengths[right] + self.side + np.asarray(moved)) / 2
        return softmax(np.stack([half, np.full(half.shape, self.tie), -half], -1), axis=-1)

    def answered(self, left: str, right: str) -> np.ndarray:
        """(3,): the shares of left, same and right among all raters and prompts there could be, by quadrature."""
        spread = np.sqrt(2 * (self.taste**2 + self.fit**2))
        gap = self.strengths[left] - self.strengths[right]
        hard = self.hardness * NODES
        moved = spread * NODES[:, None] + gap * (np.exp(-self.levelling * hard) - 1)
        meant = (
            np.einsum("i,j,ijk->k", WEIGHTS, WEIGHTS, self.chances(left, right, moved)) / WEIGHTS.sum() ** 2
        )
        dice = self.careless + (1 - self.careless) * self.lapses
        allowed = np.isfinite([0.0, self.tie, 0.0])
        return (1 - dice) * meant + dice * allowed / allowed.sum()

    def share(self, a: str, b: str) -> float:
        """Of a against b, ties counting half, when each is on either side as often."""
        one, two = self.answered(a, b), self.answered(b, a)
        return float(one[0] + one[1] / 2 + two[2] + two[1] / 2) / 2


def choices(
    world: World,
    raters: int,
    prompts: int,
    random: np.random.Generator,
    question: str = "alignment",
    categories: Sequence[str] = ("",),
    each: int | None = None,
    controls: int = 0,
    repeats: int = 0,
    hard: np.ndarray | None = None,
) -> list[Answer]:
    """Each of so many raters answers to `each` of the prompts (all, unless told; drawn at random), about every two systems, on
    sides drawn at random, and then to `controls` control questions and to `repeats` first items again. Prompts belong to
    the `categories` in turn; `hard` (prompts,): their difficulties, drawn unless given."""
    names = list(world.strengths)
    couples = list(combinations(range(len(names)), 2))
    taste = random.normal(0, world.taste, (raters, len(names)))
    fit = random.normal(0, world.fit, (prompts, len(names)))
    b = difficulties(world, prompts, random) if hard is None else np.asarray(hard, float)
    left_over = np.exp(-world.levelling * b)
    careless = random.random(raters) < world.careless
    seen = [random.permutation(prompts)[: each or prompts] for _ in range(raters)]
    rows = [(r, p, i, j) for r in range(raters) for p in seen[r] for i, j in couples]
    r, p, i, j = np.array(rows).T
    first = np.array([k for rater in range(raters) for k in np.flatnonzero(r == rater)[:repeats]], int)
    again = np.concatenate([np.zeros(len(r), int), np.ones(len(first), int)])
    r, p, i, j = (np.concatenate([column, column[first]]) for column in (r, p, i, j))
    swapped = random.random(len(r)) < 0.5
    i, j = np.where(swapped, j, i), np.where(swapped, i, j)
    strength = np.array([world.strengths[name] for name in names])
    d = (strength[i] - strength[j]) * left_over[p] + taste[r, i] - taste[r, j] + fit[p, i] - fit[p, j]
    said = _choose(d + world.side, world, careless[r], random)
    answers, order = [], [0] * raters
    for n in range(len(r)):
        rater, prompt = int(r[n]), int(p[n])
        couple = "-".join(map(str, sorted((int(i[n]), int(j[n])))))
        shown = (names[i[n]], names[j[n]])
        category = categories[prompt % len(categories)]
        answers.append(
            Answer(
                f"r{rater:04}", f"i{prompt}-{couple}", f"prompt {prompt}", category, question, "choice",
                SIDES[said[n]], shown, 6.0, 1e9 + n, order[rater], int(again[n]),
            )
        )  # fmt: skip
        order[rater] += 1
    for number in range(controls):
        right = random.integers(2, size=raters)
        # plain: 8 logits
        told = _choose(np.where(right == 0, 8.0, -8.0), world, careless, random)
        for rater in range(raters):
            side = SIDES[2 * right[rater]]
            answers.append(
                Answer(
                    f"r{rater:04}", f"c{number}", CONTROL.format(side=side), "", question, "choice", SIDES[told[rater]],
                    (names[0], names[1]), 6.0, 2e9 + number, order[rater], control=side,
                )
            )  # fmt: skip
            order[rater] += 1
    return answers


def scales(
    world: World,
    raters: int,
    prompts: int,
    random: np.random.Generator,
    question: str = "faithful",
    hard: np.ndarray | None = None,
    ask_difficulty: bool = False,
) -> list[Answer]:
    """Each rater scores every system on every prompt from 0 to 10, 10 expit(strength - difficulty) on average (Rasch's model);
    with `ask_difficulty`, how hard each prompt is too, 10 expit(difficulty) on average. hard (prompts,): the difficulties,
    drawn unless given."""
    names = list(world.strengths)
    b = difficulties(world, prompts, random) if hard is None else np.asarray(hard, float)
    mean = expit(np.array(list(world.strengths.values())) - b[:, None])
    asked = [(question, s) for s in range(len(names))]
    if ask_difficulty:
        mean = np.column_stack([mean, expit(b)])
        asked.append(("difficulty", len(names)))
    severity = random.uniform(-world.severity, world.severity, (raters, 1, mean.shape[1]))
    mean = np.clip(mean + severity * mean * (1 - mean), 1e-6, 1 - 1e-6)
    value = 10 * random.beta(mean * world.precision, (1 - mean) * world.precision)
    careless = random.random(raters) < world.careless
    dice = (random.random(value.shape) < world.lapses) | careless[:, None, None]
    value = np.where(dice, random.uniform(0, 10, value.shape), value)
    return [
        Answer(
            f"r{r:04}", f"s{p}-{s}", f"prompt {p}", "", key, "scale", float(value[r, p, s]),
            (names[s],) if s < len(names) else (), 4.0, 1e9 + p, p * len(asked) + k,
        )
        for r in range(raters) for p in range(prompts) for k, (key, s) in enumerate(asked)
    ]  # fmt: skip


def difficulties(world: World, prompts: int, random: np.random.Generator) -> np.ndarray:
    """(prompts,): drawn from what the world says."""
    return random.normal(0, world.hardness, prompts)


def _choose(d: np.ndarray, world: World, careless: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """d (n,) -> (n,): 0 left, 1 same, 2 right."""
    chance = softmax(np.stack([d / 2, np.full(len(d), world.tie), -d / 2], 1), axis=1)
    dice = careless | (random.random(len(d)) < world.lapses)
    allowed = np.isfinite([0.0, world.tie, 0.0])
    chance = np.where(dice[:, None], allowed / allowed.sum(), chance)
    return (random.random((len(d), 1)) > np.cumsum(chance, 1)[:, :2]).sum(1)
