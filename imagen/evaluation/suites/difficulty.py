"""How hard each prompt is, from results of several systems: item response theory's Rasch model, fit with its errors.

A system of ability a gets a prompt of difficulty b right with probability s(a - b), s the logistic function (G. Rasch 1960).
Abilities and difficulties are on one scale, in logits; only differences mean something, and a scale's zero is the mean
difficulty of its prompts. With two parameters a prompt (2PL) would have a slope too, which the few systems of an evaluation
cannot tell from chance.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

ABILITY_SPREAD = 3.0  # prior standard deviation of abilities around their mean
SPREADS = (0.3, 4.0)  # of difficulties: within this, the spread is estimated
STEPS, SMALL = 1000, 1e-5
NODES = np.linspace(-5, 5, 81)  # of the quadrature over difficulties, in spreads
Answer = tuple[str, str, float]
"""(system, prompt, score in [0, 1])."""


@dataclass(frozen=True)
class Scale:
    """What was fit. Logits; larger is harder, or abler. `errors` and `ability_errors` are standard errors: of the
    posterior, that is with the prior's share in them."""

    difficulties: dict[str, float]
    errors: dict[str, float]
    abilities: dict[str, float]
    ability_errors: dict[str, float]
    spread: float

    def moved(self, shift: float) -> "Scale":
        """The same scale with another zero."""
        return Scale(
            {prompt: value + shift for prompt, value in self.difficulties.items()},
            self.errors,
            {system: value + shift for system, value in self.abilities.items()},
            self.ability_errors,
            self.spread,
        )


def fit(answers: Sequence[Answer], spread: float | None = None) -> Scale:
    """Abilities by marginal maximum likelihood, difficulties as the means of their posteriors (R. D. Bock and M. Aitkin
    1981, with the roles of items and persons exchanged: here it is the prompts that are many).

    Several answers of a system to a prompt count as so many. A score between 0 and 1 counts as that share of a right
    answer (a quasi-likelihood, whose errors are then on the large side). Difficulties have a normal prior around 0 of
    standard deviation `spread`, by default estimated from the answers themselves, so that a prompt that all get right
    or wrong stays finite, and a prompt of few answers is not taken for very hard; abilities have a wide one.

    ValueError: a score outside [0, 1] or NaN, fewer than two systems or prompts."""
    for system, prompt, score in answers:
        if not (isinstance(score, int | float) and 0 <= score <= 1):
            raise ValueError(f"score={score} of {system[:60]!r}, {prompt[:60]!r}: give a number from 0 to 1")
    if spread is not None and not 0 < spread < 100:
        raise ValueError(f"spread={spread}: give a number above 0 and below 100, in logits")
    systems = {name: i for i, name in enumerate(dict.fromkeys(a[0] for a in answers))}
    prompts = {name: i for i, name in enumerate(dict.fromkeys(a[1] for a in answers))}
    if len(systems) < 2 or len(prompts) < 2:
        raise ValueError(
            f"results of {len(systems)} systems on {len(prompts)} prompts: difficulty and ability are told apart from two "
            "of each on; give more"
        )
    number, right = np.zeros((2, len(prompts), len(systems)))
    for system, prompt, score in answers:
        number[prompts[prompt], systems[system]] += 1
        right[prompts[prompt], systems[system]] += score
    # prompts that were answered alike are as hard, so each pattern of answers is looked at once
    patterns, of, times = np.unique(
        np.hstack([number, right]), axis=0, return_inverse=True, return_counts=True
    )
    number, right = np.hsplit(patterns, 2)
    a, width = np.zeros(len(systems)), 1.0 if spread is None else float(spread)
    for _ in range(STEPS):
        share = _posterior(number, right, a, width)
        new = _abler(number, right, times, a, width, share)
        square = float(np.average(share @ (NODES * width) ** 2, weights=times))
        wider = width if spread else float(np.clip(math.sqrt(square), *SPREADS))
        moved = max(float(np.abs(new - a).max()), abs(wider - width))
        a, width = new, wider
        if moved < SMALL:
            break
    share = _posterior(number, right, a, width)
    b = share @ (NODES * width)
    variance = np.maximum(share @ (NODES * width) ** 2 - b**2, 1e-12)
    b_error, a_error = _errors(number, times, a, b, variance, width)
    b, b_error = b[of.ravel()], b_error[of.ravel()]
    zero = b.mean()
    return Scale(
        dict(zip(prompts, (b - zero).tolist())),
        dict(zip(prompts, b_error.tolist())),
        dict(zip(systems, (a - zero).tolist())),
        dict(zip(systems, a_error.tolist())),
        width,
    )


