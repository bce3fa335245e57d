"""The Frechet distance is that of the textbook: against scipy's matrix root, exact Gaussians, and torchmetrics."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance

from imagen.evaluation.metrics import frechet_distance, frechet_infinity, gaussian, moments
from imagen.evaluation.metrics.kernel import Identity


def draw(n: int, dim: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    """Correlated, of very unequal variances, as a network's features are."""
    mix = np.random.default_rng(99).normal(size=(dim, dim)) / np.sqrt(dim) * np.logspace(0.5, -2, dim)
    rows = np.random.default_rng(seed).normal(size=(n, dim))
    return torch.from_numpy(rows @ mix * scale + 0.5 + shift)


def reference(real: Tensor, made: Tensor) -> float:
    """By its definition: numpy's covariances, and the root by scipy.

    sqrtm(S1 S2) breaks down where S1 S2 is singular. Tr (S1 S2)^(1/2) = Tr (A^T S2 A)^(1/2) with S1 = A A^T, so of the
    n x n matrix (X S2 X^T) / (n - 1), of centred rows X, where n < D; that has a null vector (the mean) only."""
    a, b = real.numpy(), made.numpy()
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    if len(a) <= a.shape[1]:
        # an orthonormal basis of the rows' differences: n - 1 coordinates, in which S1 has full rank
        x = a - a.mean(0)
        basis = np.linalg.svd(x, full_matrices=False)[2][: len(a) - 1]
        half = np.asarray(sqrtm(basis @ one @ basis.T))
        inner = half @ (basis @ two @ basis.T) @ half
    else:
        half = np.asarray(sqrtm(one))
        inner = half @ two @ half
    values = np.linalg.eigvalsh(np.real(inner + inner.T) / 2)
    root = np.sqrt(np.clip(values, 0, None)).sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(one) + np.trace(two) - 2 * root)


@pytest.mark.parametrize(
    ("n", "m", "dim"), [(400, 300, 16), (200, 500, 64), (40, 60, 64), (30, 200, 48), (200, 30, 48)]
)
def test_equals_the_definition_also_below_full_rank(n: int, m: int, dim: int) -> None:
    real, made = draw(n, dim, 0), draw(m, dim, 1, 0.05, 1.2)
    assert frechet_distance(real, made) == pytest.approx(reference(real, made), rel=1e-6)


def test_equals_scipy_root_of_the_plain_product() -> None:
    real, made = draw(500, 24, 0), draw(500, 24, 1, 0.1)
    root = np.real(sqrtm(np.cov(real.numpy().T) @ np.cov(made.numpy().T)))
    expected = ((real.mean(0) - made.mean(0)) ** 2).sum().item()
    expected += np.trace(np.cov(real.numpy().T) + np.cov(made.numpy().T) - 2 * root)
    assert frechet_distance(real, made) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("n", [40, 400])
def test_nearly_equal_sets(n: int) -> None:
    """made = real scaled by 1 + e about its mean and moved by s: the exact distance is e^2 Tr S + |s|^2."""
    real = draw(n, 64, 0)
    mean = real.mean(0)
    e, s = 1e-4, 1e-5
    made = mean + (real - mean) * (1 + e) + s
    exact = e**2 * real.var(0).sum().item() + 64 * s**2
    assert frechet_distance(real, made) == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize(("n", "dim"), [(300, 32), (20, 64)])
def test_a_set_and_itself(n: int, dim: int) -> None:
    assert frechet_distance(draw(n, dim, 0), draw(n, dim, 0)) < 1e-10


def test_known_gaussians() -> None:
    """Diagonal covariances: |mu1 - mu2|^2 + sum (s1 - s2)^2; and one that is singular."""
    mean = torch.tensor([1.0, -2.0, 0.5])
    one, two = torch.tensor([4.0, 1.0, 0.0]), torch.tensor([1.0, 1.0, 9.0])
    a, b = gaussian(torch.zeros(3), one.diag(), 100), gaussian(mean, two.diag(), 7)
    assert frechet_distance(a, b) == pytest.approx(1 + 4 + 0.25 + 1 + 0 + 9, rel=1e-12)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.manual_seed(0))).Q
    c = gaussian(turn @ mean.double(), turn @ two.diag().double() @ turn.T, 7)
    d = gaussian(torch.zeros(3), turn @ one.diag().double() @ turn.T, 100)
    assert frechet_distance(d, c) == pytest.approx(15.25, rel=1e-9)


