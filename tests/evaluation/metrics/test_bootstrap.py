"""Intervals cover what they should as often as they say, and are those of their seed."""

import numpy as np
import pytest
import torch

from imagen.evaluation.metrics.bootstrap import bootstrap, half_samples, paired_difference
from imagen.evaluation.metrics.frechet import frechet_distance, gaussian


def test_the_interval_of_a_mean_covers_it_about_as_often_as_said() -> None:
    random = np.random.default_rng(0)
    found = [bootstrap(random.exponential(1.0, 60), resamples=300, seed=i) for i in range(200)]
    covered = np.mean([one.low <= 1 <= one.high for one in found])
    assert 0.88 < covered <= 0.99
    assert all(one.low <= one.value <= one.high for one in found)


def test_it_equals_the_normal_interval_of_many_pictures() -> None:
    scores = np.random.default_rng(1).normal(3, 2, 2000)
    found = bootstrap(scores, confidence=0.9)
    error = scores.std(ddof=1) / np.sqrt(2000)
    assert found.value == pytest.approx(scores.mean())
    assert found.high - found.low == pytest.approx(2 * 1.645 * error, rel=0.1)


def test_pictures_of_one_prompt_are_drawn_together() -> None:
    """Ten equal pictures of each of 30 prompts tell no more than one of each."""
    scores = np.random.default_rng(2).normal(size=30)
    one = bootstrap(scores, seed=4)
    ten = bootstrap(scores.repeat(10), groups=[f"p{i}" for i in np.arange(30).repeat(10)], seed=4)
    assert (one.low, one.high) == pytest.approx((ten.low, ten.high))
    wrong = bootstrap(scores.repeat(10), seed=4)
    assert wrong.high - wrong.low < 0.5 * (one.high - one.low)


def test_a_paired_difference_sees_through_the_prompts() -> None:
    random = np.random.default_rng(3)
    hardness = random.normal(0, 5, 100)
    a, b = hardness + 0.5 + random.normal(0, 0.3, 100), hardness + random.normal(0, 0.3, 100)
    found = paired_difference(a, b)
    assert found.low > 0
    assert found.above == 1
    assert found.value == pytest.approx(np.mean(a) - np.mean(b))
    alone, other = bootstrap(a), bootstrap(b)
    assert alone.low < other.high
    none = paired_difference(torch.ones(9), torch.ones(9))
    assert (none.value, none.above) == (0, 0.5)
    back = paired_difference(b, a)
    assert (back.low, back.high, back.above) == pytest.approx((-found.high, -found.low, 0))


def test_a_paired_interval_covers() -> None:
    random = np.random.default_rng(4)
    covered = []
    for i in range(150):
        base = random.normal(size=50)
        found = paired_difference(base + random.normal(0.2, 1, 50), base, resamples=200, seed=i)
        covered.append(found.low <= 0.2 <= found.high)
    assert 0.88 < np.mean(covered) <= 0.99


def test_halves_cover_the_distance_at_n_where_repeats_do_not() -> None:
    """A Frechet distance of 100 pictures: its expectation at n is within the interval of halves as often as said.
    With repeats the resamples lie above it: why there is no percentile interval of sets."""
    dim, real = 12, gaussian(torch.zeros(12), torch.eye(12), 1000)

    def metric(made: torch.Tensor) -> float:
        return frechet_distance(real, made)

    random = np.random.default_rng(5)
    sets = [torch.from_numpy(random.normal(0.3, 1, (100, dim))) for _ in range(100)]
    expected = float(np.mean([metric(one) for one in sets]))
    found = [half_samples(metric, one, seed=i) for i, one in enumerate(sets)]
    assert 0.87 < np.mean([one.low <= expected <= one.high for one in found]) <= 1
    width = np.mean([one.high - one.low for one in found]) / 2
    assert width == pytest.approx(1.96 * np.std([one.value for one in found]), rel=0.3)
    repeated = [metric(sets[0][random.integers(100, size=100)]) for _ in range(100)]
    assert np.quantile(repeated, 0.025) > metric(sets[0])


def test_of_a_seed() -> None:
    scores = np.random.default_rng(0).normal(size=30)
    assert bootstrap(scores, seed=1) == bootstrap(scores, seed=1)
    assert bootstrap(scores, seed=1) != bootstrap(scores, seed=2)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="scores: the score of picture 1 is NaN; leave"):
        bootstrap([1.0, float("nan")])
    with pytest.raises(ValueError, match="scores: the score of picture 0 is NaN"):
        bootstrap([None, 1.0])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="2 scores or more"):
        bootstrap([1.0])
    with pytest.raises(ValueError, match="a has 2 scores and b 3"):
        paired_difference([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="1 groups for 2 scores"):
        bootstrap([1, 2], groups=["a"])
    with pytest.raises(ValueError, match="one group"):
        bootstrap([1, 2], groups=["a", "a"])
    with pytest.raises(ValueError, match="resamples=1"):
        bootstrap([1, 2], resamples=1)
    with pytest.raises(ValueError, match="3 pictures"):
        half_samples(lambda f: 0.0, torch.zeros(3, 2))
