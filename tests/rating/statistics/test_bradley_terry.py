"""Davidson's model: closed forms of two systems, a plain maximiser of the likelihood, and planted strengths."""

import numpy as np
import pytest
from scipy import optimize

from imagen.rating.statistics.bradley_terry import strengths
from imagen.rating.statistics.simulate import World, choices
from imagen.rating.statistics.tables import Pairs, pairs

RANDOM = np.random.default_rng


def table(rows: list[tuple[str, str, float, int]]) -> Pairs:
    """(left, right, 1 | 0.5 | 0, how often)."""
    names = tuple(sorted({name for row in rows for name in row[:2]}))
    left, right, won = (np.concatenate([np.repeat(get(row), row[3]) for row in rows]) for get in (
        lambda row: names.index(row[0]), lambda row: names.index(row[1]), lambda row: row[2],
    ))  # fmt: skip
    n = np.arange(len(won))
    return Pairs(names, left, right, won, n % 5, n % 7, n.astype(object), n.astype(object))


def test_two_systems_have_a_closed_form() -> None:
    """With each on the left as often, a wins W, ties T, loses L times on either side: s(a) - s(b) = log(W / L), side 0 and
    exp(tie) = T / sqrt(W L)."""
    wins, same, losses = 30, 12, 15
    rows = [("a", "b", 1.0, wins), ("a", "b", 0.5, same), ("a", "b", 0.0, losses)]
    rows += [("b", "a", 0.0, wins), ("b", "a", 0.5, same), ("b", "a", 1.0, losses)]
    found = strengths(table(rows), RANDOM(0), spread=np.inf)
    assert found.side is not None
    assert found.tie is not None
    gap = found.strengths["a"].value - found.strengths["b"].value
    assert gap == pytest.approx(np.log(wins / losses), abs=1e-5)
    assert found.strengths["a"].value == pytest.approx(-found.strengths["b"].value)
    assert found.side.value == pytest.approx(0, abs=1e-5)
    assert found.tie.value == pytest.approx(np.log(same / np.sqrt(wins * losses)), abs=1e-5)
    assert found.chance("a", "b") == pytest.approx(wins / (wins + losses), abs=1e-5)


def test_the_side_has_a_closed_form_without_ties() -> None:
    """a wins p of n on the left and q of n on the right: logit p = s + side, logit q = s - side."""
    rows = [("a", "b", 1.0, 32), ("a", "b", 0.0, 8), ("b", "a", 0.0, 22), ("b", "a", 1.0, 18)]
    found = strengths(table(rows), RANDOM(0), spread=np.inf)
    assert found.tie is None
    assert found.side is not None
    p, q = np.log(32 / 8), np.log(22 / 18)
    assert found.side.value == pytest.approx((p - q) / 2, abs=1e-5)
    assert found.strengths["a"].value * 2 == pytest.approx((p + q) / 2, abs=1e-5)


def test_it_is_the_maximum_of_the_likelihood() -> None:
    """As Davidson writes it, in worths w = exp(s): left : same : right = w_l g : v sqrt(w_l w_r g) : w_r."""
    world = World({"a": 1.0, "b": 0.0, "c": -0.5, "d": 0.3}, side=0.4, tie=-0.2)
    rows = pairs(choices(world, 12, 15, RANDOM(0)), "alignment")

    def loss(at: np.ndarray) -> float:
        worth, g, v = np.exp([0, *at[:3]]), np.exp(at[3]), np.exp(at[4])
        left, right = worth[rows.left] * g, worth[rows.right]
        same = v * np.sqrt(left * right)
        of = np.where(rows.won == 1, left, np.where(rows.won == 0.5, same, right))
        return -np.log(of / (left + same + right)).sum()

    at = optimize.minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-6}).x
    found = strengths(rows, RANDOM(0), spread=np.inf)
    free = np.array([0, *at[:3]])
    assert [one.value for one in found.strengths.values()] == pytest.approx(free - free.mean(), abs=1e-4)
    assert found.side is not None
    assert found.tie is not None
    assert (found.side.value, found.tie.value) == pytest.approx((at[3], at[4]), abs=1e-4)
    near = strengths(rows, RANDOM(0))
    assert [one.value for one in near.strengths.values()] == pytest.approx(free - free.mean(), abs=0.01)


def test_errors_are_those_of_the_information_where_answers_are_independent() -> None:
    world = World({"a": 0.5, "b": 0.0}, side=0.3, tie=-0.5)
    rows = pairs(choices(world, 60, 60, RANDOM(1)), "alignment")
    found = strengths(rows, RANDOM(0))
    p = World.chances(world, "a", "b")
    # var(s_a - s_b) of n choices, sides balanced: 1 / (n var((left - right) / 2)) at side about 0
    expected = 1 / np.sqrt(len(rows) * (p[0] + p[2] - (p[0] - p[2]) ** 2) / 4)
    assert 2 * found.strengths["a"].error == pytest.approx(expected, rel=0.25)


def test_always_winning_is_finite_and_wide() -> None:
    found = strengths(table([("a", "b", 1.0, 20), ("b", "a", 0.0, 20)]), RANDOM(0))
    one = found.strengths["a"]
    assert 2 < one.value < 10
    assert one.low < 1.5
    assert one.high > 4
    assert not found.finite
    ties = strengths(table([("a", "b", 1.0, 5), ("b", "a", 0.5, 20)]), RANDOM(0))
    assert not ties.finite  # the gap and the tie grow together
    circle = [("a", "b", 1.0, 3), ("b", "c", 1.0, 3), ("a", "c", 0.0, 3)]
    assert strengths(table(circle), RANDOM(0)).finite
    assert not strengths(table(circle[:2]), RANDOM(0)).finite


def test_a_side_that_cannot_be_told_is_left_out() -> None:
    found = strengths(table([("a", "b", 1.0, 20), ("a", "b", 0.0, 10)]), RANDOM(0), spread=np.inf)
    assert found.side is None
    assert found.strengths["a"].value * 2 == pytest.approx(np.log(2), abs=1e-5)


def test_systems_that_never_met_have_no_one_scale() -> None:
    with pytest.raises(ValueError, match="c, d: never compared to a"):
        strengths(table([("a", "b", 1.0, 5), ("d", "c", 0.0, 5)]), RANDOM(0))
    with pytest.raises(ValueError, match="0 systems"):
        strengths(pairs([], "none"), RANDOM(0))
