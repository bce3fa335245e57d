"""Frechet distance between sets of features (FID over Inception's, FD-DINOv2 over DINOv2's), and its limit for
infinitely many pictures.

n pictures, D width of the features. Everything in float64, on the features' device.
"""

from dataclasses import dataclass
from math import hypot, sqrt

import numpy as np
import torch
from torch import Tensor

from imagen.evaluation.metrics.features import check_features

CHUNK = 8192  # rows that are taken in at once


@dataclass(frozen=True)
class Moments:
    """A Gaussian: `count` n, `mean` (D,), and `root` (r, D), r <= D, for which
    root^T root = (n - 1) covariance. The root, not the covariance: the distance is then exact to 1e-7 also where the
    covariances are singular (n < D) and the sets nearly equal. There the eigenvalues of the product of covariances, which
    torchmetrics takes, are wrong by 16 % (40 rows of 64 numbers, scaled by 1.0001); elsewhere both agree."""

    count: int
    mean: Tensor
    root: Tensor

    def __add__(self, other: "Moments") -> "Moments":
        """The moments of both sets of pictures together, exactly."""
        if self.mean.shape != other.mean.shape:
            raise ValueError(f"features of different width: {len(self.mean)} and {len(other.mean)}")
        count = self.count + other.count
        step = other.mean - self.mean
        between = sqrt(self.count * other.count / count) * step
        return Moments(
            count,
            self.mean + step * (other.count / count),
            _short(torch.cat([self.root, other.root, between[None]])),
        )

    @property
    def covariance(self) -> Tensor:
        """(D, D), divided by n - 1."""
        return self.root.T @ self.root / (self.count - 1)


def moments(features: Tensor, name: str = "features", chunk: int = CHUNK) -> Moments:
    """(n, D) features, n >= 2 -> their moments; `chunk` rows at a time, which changes the rounding only."""
    return _moments(check_features(features, name), chunk)


def gaussian(mean: Tensor, covariance: Tensor, count: int) -> Moments:
    """Moments of a known Gaussian, or of published statistics: mean (D,), covariance (D, D) of `count` pictures.
    ValueError when they do not fit or the covariance is not symmetric with eigenvalues >= 0."""
    mean, covariance = mean.to(torch.float64), covariance.to(mean.device, torch.float64)
    if covariance.shape != (len(mean), len(mean)) or count < 2:
        raise ValueError(
            f"mean {tuple(mean.shape)}, covariance {tuple(covariance.shape)} of {count} pictures do not fit"
        )
    if not (mean.isfinite().all() and covariance.isfinite().all()):
        raise ValueError("the statistics hold NaN or infinite values; compute them again")
    values, vectors = torch.linalg.eigh(covariance)
    largest = values.abs().max()
    if not torch.allclose(covariance, covariance.T) or values.min() < -1e-6 * largest:
        raise ValueError("the covariance is not symmetric and positive; compute the statistics again")
    noise = len(mean) * torch.finfo(torch.float64).eps * largest
    values = torch.where(values > noise, values, 0)
    return Moments(count, mean, (vectors * (values * (count - 1)).sqrt()).T)


def frechet_distance(real: Tensor | Moments, made: Tensor | Moments) -> float:
    """|mu1 - mu2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)) of two sets of features (n, D), or of their moments (Heusel et al.
    2017, https://arxiv.org/abs/1706.08500). Covariances are divided by n - 1, as everywhere.

    The trace of the root is the sum of the singular values of root1 root2^T. The FID when the features are those of
    `Inception` and the pictures those of its protocol; FD-DINOv2 (Stein et al. 2023) over DINOv2's; biased upward by
    about a constant / n: see `frechet_infinity`.
    """
    a = real if isinstance(real, Moments) else moments(real, "real")
    b = made if isinstance(made, Moments) else moments(made, "made")
    if a.mean.shape != b.mean.shape:
        raise ValueError(
            f"features of different width: real {len(a.mean)}, made {len(b.mean)}; use one extractor for both"
        )
    return _distance(a, b)


