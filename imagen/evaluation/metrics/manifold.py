"""Fidelity and diversity apart: precision and recall, density and coverage, from the nearest neighbours of features.

n real and m made pictures, D width of the features. In float64, by blocks of rows.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from imagen.evaluation.metrics.features import check_features, check_pair

BLOCK = 2048


@dataclass(frozen=True)
class PrecisionRecall:
    """Both in [0, 1]: the share of made pictures that look real, and of real pictures that could have been made."""

    precision: float
    recall: float


@dataclass(frozen=True)
class DensityCoverage:
    """`density` >= 0, about 1 for equal sets: how densely made pictures lie where real ones do. `coverage` in [0, 1]:
    the share of real pictures with a made one near."""

    density: float
    coverage: float


def precision_recall(real: Tensor, made: Tensor, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall (Kynkaanniemi et al. 2019, https://arxiv.org/abs/1904.06991) of features (n, D) and
    (m, D): a point is inside of a set when it is no further from one of its points than that one's `k`-th neighbour.

    Both depend on n and m: give sets of the same size, as the protocol does, and compare at equal size only.
    """
    real, made = _checked(real, made, k)
    return PrecisionRecall(
        precision=float(_inside(made, real, radii(real, k)).double().mean()),
        recall=float(_inside(real, made, radii(made, k)).double().mean()),
    )


def density_coverage(real: Tensor, made: Tensor, k: int = 5) -> DensityCoverage:
    """Density and coverage (Naeem et al. 2020, https://arxiv.org/abs/2002.09797) of features (n, D) and (m, D): density
    counts for each made point the real points whose `k`-th neighbour is further than it, over k; coverage is the share
    of real points that have a made one nearer than their `k`-th neighbour. Strictly, as in the authors' code."""
    real, made = _checked(real, made, k)
    reach = radii(real, k)
    within, nearest = 0.0, torch.full_like(reach, torch.inf)
    centre = real.mean(0)
    for part in made.split(BLOCK):
        far = squared_distances(part - centre, real - centre)
        within += float((far < reach).sum())
        nearest = torch.minimum(nearest, far.min(0).values)
    return DensityCoverage(within / (k * len(made)), float((nearest < reach).double().mean()))


def radii(features: Tensor, k: int) -> Tensor:
    """(n, D) -> (n,): the squared distance of each row to its `k`-th nearest other row."""
    centred = features - features.mean(0)
    found = []
    for start, part in zip(range(0, len(centred), BLOCK), centred.split(BLOCK)):
        far = squared_distances(part, centred)
        own = torch.arange(len(part), device=far.device)
        far[own, own + start] = torch.inf
        found.append(far.kthvalue(k, 1).values)
    return torch.cat(found)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(a, D), (b, D) -> (a, b). Centre them first: by the matrix product, whose rounding is counted as 0."""
    lengths = a.square().sum(1)[:, None] + b.square().sum(1)
    far = lengths - 2 * a @ b.T
    return far.masked_fill_(far < 1e-13 * lengths, 0)


def _inside(points: Tensor, centres: Tensor, reach: Tensor) -> Tensor:
    """(p,) bool: which points are in the ball of any centre."""
    centre = centres.mean(0)
    return torch.cat(
        [(squared_distances(part - centre, centres - centre) <= reach).any(1) for part in points.split(BLOCK)]
    )


def _checked(real: Tensor, made: Tensor, k: int) -> tuple[Tensor, Tensor]:
    if k < 1:
        raise ValueError(f"k={k}: give at least 1")
    real, made = check_pair(real, made)
    for name, features in (("real", real), ("made", made)):
        check_features(features, name, k + 1)
    return real, made
