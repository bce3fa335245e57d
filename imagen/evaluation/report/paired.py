"""Differences of two systems on the prompts that both were asked, score by score: with intervals over prompts, and whether they
are more than chance."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import NamedTuple

import numpy as np

from imagen.evaluation.metrics.bootstrap import paired_difference
from imagen.evaluation.metrics.significance import sign_flips
from imagen.evaluation.report.matching import Matched, Pair
from imagen.evaluation.report.read import Row

ALL = 3  # systems of which every two are compared; of more each with the first
DUOS = 8  # compared at most
LEAST = 6  # prompts: of fewer not even all together pointing one way are beyond chance
SURE = 0.05


class Asked(NamedTuple):
    """Of one picture of both systems, or of all of a prompt: its prompt, its category, and the scores of one and of the other."""

    prompt: str
    category: str
    one: Mapping[str, float | None]
    two: Mapping[str, float | None]


class Duo(NamedTuple):
    """Two systems by their numbers, and what both were asked. `how`: "seeds" when pictures of the same seeds are compared,
    "prompts" when the means of prompts are."""

    one: int
    two: int
    how: str
    asked: list[Asked]


class Difference(NamedTuple):
    """`value`: the mean of `two` minus that of `one`, its interval of 95 % by the paired bootstrap over prompts, and the p-value
    of the sign-flip test. `differ`: the prompts, of `prompts`, whose scores differ."""

    value: float
    low: float
    high: float
    p: float
    prompts: int
    pictures: int
    differ: int

    @property
    def excludes(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0

    @property
    def told(self) -> bool:
        """Whether there is a difference: the interval excludes 0, and by turning signs it is beyond chance as well, since the
        bootstrap of a few prompts that differ is too sure."""
        return self.excludes and self.p < SURE


def duos(match: Matched) -> tuple[list[Duo], int]:
    """Every two of up to `ALL` systems, or the first with each of the others, that were asked at least one prompt in common;
    and how many more there would be than are made."""
    having = [i for i, rows in enumerate(match.of) if rows]
    wanted = (
        list(combinations(having, 2)) if len(having) <= ALL else [(having[0], other) for other in having[1:]]
    )
    found = [duo for one, two in wanted[:DUOS] if (duo := _duo(match, one, two)).asked]
    return found, max(0, len(wanted) - DUOS)


def difference(asked: Sequence[Asked], score: str) -> Difference | None:
    """Of what has this score in both systems; None for fewer than `LEAST` prompts."""
    there = [
        (row.prompt, a, b)
        for row in asked
        if (a := row.one.get(score)) is not None and (b := row.two.get(score)) is not None
    ]
    prompts = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompt for prompt, _, _ in there))}
    if len(prompts) < LEAST:
        return None
    one, two = np.array([row[1:] for row in there]).T
    sums = np.bincount([prompts[row[0]] for row in there], two - one)
    if not np.isfinite(sums).all():  # scores of 1e308, which an evaluation does not write
        return None
    differ, counts = int(np.count_nonzero(sums)), (len(prompts), len(there))
    if not differ:
        return Difference(0.0, 0.0, 0.0, 1.0, *counts, 0)
    sure = paired_difference(two, one, groups=[row[0] for row in there])
    return Difference(sure.value, sure.low, sure.high, sign_flips(sums), *counts, differ)


def by_category(asked: Sequence[Asked]) -> dict[str, list[Asked]]:
    """In the order in which categories are met."""
    found: dict[str, list[Asked]] = {}
    for row in asked:
        found.setdefault(row.category, []).append(row)
    return found


def _duo(match: Matched, one: int, two: int) -> Duo:
    """By pictures of the same seeds, where each prompt that both have has one; else by prompts, whose scores are means."""
    first, second = match.of[one], match.of[two]
    shared = [pair for pair in first if pair in second]
    prompts = {pair.prompt for pair in first} & {pair.prompt for pair in second}
    if all(pair.seed is not None for pair in shared) and {pair.prompt for pair in shared} == prompts:
        rows = [
            Asked(pair.prompt, first[pair].category, first[pair].scores, second[pair].scores)
            for pair in shared
        ]
        return Duo(one, two, "seeds", rows)
    a, b = _of_prompts(first), _of_prompts(second)
    rows = [Asked(p, a[p][0].category, _means(a[p]), _means(b[p])) for p in a if p in b]
    return Duo(one, two, "prompts", rows)


def _of_prompts(rows: Mapping[Pair, Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows.values():
        found.setdefault(row.prompt, []).append(row)
    return found


def _means(rows: Sequence[Row]) -> dict[str, float | None]:
    found: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.scores.items():
            if value is not None:
                found.setdefault(name, []).append(value)
    return {name: fmean(values) for name, values in found.items()}