@dataclass(frozen=True)
class Extrapolated:
    """`value`: the distance that the line through (1 / size, distance) has at 1 / size = 0; `error` its standard error;
    `at_n` the distance of all `n` pictures; `sizes` and `values`: the points of the line."""

    value: float
    error: float
    at_n: float
    n: int
    sizes: tuple[int, ...]
    values: tuple[float, ...]


def frechet_infinity(
    real: Tensor | Moments, made: Tensor, points: int = 15, smallest: int | None = None, seed: int = 0
) -> Extrapolated:
    """The Frechet distance of infinitely many made pictures (FID_inf; Chong & Forsyth 2020, arXiv 1911.07023): random
    subsets of `points` sizes from `smallest` (a quarter of n) to n, and a line in 1 / size through their distances.

    The subsets are those of `seed`. `real` stays whole: the bias of a small real set is not taken away. The standard
    error has two parts: the line's own, and how the distance varies with the pictures drawn, from as many random halves
    (a half drawn without repeats varies about the whole as the whole varies about the truth). Below n = D the
    distance bends away from a line, and the extrapolation is too large still. ValueError for fewer than 3 points,
    and fewer than 16 pictures.
    """
    features = check_features(made, "made", 16)
    count = len(features)
    low = smallest if smallest is not None else max(8, count // 4)
    if points < 3:
        raise ValueError(f"points={points}: a line with an error needs at least 3")
    if not 2 <= low < count:
        raise ValueError(f"smallest={low}: give 2 to {count - 1}, fewer than the {count} pictures")
    fixed = real if isinstance(real, Moments) else moments(real, "real")
    if len(fixed.mean) != features.shape[1]:
        raise ValueError(
            f"features of different width: real {len(fixed.mean)}, made {features.shape[1]}; use one extractor for both"
        )
    random = np.random.default_rng(seed)

    def of(size: int) -> float:
        rows = torch.from_numpy(random.permutation(count)[:size]).to(features.device)
        return _distance(fixed, _moments(features[rows]))

    sizes = [int(size) for size in np.linspace(low, count, points).round()]
    values = [of(size) for size in sizes]
    halves = [of(count // 2) for _ in range(points)]
    every, found = np.array(sizes + [count // 2] * points), np.array(values + halves)
    design = np.stack([np.ones(len(every)), 1 / every], 1)
    (intercept, slope), *_ = np.linalg.lstsq(design, found, rcond=None)
    residual = found - design @ np.array([intercept, slope])
    variance = residual @ residual / (len(every) - 2) * np.linalg.inv(design.T @ design)[0, 0]
    error = hypot(sqrt(variance), float(np.std(halves, ddof=1)))
    return Extrapolated(
        float(intercept), error, values[-1], count, tuple(every.tolist()), tuple(found.tolist())
    )


def _moments(features: Tensor, chunk: int = CHUNK) -> Moments:
    if chunk < 1:
        raise ValueError(f"chunk={chunk}: give at least 1")
    total = None
    for part in features.to(torch.float64).split(chunk):
        mean = part.mean(0)
        own = Moments(len(part), mean, _short(part - mean))
        total = own if total is None else total + own
    assert total is not None
    return total


def _distance(a: Moments, b: Moments) -> float:
    # `real` may have been taken on another device
    mean, root = b.mean.to(a.mean.device), b.root.to(a.mean.device)
    one, two = a.root / sqrt(a.count - 1), root / sqrt(b.count - 1)
    overlap = torch.linalg.svdvals(one @ two.T).sum()
    far = (a.mean - mean).square().sum() + one.square().sum() + two.square().sum() - 2 * overlap
    return max(0.0, float(far))


def _short(root: Tensor) -> Tensor:
    """(r, D) -> (min(r, D), D) with the same root^T root."""
    return root if len(root) <= root.shape[1] else torch.linalg.qr(root, mode="r").R