def test_equals_torchmetrics_where_that_is_exact() -> None:
    real, made = draw(400, 32, 0), draw(300, 32, 1, 0.1)
    metric = FrechetInceptionDistance(Identity(32)).set_dtype(torch.float64)
    metric.update(real, real=True)
    metric.update(made, real=False)
    assert frechet_distance(real, made) == pytest.approx(metric.compute().item(), rel=1e-6)


@pytest.mark.parametrize("n", [20, 100])
@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_chunks_equal_the_whole(n: int, chunk: int) -> None:
    real, made = draw(n, 32, 0), draw(n, 32, 1, 0.1)
    whole = frechet_distance(real, made)
    assert frechet_distance(moments(real, chunk=chunk), moments(made, chunk=chunk)) == pytest.approx(
        whole, rel=1e-9
    )
    parts = moments(made[:9]) + moments(made[9:])
    assert frechet_distance(real, parts) == pytest.approx(whole, rel=1e-9)
    torch.testing.assert_close(parts.covariance, torch.cov(made.T))


def test_float32_features_are_computed_in_float64() -> None:
    real, made = draw(200, 32, 0).float() + 100, draw(200, 32, 1).float() + 100
    assert frechet_distance(real, made) == pytest.approx(
        frechet_distance(real.double(), made.double()), rel=1e-12
    )


def test_extrapolation_is_nearer_to_the_truth_and_knows_its_error() -> None:
    """Two Gaussians of known distance; 300 pictures of 24 numbers each: the distance at n is biased upward."""
    dim, truth = 24, 0.5**2 * 24 + 0.1**2 * 24
    real = gaussian(torch.zeros(dim), torch.eye(dim), 1000)
    at_n, extrapolated, errors = [], [], []
    for seed in range(20):
        rows = np.random.default_rng(seed).normal(0.5, 1.1, (300, dim))
        found = frechet_infinity(real, torch.from_numpy(rows), points=8, seed=seed)
        assert found.at_n == pytest.approx(frechet_distance(real, torch.from_numpy(rows)))
        at_n.append(found.at_n - truth)
        extrapolated.append(found.value - truth)
        errors.append(found.error)
    assert np.mean(at_n) > 3 * abs(np.mean(extrapolated))
    rms = float(np.sqrt(np.mean(np.square(extrapolated))))
    assert rms < np.sqrt(np.mean(np.square(at_n)))
    assert 0.6 < np.mean(errors) / rms < 1.7


def test_extrapolation_is_that_of_its_seed() -> None:
    real, made = draw(100, 8, 0), draw(80, 8, 1)
    first, again = (frechet_infinity(real, made, points=4, seed=3) for _ in range(2))
    assert first == again
    assert first.sizes[0] == 20
    assert first.sizes[3] == 80
    assert first.value != frechet_infinity(real, made, points=4, seed=4).value


@pytest.mark.parametrize(
    ("options", "said"),
    [({"points": 2}, "points=2"), ({"smallest": 100}, "smallest=100: give 2 to 79"), ({"smallest": 1}, "smallest=1")],
)  # fmt: skip
def test_extrapolation_refuses(options: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        frechet_infinity(draw(100, 8, 0), draw(80, 8, 1), **options)


def test_bad_sets_are_one_line() -> None:
    real = draw(50, 8, 0)
    with pytest.raises(ValueError, match="made: 1 pictures"):
        frechet_distance(real, real[:1])
    with pytest.raises(ValueError, match="different width: real 8, made 4"):
        frechet_distance(real, real[:, :4])
    with pytest.raises(ValueError, match="real: all 9 pictures have the same"):
        frechet_distance(real[:1].repeat(9, 1), real)
    with pytest.raises(ValueError, match="made: 10 pictures, but this needs at least 16"):
        frechet_infinity(real, real[:10])
    with pytest.raises(ValueError, match="not symmetric and positive"):
        gaussian(torch.zeros(2), torch.tensor([[1.0, 0.0], [0.0, -1.0]]), 9)
