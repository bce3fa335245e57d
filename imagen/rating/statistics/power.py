"""How many more raters or prompts until an interval is as narrow as wanted."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from imagen.rating.statistics.crossed import mean_influence, ways

MOST = 1_000_000  # raters or prompts, beyond which none are enough


@dataclass(frozen=True)
class Parts:
    """The variance of one answer y = mean + rater + prompt + rest, by part, of a study of `raters` who answered to
    `prompts`, the share `density` of all their pairs (above 1: several answers a pair)."""

    rater: float
    prompt: float
    rest: float
    raters: int
    prompts: int
    density: float

    def half_width(self, raters: float, prompts: float) -> float:
        """Of the 95 % interval of a mean of so many raters and prompts of as dense a study:
        t sqrt(rater / R + prompt / P + rest / (density R P))."""
        rest = self.rest / (self.density * raters * prompts)
        by = self.rater / raters + rest, self.prompt / prompts + rest
        variance = by[0] + by[1] - rest
        if variance <= 0:
            return 0.0
        parts = by[0] ** 2 / max(raters - 1, 0.5) + by[1] ** 2 / max(prompts - 1, 0.5)
        return float(stdtrit(max(variance**2 / parts, 1.0), 0.975)) * math.sqrt(variance)


@dataclass(frozen=True)
class Power:
    """The half-width as it is `now`, and what would bring it to `wanted`: `raters` more with the same prompts, `prompts` more
    with the same raters (who answer as many more), or `both` more, in proportion. None: no number does, as what the other
    sample leaves is wider; 0: it is there. A forecast from a study's own spread, which is an estimate too."""

    wanted: float
    now: float
    raters: int | None
    prompts: int | None
    both: tuple[int, int] | None


def parts(values: np.ndarray, raters: np.ndarray, prompts: np.ndarray) -> Parts:
    """Of values (n,): the parts that make the three variances of `crossed.ways` come out as they did (the method of
    moments), none below 0. ValueError when there are not two raters and two prompts: one of a kind tells nothing of others."""
    count = int(np.unique(raters).size), int(np.unique(prompts).size)
    if min(count) < 2:
        raise ValueError(f"{count[0]} raters, {count[1]} prompts: a forecast needs two of each")
    n = len(values)
    raters, prompts = (np.unique(groups, return_inverse=True)[1] for groups in (raters, prompts))
    found = ways(mean_influence(values[:, None])[1], raters, prompts)
    by_rater, by_prompt, cells = (float(v[0]) for v in (found.raters, found.prompts, found.cells))
    even = found.evenness
    # of the variance of whole raters, what is not of single answers too is all the rater's
    rater = max(0.0, (by_rater - cells) / (even[0] - even[2])) if even[0] > even[2] else 0.0
    prompt = max(0.0, (by_prompt - cells) / (even[1] - even[2])) if even[1] > even[2] else 0.0
    rest = max(0.0, cells / even[2] - rater - prompt)
    # a mean of uneven raters is as sure as one of fewer even ones
    effective = max(2, round(1 / even[0])), max(2, round(1 / even[1]))
    return Parts(rater, prompt, rest, *effective, n / (effective[0] * effective[1]))


def power(known: Parts, wanted: float) -> Power:
    """What the study needs for a half-width of `wanted`. ValueError when that is not above 0."""
    if not 0 < wanted < math.inf:
        raise ValueError(f"wanted={wanted}: give a half-width above 0")
    now = known.half_width(known.raters, known.prompts)
    more_raters = _least(lambda k: known.half_width(known.raters + k, known.prompts) <= wanted)
    more_prompts = _least(lambda k: known.half_width(known.raters, known.prompts + k) <= wanted)
    ratio = known.prompts / known.raters
    together = _least(
        lambda k: known.half_width(known.raters + k, known.prompts + math.ceil(k * ratio)) <= wanted
    )
    both = None if together is None else (together, math.ceil(together * ratio))
    return Power(wanted, now, more_raters, more_prompts, both)


def _least(enough: Callable[[int], bool]) -> int | None:
    """The least number for which it holds, if it does for all larger ones; None when not up to MOST."""
    if enough(0):
        return 0
    high = 1
    while not enough(high):
        high *= 2
        if high > MOST:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
