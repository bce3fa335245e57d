"""How sure a number is when raters and prompts are both samples: a two-way bootstrap, and the variance it is held to."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import stdtr, stdtrit

from imagen.evaluation.suites.sizes import Z, wilson

HELD = 4_000_000  # counts of raters or prompts in resamples, at once
TAILS = (0.025, 0.975)
TINY = 1e-12  # of a standard error, below which it is rounding
SHARE = (0.0, 1.0)
ANY = (-np.inf, np.inf)


@dataclass(frozen=True)
class Estimate:
    """`value`, and the bounds within which it lies with a confidence of 95 % when other raters judge other
    prompts. `error`: its standard error; `freedom`: the degrees of freedom of that error. `answers`, `raters`, `prompts`: how
    many it is of; of one rater (prompt) alone it is a statement about that one."""

    value: float
    low: float
    high: float
    error: float
    freedom: float
    answers: int
    raters: int
    prompts: int

    @property
    def fewest(self) -> int:
        """Of raters and of prompts, whichever are fewer; 1 where either is alone."""
        return min(self.raters, self.prompts)

    def p_value(self, null: float) -> float:
        """Two-sided, of a true value of `null` among all raters and prompts there could be: 1 where one of either was alone, as
        nothing follows for others. A t test (a sign test of the fewest where all answers were alike, and an error is not to be
        had) of no more degrees of freedom than the fewest less 1 (Cameron, Gelbach and Miller 2011): Satterthwaite's, found from
        the same few, are too many in the tails at which corrections for many comparisons look."""
        if self.fewest == 1:
            return 1.0
        if self.error == 0:
            return 1.0 if self.value == null else min(1.0, 2.0 * 0.5**self.fewest)
        return float(2 * stdtr(min(self.freedom, self.fewest - 1), -abs(self.value - null) / self.error))


@dataclass(frozen=True)
class Ways:
    """The variance (k,) of a number when whole raters are independent of each other (`raters`), when whole prompts are
    (`prompts`), and when every pair of a rater and a prompt is (`cells`); the degrees of freedom of the first two, and
    `evenness`, the sum of squared shares of answers of raters, of prompts and of cells (1 / their number if all are alike)."""

    raters: np.ndarray
    prompts: np.ndarray
    cells: np.ndarray
    freedom: tuple[float, float]
    evenness: tuple[float, float, float]

    def total(self) -> np.ndarray:
        """(k,): both ways together, raters + prompts - cells (A. C. Cameron, J. B. Gelbach and D. L. Miller 2011, "Robust
        inference with multiway clustering"), as what both count is counted once; not below either."""
        both = self.raters + self.prompts - self.cells
        return np.maximum(both, np.maximum(self.raters, self.prompts))

    def total_freedom(self) -> np.ndarray:
        """(k,): of `total` (F. E. Satterthwaite 1946)."""
        parts = self.raters**2 / self.freedom[0] + self.prompts**2 / self.freedom[1]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(parts > 0, np.maximum(self.total() ** 2 / parts, 1.0), 1.0)


def ways(influence: np.ndarray, raters: np.ndarray, prompts: np.ndarray) -> Ways:
    """influence (n, k): how far each of n answers moves each of k numbers, adding up to 0; raters, prompts (n,): whose answer
    to what, numbered from 0."""
    cells = np.unique(raters * (prompts.max() + 1) + prompts, return_inverse=True)[1]
    found = [_clustered(influence, groups) for groups in (raters, prompts, cells)]
    (a, fa, ea), (b, fb, eb), (c, _, ec) = found
    return Ways(a, b, c, (fa, fb), (ea, eb, ec))


def crossed(
    values: np.ndarray,
    influence: np.ndarray,
    raters: np.ndarray,
    prompts: np.ndarray,
    random: np.random.Generator,
    resamples: int = 1000,
    bounds: tuple[float, float] = ANY,
    least: np.ndarray | None = None,
) -> list[Estimate]:
    """The interval of each of k numbers, values (k,), to first order sums of influences (n, k) of answers.

    Raters and prompts are drawn with repeats, independently, and an answer counts as often as its rater times its prompt
    (the pigeonhole bootstrap; A. B. Owen 2007). That counts what is neither the rater's nor the prompt's three times, and
    no resampling is exact here (P. McCullagh 2000), so the shape is the bootstrap's and the width is of `Ways.total`, with
    Student's t for the few raters or prompts that it was found from: percentiles of v + (v* - v) t / z sd(total) / sd(v*).
    `bounds` of the values are bounds of the interval; where all answers are alike, it is that of a share (Wilson's) between
    the bounds, of as many answers as the fewer of raters and prompts. least (k,): what the standard errors are at least.

    ValueError when there are not two raters or two prompts."""
    count = (int(np.unique(raters).size), int(np.unique(prompts).size))
    if max(count) < 2:
        raise ValueError(
            f"{len(raters)} answers of {count[0]} raters to {count[1]} prompts: an interval needs two of either"
        )
    if resamples < 100:
        raise ValueError(f"resamples={resamples}: an interval of 95 % needs at least 100")
    raters, prompts = (np.unique(groups, return_inverse=True)[1] for groups in (raters, prompts))
    found = ways(influence, raters, prompts)
    error, freedom = np.sqrt(found.total()), found.total_freedom()
    if least is not None:
        error = np.maximum(error, least)
    moved = _draws(influence, raters, prompts, random, resamples)
    spread = moved.std(0)
    normal = np.array([[-Z], [Z]])
    shape = np.where(spread > TINY, np.quantile(moved, TAILS, axis=0) / np.maximum(spread, TINY), normal)
    reach = shape * error * stdtrit(freedom, TAILS[1]) / Z
    estimates = []
    for j, value in enumerate(map(float, values)):
        low, high = (min(max(value + float(r), bounds[0]), bounds[1]) for r in reach[:, j])
        known = float(error[j]) if error[j] > TINY else 0.0
        if not known and np.isfinite(bounds).all():
            wide = bounds[1] - bounds[0]
            share = min(max((value - bounds[0]) / wide, 0.0), 1.0)
            few = min(n for n in count if n > 1)
            low, high = (bounds[0] + wide * bound for bound in wilson(share, few))
        estimates.append(Estimate(value, low, high, known, float(freedom[j]), len(raters), *count))
    return estimates


def means(
    columns: np.ndarray,
    raters: np.ndarray,
    prompts: np.ndarray,
    random: np.random.Generator,
    resamples: int = 1000,
    bounds: tuple[float, float] = ANY,
    weights: np.ndarray | None = None,
) -> list[Estimate]:
    """The mean of each column of (n, k), of n answers, `weights` (n,) times each, with `crossed` intervals."""
    value, influence = mean_influence(columns, weights)
    return crossed(value, influence, raters, prompts, random, resamples, bounds)


def mean_influence(columns: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(n, k) -> the means (k,), and how far each answer moves each (n, k): w (y - mean) / sum of w."""
    weight = np.ones(len(columns)) if weights is None else np.asarray(weights, float)
    if not weight.sum() > 0:
        raise ValueError("weights of 0 alone: a mean needs an answer that counts")
    value = weight @ columns / weight.sum()
    return value, weight[:, None] * (columns - value) / weight.sum()


def _clustered(influence: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, float, float]:
    """The variance (k,) with whole groups independent, its degrees of freedom, and the sum of squared shares of groups."""
    shares = np.bincount(groups) / len(groups)
    even = float((shares**2).sum())
    if np.count_nonzero(shares) < 2:
        return np.zeros(influence.shape[1]), 1.0, even
    sums = np.stack([np.bincount(groups, column) for column in influence.T], 1)
    # 1 - even: what the groups lose by lying about their own mean, (G - 1) / G for groups of one size
    freedom = max(1.0, even**2 / float((shares**4).sum()) - 1)
    return (sums**2).sum(0) / (1 - even), freedom, even


def _draws(
    influence: np.ndarray,
    raters: np.ndarray,
    prompts: np.ndarray,
    random: np.random.Generator,
    resamples: int,
) -> np.ndarray:
    """(resamples, k): how far each number lies from its value in each resample."""
    counts = int(raters.max()) + 1, int(prompts.max()) + 1
    # of every rater and prompt what their answers add up to, and how many there are
    columns = [*influence.T, np.ones(len(influence))]
    met = [sparse.csr_array((column, (raters, prompts)), shape=counts) for column in columns]
    found, left = [], resamples
    while left:
        size = min(left, max(1, HELD // max(counts)))
        of_rater, of_prompt = (random.multinomial(c, np.full(c, 1 / c), size).astype(float) for c in counts)
        *sums, total = (((of_rater @ column) * of_prompt).sum(1) for column in met)
        # raters and prompts that were drawn need not have met, where each rater saw a few prompts
        scale = np.divide(len(influence), total, out=np.zeros(size), where=total > 0)
        found.append(np.stack(sums, 1) * scale[:, None])
        left -= size
    return np.concatenate(found)
