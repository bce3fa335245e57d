"""Whether a difference is more than chance: the sign-flip test of paired scores, and Holm's correction of many such tests."""

import math
from collections.abc import Sequence

import numpy as np

FLIPS = 9999  # random turns of signs
MANY = 200  # prompts that differ, beyond which the sum of turned signs is as good as normal


def sign_flips(differences: Sequence[float] | np.ndarray, seed: int = 0) -> float:
    """Two-sided p-value of n differences, one a prompt, against their lying symmetrically about 0 (R. A. Fisher 1935): the
    share of ways to turn their signs in which the sum is as far from 0 as it is.

    Of the k that are not 0 all 2^k ways while there are at most 9,999, then as many random ones and the given one (Phipson and
    Smyth 2010), beyond 200 their normal limit. For shares of right answers it is the exact test of McNemar (1947). It needs
    k = 6 to come below 0.05, where a percentile bootstrap already excludes 0 at k = 4. 1 where none differs; ValueError for
    numbers that are not finite.
    """
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError("differences: give a list of finite numbers, one a prompt")
    values = values[values != 0]
    if not len(values):
        return 1.0
    far = abs(values.sum())
    if len(values) > MANY:
        return math.erfc(far / math.sqrt(2 * (values**2).sum()))
    reached = far - 1e-9 * np.abs(values).sum()  # sums in another order are as far
    if 2 ** len(values) <= FLIPS:
        ways = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
        return float(np.mean(np.abs((2 * ways - 1) @ values) >= reached))
    ways = np.random.default_rng(seed).integers(0, 2, (FLIPS, len(values)), np.int8)
    return float((1 + np.sum(np.abs((2 * ways - 1) @ values) >= reached)) / (1 + FLIPS))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of m tests, each raised so that all below 0.05 together have a chance of at most 0.05 that even one of them
    is chance (S. Holm 1979): the smallest times m, the next times m - 1, and none below the one before."""
    found, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        found[place] = least
    return found
