"""Kernel distances against sums over pairs, written out."""

import numpy as np
import pytest
import torch
from torch import Tensor

from imagen.evaluation.metrics import cmmd, kernel, kernel_distance, kid


def sets(n: int = 40, m: int = 40, dim: int = 12, shift: float = 0.3) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(0)
    return torch.from_numpy(random.normal(size=(n, dim))), torch.from_numpy(random.normal(shift, 1, (m, dim)))


def by_hand(real: Tensor, made: Tensor) -> float:
    x, y = real.numpy(), made.numpy()

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (float(np.dot(a, b)) / len(a) + 1) ** 3

    xx = sum(k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j) / (len(x) * (len(x) - 1))
    yy = sum(k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j) / (len(y) * (len(y) - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / (len(x) * len(y))


def test_kid_of_all_is_the_sum_over_pairs() -> None:
    real, made = sets()
    expected = by_hand(real, made)
    mean, deviation = kid(real, made, subsets=3, subset_size=40)
    assert mean == pytest.approx(expected, rel=1e-9)
    assert deviation == pytest.approx(0, abs=1e-12)
    assert kernel_distance(real, made) == pytest.approx(expected, rel=1e-9)


def test_kid_of_fewer_than_the_width_and_of_unequal_sets() -> None:
    real, made = sets(9, 7, 30)
    assert kernel_distance(real, made) == pytest.approx(by_hand(real, made), rel=1e-9)
    nearly = real + 1e-4
    assert kernel_distance(real, nearly) == pytest.approx(by_hand(real, nearly), rel=1e-6)


def test_blocks_equal_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = sets(23, 31)
    whole = kernel_distance(real, made), cmmd(real, made)
    monkeypatch.setattr(kernel, "BLOCK", 7)
    assert (kernel_distance(real, made), cmmd(real, made)) == pytest.approx(whole, rel=1e-9)


def test_kid_is_unbiased() -> None:
    """Of equal distributions it is 0 on average, also of few pictures; below 0 half of the time."""
    random = np.random.default_rng(0)
    values = [
        kernel_distance(*(torch.from_numpy(random.normal(size=(20, 6))) for _ in "ab")) for _ in range(300)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(300)
    assert 0.3 < np.mean(np.array(values) < 0) < 0.8


def test_kid_of_a_seed_leaves_the_global_generator_alone() -> None:
    real, made = sets()
    state = torch.random.get_rng_state()
    first = kid(real, made, subsets=5, subset_size=20, seed=1)
    assert torch.equal(state, torch.random.get_rng_state())
    assert kid(real, made, subsets=5, subset_size=20, seed=1) == first
    assert kid(real, made, subsets=5, subset_size=20, seed=2) != first


def test_cmmd_is_the_sum_over_pairs_of_directions() -> None:
    real, made = sets(20, 30)
    x, y = (f.numpy() / np.linalg.norm(f.numpy(), axis=1, keepdims=True) for f in (real, made))

    def mean(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean([np.exp(-((p - q) ** 2).sum() / (2 * 10**2)) for p in a for q in b]))

    expected = 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))
    assert cmmd(real, made) == pytest.approx(expected, rel=1e-6)
    assert cmmd(real * 3, made * 5) == pytest.approx(expected, rel=1e-6)
    assert cmmd(real, real) == pytest.approx(0, abs=1e-9)


def test_refusals() -> None:
    real, made = sets()
    with pytest.raises(ValueError, match="subset_size=1000, but there are 40 real and 40 made"):
        kid(real, made)
    with pytest.raises(ValueError, match="subsets=0"):
        kid(real, made, subsets=0)
    with pytest.raises(ValueError, match="different width"):
        cmmd(real, made[:, :3])
    with pytest.raises(ValueError, match="sigma=0"):
        cmmd(real, made, sigma=0)
    with pytest.raises(ValueError, match="made: a picture's features are all 0"):
        cmmd(real, torch.cat([made, torch.zeros(1, 12)]))
