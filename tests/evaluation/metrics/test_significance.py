"""The sign-flip test against the binomial, an independent computation and its own level; Holm's correction by hand."""

import itertools
import math

import numpy as np
import pytest

from imagen.evaluation.metrics.significance import holm, sign_flips


def test_of_right_and_wrong_it_is_mcnemars_exact_test() -> None:
    """Twice the binomial's tail over the prompts that differ; those that do not are nothing."""
    for better, worse in ((6, 0), (5, 0), (9, 2), (7, 5), (1, 0)):
        n = better + worse
        tail = sum(math.comb(n, i) for i in range(better, n + 1)) / 2**n
        differences = [1.0] * better + [-1.0] * worse + [0.0] * 50
        assert sign_flips(differences) == pytest.approx(min(1, 2 * tail))
    assert sign_flips([1.0] * 6) < 0.05 < sign_flips([1.0] * 5), "six that differ is the least"
    assert sign_flips([0.0] * 9) == 1


def test_all_ways_some_ways_and_the_limit_agree() -> None:
    random = np.random.default_rng(0)
    small = random.normal(0.3, 1, 10)
    sums = [abs(np.dot(signs, small)) for signs in itertools.product((-1, 1), repeat=10)]
    assert sign_flips(small) == pytest.approx(np.mean(np.array(sums) >= abs(small.sum()) - 1e-12))
    middle, many = random.normal(0.15, 1, 190), random.normal(0.15, 1, 210)
    for values in (middle, many):
        z = abs(values.sum()) / math.sqrt((values**2).sum())
        assert sign_flips(values) == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.02)
    assert sign_flips(-middle) == pytest.approx(sign_flips(middle), abs=0.02)


@pytest.mark.parametrize("n", [8, 20])
def test_without_a_difference_it_is_seldom_below_a_level(n: int) -> None:
    random = np.random.default_rng(1)
    found = [sign_flips(random.choice([-1.0, 0.0, 1.0], n)) for _ in range(300)]
    assert np.mean(np.array(found) < 0.05) <= 0.075


def test_numbers_that_are_none() -> None:
    with pytest.raises(ValueError, match="finite numbers, one a prompt"):
        sign_flips([1.0, math.nan])


def test_holm() -> None:
    assert holm([]) == []
    assert holm([0.03]) == [0.03]
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