def shift_to(known: Mapping[str, float], other: Scale) -> tuple[float, float, int]:
    """What to add to `other` so that prompts of both have the mean difficulty that they have in `known` (mean-mean
    linking, each prompt weighted by how surely it is known), its standard error from how far the prompts disagree,
    and how many prompts both have. ValueError for fewer than two."""
    both = [prompt for prompt in other.difficulties if prompt in known]
    if len(both) < 2:
        raise ValueError(f"{len(both)} prompts are in both suites: two are needed to put them on one scale")
    apart = np.array([known[prompt] - other.difficulties[prompt] for prompt in both])
    weights = np.array([1 / max(other.errors[prompt], 1e-6) ** 2 for prompt in both])
    shift = float(np.average(apart, weights=weights))
    variance = float(np.average((apart - shift) ** 2, weights=weights))
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    return shift, math.sqrt(variance / max(effective - 1, 1)), len(both)


def ability(scores: Mapping[str, float], difficulties: Mapping[str, float]) -> tuple[float, float]:
    """A system's ability in logits, and its standard error, from its scores in [0, 1] on prompts whose difficulties are
    known: comparable between any two suites on one scale. Prior: normal around the prompts' mean difficulty, of
    ABILITY_SPREAD, which keeps it finite when all is right or wrong. ValueError when no prompt is in both."""
    values, b = _aligned(scores, difficulties)
    centre = float(b.mean())
    value = centre
    information = 1.0
    for _ in range(100):
        chance = _logistic(value - b)
        information = float((chance * (1 - chance)).sum()) + ABILITY_SPREAD**-2
        step = (float((values - chance).sum()) - (value - centre) / ABILITY_SPREAD**2) / information
        value += float(np.clip(step, -2, 2))
        if abs(step) < SMALL:
            break
    return value, information**-0.5


def weighted(
    scores: Mapping[str, float], difficulties: Mapping[str, float], zero: float = 0.0
) -> tuple[float, float]:
    """The mean score in [0, 1] in which hard prompts count more, and its standard error: each with the weight
    s(b - zero), the chance that a system of the ability `zero` gets it wrong, so near 0 for prompts that all get right and
    near 1 for those that none does. On one scale a prompt has the same weight in every suite; systems that were shown
    different prompts are compared by `ability`. Prompts without a score or a difficulty are left out; ValueError when
    none is left."""
    values, b = _aligned(scores, difficulties)
    weights = _logistic(b - zero)
    mean = float(np.average(values, weights=weights))
    error = np.sqrt((weights**2 * (values - mean) ** 2).sum()) / weights.sum()
    return mean, float(error)


def _aligned(scores: Mapping[str, float], difficulties: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
    both = [prompt for prompt in scores if prompt in difficulties]
    if not both:
        raise ValueError(
            "no prompt has both a score and a difficulty; estimate difficulties of this suite first"
        )
    values = np.array([scores[prompt] for prompt in both], float)
    b = np.array([difficulties[prompt] for prompt in both], float)
    if not (
        np.isfinite(values).all() and (values >= 0).all() and (values <= 1).all() and np.isfinite(b).all()
    ):
        raise ValueError("scores must be numbers from 0 to 1 and difficulties finite")
    return values, b


def _posterior(number: np.ndarray, right: np.ndarray, a: np.ndarray, width: float) -> np.ndarray:
    """number, right (patterns, systems) -> (patterns, nodes): the probability of each node to be the difficulty."""
    x = a[:, None] - NODES * width
    log = -right @ np.logaddexp(0, -x) - (number - right) @ np.logaddexp(0, x) - NODES**2 / 2
    share = np.exp(log - log.max(1, keepdims=True))
    return share / share.sum(1, keepdims=True)


def _abler(
    number: np.ndarray, right: np.ndarray, times: np.ndarray, a: np.ndarray, width: float, share: np.ndarray
) -> np.ndarray:
    """One step of Newton towards the abilities that make the answers likeliest, the nodes' probabilities given; `times`
    (patterns,): how many prompts have each."""
    expected = (number * times[:, None]).T @ share  # (systems, nodes): answers to prompts of that difficulty
    chance = _logistic(a[:, None] - NODES * width)
    slope = times @ right - (expected * chance).sum(1) - (a - a.mean()) / ABILITY_SPREAD**2
    curve = (expected * chance * (1 - chance)).sum(1) + ABILITY_SPREAD**-2
    return a + np.clip(slope / curve, -1, 1)


def _errors(
    number: np.ndarray, times: np.ndarray, a: np.ndarray, b: np.ndarray, variance: np.ndarray, width: float
) -> tuple[np.ndarray, np.ndarray]:
    """Standard errors of difficulties, of which `variance` (patterns,) is what there would be if abilities were known, and
    of abilities, for which the difficulties are integrated out (Schur complement of the information)."""
    chance = _logistic(a - b[:, None])
    info = number * chance * (1 - chance)
    # how far an ability that is off by 1 takes a difficulty with it
    pulled = info / (info.sum(1, keepdims=True) + width**-2)
    centred = (np.eye(len(a)) - 1 / len(a)) / ABILITY_SPREAD**2
    all_info = info * times[:, None]
    inverse = np.linalg.inv(np.diag(all_info.sum(0)) + centred - all_info.T @ pulled)
    return np.sqrt(variance + np.einsum("ps,st,pt->p", pulled, inverse, pulled)), np.sqrt(np.diag(inverse))


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -500, 500)))
