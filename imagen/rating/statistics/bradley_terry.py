"""Strengths of systems from choices between two of them, with ties and with what the side does.

Davidson's model (R. R. Davidson 1970, "On extending the Bradley-Terry model to accommodate ties") with an order effect
(R. R. Davidson and R. J. Beaver 1977): with strengths s in logits, d = s(left) - s(right) + side,

    left : same : right  =  exp(d / 2) : exp(tie) : exp(-d / 2).
"""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, sparse, special

from imagen.rating.statistics.crossed import Estimate, crossed
from imagen.rating.statistics.tables import Pairs

SPREAD = 5.0  # logits; the prior's, so wide that 100 choices move by less than 0.01 for it


@dataclass(frozen=True)
class Strengths:
    """strengths: {system: logits}, of mean 0. side: what the left side adds, None where every two systems were shown on one
    side each, so that it cannot be told. tie: the log weight of "same" between equals, None where nobody said it. finite: each
    part of the systems was once chosen over one of the others (Davidson 1970); where not, answers alone would set them without
    end apart, and how far is the prior's word."""

    strengths: dict[str, Estimate]
    side: Estimate | None
    tie: Estimate | None
    finite: bool

    def chance(self, a: str, b: str) -> float:
        """That a is chosen over b by those who choose, the side aside: 1 / (1 + exp(s(b) - s(a)))."""
        return float(special.expit(self.strengths[a].value - self.strengths[b].value))


def strengths(
    pairs: Pairs, random: np.random.Generator, resamples: int = 1000, spread: float = SPREAD
) -> Strengths:
    """By maximum likelihood, with a normal prior of `spread` logits on each parameter that keeps it finite where one system
    always wins (inf: none). Intervals over raters and prompts from each answer's influence, its score times the inverse
    information (P. Kline and A. Santos 2012), so they hold where answers of a rater or to a prompt are alike; not below what
    the information says of independent answers, which is left where one always wins.

    ValueError: fewer than two systems, or some that no chain of comparisons joins; one rater on one prompt."""
    _joined(pairs)
    count = len(pairs.systems)
    contrast = np.linalg.qr(np.column_stack([np.ones(count), np.eye(count)[:, 1:]]))[0][:, 1:]
    met, which = np.unique(np.column_stack([pairs.left, pairs.right]), axis=0, return_inverse=True)
    which = which.ravel()
    x = np.column_stack([contrast[met[:, 0]] - contrast[met[:, 1]], np.ones(len(met))])
    if np.linalg.matrix_rank(x) < count:
        x = x[:, :-1]
    ties = bool((pairs.won == 0.5).any())
    # of each (left, right) that was shown, how often left, same and right were answered
    kinds = [pairs.won == value for value in (1, 0.5, 0)]
    counts = np.stack([np.bincount(which[kind], minlength=len(met)) for kind in kinds], 1).astype(float)
    free = x.shape[1] + ties
    ridge = spread**-2

    def chances(at: np.ndarray) -> np.ndarray:
        """(m, 3), of left, same and right."""
        half = x @ at[: x.shape[1]] / 2
        same = np.full(len(x), at[-1] if ties else -np.inf)
        return special.softmax(np.stack([half, same, -half], 1), axis=1)

    def loss(at: np.ndarray) -> float:
        return -float(special.xlogy(counts, chances(at)).sum()) + ridge * float(at @ at) / 2

    def slope(at: np.ndarray) -> np.ndarray:
        p, n = chances(at), counts.sum(1)
        by_half = (n * (p[:, 0] - p[:, 2]) - (counts[:, 0] - counts[:, 2])) / 2
        by_tie = [(n * p[:, 1] - counts[:, 1]).sum()] * ties
        return np.concatenate([x.T @ by_half, by_tie]) + ridge * at

    def information(at: np.ndarray) -> np.ndarray:
        p, n = chances(at), counts.sum(1)
        apart = p[:, 0] - p[:, 2]
        found = np.zeros((free, free))
        found[: x.shape[1], : x.shape[1]] = (x * (n * (p[:, 0] + p[:, 2] - apart**2) / 4)[:, None]).T @ x
        if ties:
            found[:-1, -1] = found[-1, :-1] = x.T @ (-n * apart * p[:, 1] / 2)
            found[-1, -1] = (n * p[:, 1] * (1 - p[:, 1])).sum()
        return found + ridge * np.eye(free)

    at = optimize.minimize(
        loss, np.zeros(free), jac=slope, hess=information, method="trust-exact", options={"gtol": 1e-7}
    ).x
    p = chances(at)[which]
    moved = x[which] * ((kinds[0].astype(float) - kinds[2] - p[:, 0] + p[:, 2]) / 2)[:, None]
    if ties:
        moved = np.column_stack([moved, kinds[1] - p[:, 1]])
    # to strengths, then the side, then the tie
    to = np.zeros((count + free - count + 1, free))
    to[:count, : count - 1] = contrast
    to[count:, count - 1 :] = np.eye(free - count + 1)
    inverse = np.linalg.inv(information(at))
    influence = moved @ inverse @ to.T
    # the prior's own pull, which no answer has
    influence -= influence.mean(0)
    least = np.sqrt(np.diag(to @ inverse @ to.T))
    found = crossed(to @ at, influence, pairs.raters, pairs.prompts, random, resamples, least=least)
    return Strengths(
        dict(zip(pairs.systems, found)),
        found[count] if x.shape[1] == count else None,
        found[-1] if ties else None,
        _finite(pairs),
    )


def _finite(pairs: Pairs) -> bool:
    first = np.where(pairs.won == 1, pairs.left, pairs.right)[pairs.won != 0.5]
    second = np.where(pairs.won == 1, pairs.right, pairs.left)[pairs.won != 0.5]
    chosen = sparse.csr_array((np.ones(len(first)), (first, second)), shape=(len(pairs.systems),) * 2)
    return int(sparse.csgraph.connected_components(chosen, connection="strong")[0]) == 1


def _joined(pairs: Pairs) -> None:
    if len(pairs.systems) < 2:
        raise ValueError(
            f"choices between {len(pairs.systems)} systems: a strength is of one among two or more"
        )
    joined, before = {0}, 0
    while len(joined) > before:
        before = len(joined)
        for left, right in set(zip(pairs.left.tolist(), pairs.right.tolist())):
            if left in joined or right in joined:
                joined |= {left, right}
    if alone := [name for i, name in enumerate(pairs.systems) if i not in joined]:
        raise ValueError(
            f"{', '.join(alone)}: never compared to {pairs.systems[0]}, not even through others; their strengths have no one scale"
        )
