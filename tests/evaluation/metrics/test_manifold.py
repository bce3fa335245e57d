"""Precision, recall, density and coverage against loops over pairs."""

import numpy as np
import pytest
import torch
from torch import Tensor

from imagen.evaluation.metrics import density_coverage, manifold, precision_recall


def sets(n: int, m: int, dim: int = 5, shift: float = 0.5, scale: float = 0.7) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(n)
    return torch.from_numpy(random.normal(size=(n, dim))), torch.from_numpy(
        random.normal(shift, scale, (m, dim))
    )


def far(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(((a - b) ** 2).sum()))


def reach(points: np.ndarray, k: int) -> list[float]:
    return [sorted(far(p, q) for j, q in enumerate(points) if j != i)[k - 1] for i, p in enumerate(points)]


@pytest.mark.parametrize(("n", "m", "k"), [(40, 40, 3), (30, 50, 5), (50, 12, 1)])
def test_against_loops(n: int, m: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = sets(n, m)
    x, y = real.numpy(), made.numpy()
    rx, ry = reach(x, k), reach(y, k)
    precision = np.mean([any(far(p, q) <= r for q, r in zip(x, rx)) for p in y])
    recall = np.mean([any(far(p, q) <= r for q, r in zip(y, ry)) for p in x])
    density = np.sum([far(p, q) < r for p in y for q, r in zip(x, rx)]) / (k * m)
    coverage = np.mean([min(far(p, q) for p in y) < r for q, r in zip(x, rx)])
    for block in (2048, 7):
        monkeypatch.setattr(manifold, "BLOCK", block)
        found, dense = precision_recall(real, made, k), density_coverage(real, made, k)
        assert (found.precision, found.recall) == pytest.approx((precision, recall), abs=1e-12)
        assert (dense.density, dense.coverage) == pytest.approx((density, coverage), abs=1e-12)


def test_a_set_and_itself() -> None:
    real, _ = sets(60, 2, 32)
    far_away = real * 1e-3 + 1e3  # the rounding of a distance to oneself must not count
    for features in (real, far_away.float()):
        found, dense = precision_recall(features, features), density_coverage(features, features)
        assert (found.precision, found.recall) == (1, 1)
        assert (dense.density, dense.coverage) == (1, 1)


def test_one_mode_of_two_is_precise_and_has_half_of_the_recall() -> None:
    random = np.random.default_rng(0)
    mode = random.normal(size=(200, 4))
    real = torch.from_numpy(np.concatenate([mode, mode + 100]))
    made = torch.from_numpy(random.normal(size=(400, 4)))
    found, dense = precision_recall(real, made), density_coverage(real, made)
    assert found.precision > 0.85
    assert 0.4 < found.recall <= 0.5
    assert 0.4 < dense.coverage <= 0.5


def test_refusals() -> None:
    real, made = sets(20, 20)
    with pytest.raises(ValueError, match="k=0"):
        precision_recall(real, made, 0)
    with pytest.raises(ValueError, match="made: 5 pictures, but this needs at least 6"):
        density_coverage(real, made[:5])
    with pytest.raises(ValueError, match="real: all 20 pictures have the same"):
        precision_recall(real[:1].repeat(20, 1), made)
