"""How sure a number is: bootstrap intervals over pictures, of one system and of the difference of two."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Interval:
    """`value`, and the bounds within which it lies with `confidence` when as many other pictures are drawn."""

    value: float
    low: float
    high: float
    confidence: float
    resamples: int


@dataclass(frozen=True)
class Difference(Interval):
    """a - b on the same prompts. `above`: the share of resamples in which a is above b, ties counting half (0.5: no
    difference). The difference is beyond chance when `low` and `high` have the same sign."""

    above: float


Scores = Sequence[float] | np.ndarray | Tensor


def bootstrap(
    scores: Scores,
    groups: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """The mean of n scores, one a picture, with its percentile interval (Efron 1979) over pictures drawn with repeats.

    `groups`: of each picture the prompt it was drawn for, when several pictures share one: then whole prompts are
    drawn, as pictures of a prompt are alike. ValueError for fewer than 2 pictures (or groups) and scores that are NaN;
    leave pictures without a score out.
    """
    values = _scores(scores, "scores")
    means = _means(values, _groups(groups, len(values)), confidence, resamples, seed)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(values.mean()), float(low), float(high), confidence, resamples)


def paired_difference(
    a: Scores,
    b: Scores,
    groups: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Difference:
    """Mean of a minus mean of b, two systems' scores of the same n prompts in the same order, with its interval:
    prompts are drawn with repeats for both at once, so that what makes a prompt hard for both cancels."""
    one, two = _scores(a, "a"), _scores(b, "b")
    if len(one) != len(two):
        raise ValueError(
            f"a has {len(one)} scores and b {len(two)}: a paired difference needs the same prompts"
        )
    values = one - two
    means = _means(values, _groups(groups, len(values)), confidence, resamples, seed)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    above = float(np.mean(means > 0) + np.mean(means == 0) / 2)
    return Difference(float(values.mean()), float(low), float(high), confidence, resamples, above)


def half_samples(
    metric: Callable[[Tensor], float],
    made: Tensor,
    confidence: float = 0.95,
    resamples: int = 20,
    seed: int = 0,
) -> Interval:
    """A metric of a set, features (n, D) -> number, with an interval over pictures: the value of all, and about it the
    spread of the metric over random halves, drawn without repeats (half-samples; Politis & Romano 1994).

    A half of n varies about the whole as n pictures vary about all there could be, so the spread is of the right size
    as it is. Why not a bootstrap with repeats: a picture twice in a set has itself as neighbour and narrows the
    covariance, which shifts a Frechet or kernel distance upward by as much as halving the set, and breaks precision,
    recall and coverage. The bounds are value +- z standard deviations (20 halves have no percentiles to speak of), for
    the metric's value at n pictures: its bias at n is not in it. ValueError for n < 4 and resamples < 5.
    """
    if not 0 < confidence < 1 or resamples < 5:
        raise ValueError(
            f"confidence={confidence}, resamples={resamples}: give one in (0, 1), and at least 5"
        )
    if len(made) < 4:
        raise ValueError(f"{len(made)} pictures: an interval over halves of them needs at least 4")
    random = np.random.default_rng(seed)
    found = [
        metric(made[torch.from_numpy(random.permutation(len(made))[: len(made) // 2]).to(made.device)])
        for _ in range(resamples)
    ]
    value = float(metric(made))
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * float(np.std(found, ddof=1))
    return Interval(value, value - reach, value + reach, confidence, resamples)


def _scores(scores: Scores, name: str) -> np.ndarray:
    try:
        values = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: not numbers; leave pictures without a score out") from None
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"{name}: an interval needs a list of 2 scores or more, found shape {values.shape}")
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"{name}: the score of picture {bad} is NaN; leave pictures without a score out")
    return values


def _groups(groups: Sequence[Hashable] | None, count: int) -> np.ndarray:
    """(n,): the number of each picture's group."""
    if groups is None:
        return np.arange(count)
    if len(groups) != count:
        raise ValueError(f"{len(groups)} groups for {count} scores; give one each")
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups])


def _means(
    values: np.ndarray, groups: np.ndarray, confidence: float, resamples: int, seed: int
) -> np.ndarray:
    """(resamples,): the mean over groups drawn with repeats."""
    if not 0 < confidence < 1 or resamples < 20:
        raise ValueError(
            f"confidence={confidence}, resamples={resamples}: give one in (0, 1), and at least 20"
        )
    sums, counts = np.bincount(groups, values), np.bincount(groups)
    if len(sums) < 2:
        raise ValueError("one group: an interval over prompts needs at least 2")
    random = np.random.default_rng(seed)
    means = np.empty(resamples)
    for i in range(resamples):
        drawn = random.integers(len(sums), size=len(sums))
        means[i] = sums[drawn].sum() / counts[drawn].sum()
    return means
