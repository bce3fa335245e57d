"""How often one system is preferred to another, and the mean scores of each: in all and by category, with intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from imagen.rating.statistics.crossed import SHARE, Estimate, crossed, mean_influence, means
from imagen.rating.statistics.tables import Pairs, Scores


@dataclass(frozen=True)
class Preference:
    """Of the choices between `a` and `b`: `share`, that of a when "same" counts half for each; `wins`, `same` and `losses`,
    which add up to 1 (the paper's three bars); `decided`, the share of a among those that chose, None where none did."""

    a: str
    b: str
    share: Estimate
    wins: Estimate
    same: Estimate
    losses: Estimate
    decided: Estimate | None


@dataclass(frozen=True)
class Difference:
    """Mean score of `a` minus mean score of `b`."""

    a: str
    b: str
    difference: Estimate


def preference(
    pairs: Pairs, a: str, b: str, random: np.random.Generator, resamples: int = 1000
) -> Preference:
    """Of the choices between a and b. ValueError when they are of one rater on one prompt, or there are none."""
    rows = pairs.between(a, b)
    won = rows.for_system(a)
    columns = np.stack([won, won == 1, won == 0.5, won == 0], 1)
    share, wins, same, losses = means(columns, rows.raters, rows.prompts, random, resamples, SHARE)
    chose = rows.only(won != 0.5)
    decided = None
    if _enough(chose):
        column = chose.for_system(a)[:, None]
        [decided] = means(column, chose.raters, chose.prompts, random, resamples, SHARE)
    return Preference(a, b, share, wins, same, losses, decided)


def by_category(
    pairs: Pairs, a: str, b: str, random: np.random.Generator, resamples: int = 1000
) -> dict[str, Preference]:
    """{category: its choices}, ascending; those of one rater on one prompt are left out, as are choices without a category."""
    rows = pairs.between(a, b)
    found = {}
    for name in sorted(set(rows.categories) - {""}):
        if _enough(own := rows.only(rows.categories == name)):
            found[name] = preference(own, a, b, random, resamples)
    return found


def compared(pairs: Pairs) -> list[tuple[str, str]]:
    """The pairs of systems, ascending, that have choices enough for an interval."""
    return [(a, b) for a, b in combinations(pairs.systems, 2) if _enough(pairs.between(a, b))]


def for_purpose(
    questions: Mapping[str, Pairs],
    weights: Mapping[str, float],
    a: str,
    b: str,
    random: np.random.Generator,
    resamples: int = 1000,
) -> Estimate:
    """The mean of the questions' shares of `a`, weighted as an application does: {question: weight}. Raters and prompts are
    the same in all questions, so what is peculiar to one of them does not average out over questions.

    ValueError for weights that are negative,
    all 0, or of a question without choices between the two."""
    total = sum(weights.values())
    if not (all(w >= 0 for w in weights.values()) and 0 < total < np.inf):
        raise ValueError(f"weights {dict(weights)}: give numbers from 0, one of them above")
    value, influence, raters, prompts = 0.0, [], [], []
    for name, weight in weights.items():
        known = name in questions and {a, b} <= set(questions[name].systems)
        rows = questions[name].between(a, b) if known else ()
        if not isinstance(rows, Pairs) or not len(rows):
            raise ValueError(
                f"question {name!r} has no choices between {a} and {b}; leave it out of the weights"
            )
        mean, moved = mean_influence(rows.for_system(a)[:, None])
        value += weight / total * float(mean[0])
        influence.append(weight / total * moved)
        raters.append(rows.raters)
        prompts.append(rows.prompts)
    arrays = np.concatenate(influence), np.concatenate(raters), np.concatenate(prompts)
    return crossed(np.array([value]), *arrays, random, resamples, SHARE)[0]


def mean_scores(scores: Scores, random: np.random.Generator, resamples: int = 1000) -> dict[str, Estimate]:
    """{system: its mean score}; a system with scores of one rater on one prompt alone is left out."""
    found = {}
    for name in scores.systems:
        if _enough(own := scores.of(name)):
            column = own.values[:, None]
            [found[name]] = means(column, own.raters, own.prompts, random, resamples, own.bounds)
    return found


def differences(scores: Scores, random: np.random.Generator, resamples: int = 1000) -> list[Difference]:
    """Of every two systems: raters and prompts that both have cancel, so this is surer than either mean."""
    able = [name for name in scores.systems if _enough(scores.of(name))]
    found = []
    for a, b in combinations(able, 2):
        one, two = (scores.system == scores.systems.index(name) for name in (a, b))
        rows = scores.only(one | two)
        value, influence = difference_influence(rows.values, one[one | two])
        wide = scores.bounds[1] - scores.bounds[0]
        who = rows.raters, rows.prompts
        found.append(Difference(a, b, crossed(value, influence, *who, random, resamples, (-wide, wide))[0]))
    return found


def difference_influence(values: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """values (n,), `first` (n,) whether of the first of two groups -> the difference of their means (1,), influence (n, 1)."""
    sign = np.where(first, 1 / first.sum(), -1 / (~first).sum())
    mean = np.where(first, values[first].mean(), values[~first].mean())
    return np.array([values[first].mean() - values[~first].mean()]), (sign * (values - mean))[:, None]


def _enough(rows: Pairs | Scores) -> bool:
    """Two raters or two prompts."""
    return any(np.unique(groups).size > 1 for groups in (rows.raters, rows.prompts))
