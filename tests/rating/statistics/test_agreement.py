"""Krippendorff's alpha is that of the package of that name and of his own example; controls and repeats are counted."""

from dataclasses import replace
from typing import get_args

import krippendorff as reference
import numpy as np
import pytest

from imagen.rating.answers import Answer
from imagen.rating.statistics.agreement import Level, agreement, consistency, controls, krippendorff

NAN = np.nan
# K. Krippendorff 2011, section C: four observers, twelve units
PAPER = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)


def flat(data: np.ndarray) -> tuple[list[str], list[float], list[str]]:
    """(raters, units) with nan for no answer -> what each answer is of, what it says, and whose it is."""
    there = np.argwhere(~np.isnan(data))
    units, raters = [f"u{unit}" for _, unit in there], [f"r{rater}" for rater, _ in there]
    return units, [float(data[r, u]) for r, u in there], raters


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_the_example_of_the_paper(level: Level, alpha: float) -> None:
    found = krippendorff(*flat(PAPER), level, np.random.default_rng(0))
    assert found.alpha == pytest.approx(alpha, abs=5e-4)
    assert found.items == 11
    assert found.answers == 40


@pytest.mark.parametrize("level", get_args(Level))
@pytest.mark.parametrize("seed", range(5))
def test_it_is_that_of_the_package(level: Level, seed: int) -> None:
    random = np.random.default_rng(seed)
    true = random.integers(0, 5, 30)
    data = np.clip(true + random.integers(-1, 2, (6, 30)), 0, 4).astype(float)
    data[random.random(data.shape) < 0.4] = NAN
    data[:, 0] = NAN
    found = krippendorff(*flat(data), level, np.random.default_rng(0))
    assert found.alpha == pytest.approx(reference.alpha(data, level_of_measurement=level))
    assert found.alpha is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.alpha < found.high


@pytest.mark.parametrize(
    ("raters", "units", "severity", "least"), [(4, 80, 0.0, 94), (8, 60, 0.8, 84), (4, 10, 0.0, 90)]
)
def test_the_interval_covers(raters: int, units: int, severity: float, least: int) -> None:
    """alpha of interval data is var(unit) / (all variance), also where raters differ in how severe they are, which an interval
    over items alone does not know of (it covered 57 %), and of 10 items."""
    random = np.random.default_rng(0)
    covered, rest = 0, (1 - severity**2) ** 0.5
    for _ in range(100):
        rater = random.normal(0, severity, (raters, 1))
        data = np.round(random.normal(0, 1, units) + rater + random.normal(0, rest, (raters, units)), 1)
        found = krippendorff(*flat(data), "interval", random, 200)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.5 <= found.high
    assert covered >= least


def test_what_tells_nothing_has_no_alpha() -> None:
    random = np.random.default_rng(0)
    assert krippendorff(["a", "a"], [1.0, 1.0], ["r", "s"], "nominal", random).alpha is None
    assert krippendorff(["a", "b"], [1.0, 2.0], ["r", "r"], "nominal", random).items == 0
    assert krippendorff([], [], [], "ordinal", random).alpha is None


def test_two_items_or_perfect_agreement_tell_nothing_of_bounds() -> None:
    random = np.random.default_rng(0)
    few = np.array([[1.0, 2.0], [1.0, 3.0], [2.0, 2.0]])
    assert krippendorff(*flat(few), "nominal", random).low is None
    perfect = krippendorff(*flat(np.array([[1.0, 2.0, 3.0, 4.0]] * 4)), "nominal", random)
    assert (perfect.alpha, perfect.low) == (1, None)


@pytest.mark.filterwarnings("error")
def test_two_raters_and_one_answer_of_a_third_tell_nothing_of_bounds() -> None:
    """Without either of the two one item is left that two answered, and both the same: that has no alpha."""
    data = np.array([[-1.0, 1.0, 1.0, -1.0], [0.0, 1.0, -1.0, -1.0], [NAN, NAN, NAN, -1.0]])
    found = krippendorff(*flat(data), "ordinal", np.random.default_rng(0))
    assert found.alpha is not None
    assert (found.low, found.high) == (None, None)


ONE = Answer("r0", "i0", "p0", "", "alignment", "choice", "left", ("a", "b"), 1.0, 1.0, 0)


def test_the_side_does_not_matter() -> None:
    answers = [
        replace(ONE, rater=f"r{r}", item=f"i{i}", value=("left" if (r + i) % 2 else "right"), shown=("a", "b") if r % 2 else ("b", "a"))
        for r in range(4) for i in range(4)
    ]  # fmt: skip
    assert agreement(answers, "alignment", np.random.default_rng(0)).alpha == 1


def test_repeats_are_compared_by_system() -> None:
    answers = [
        ONE, replace(ONE, value="right", shown=("b", "a"), repeat=1),
        replace(ONE, item="i1"), replace(ONE, item="i1", value="right", repeat=1),
        replace(ONE, item="i2", value="same"), replace(ONE, item="i2", value="left", repeat=1),
        replace(ONE, item="i3"), replace(ONE, item="i0", rater="r1"),
    ]  # fmt: skip
    found = consistency(answers, "alignment")
    assert found is not None
    assert (found.items, found.same, found.distance) == (3, pytest.approx(1 / 3), pytest.approx(1.0))
    assert consistency(answers, "quality") is None


def test_the_rule_of_80_percent() -> None:
    def asked(rater: str, right: int, of: int) -> list[Answer]:
        return [
            replace(ONE, rater=rater, item=f"c{i}", control="left", value="left" if i < right else "same")
            for i in range(of)
        ]

    found = controls([*asked("good", 4, 5), *asked("bad", 3, 5), replace(ONE, rater="new")])
    assert found.shares == {"bad": 0.6, "good": 0.8}
    assert (found.failed, found.unchecked) == (("bad",), ("new",))
    assert controls(asked("bad", 3, 5), rule=0.5).failed == ()
    # of two questions the rule asks for both
    assert controls(asked("good", 2, 2)).unlucky == pytest.approx(1 - 0.95**2)
    assert controls(asked("good", 5, 5)).unlucky == pytest.approx(1 - 0.95**5 - 5 * 0.05 * 0.95**4)
    assert (controls(asked("good", 9, 10)).each, controls([ONE]).each) == (10, 0)


def test_a_scale_is_right_when_it_is_near() -> None:
    one = replace(ONE, kind="scale", shown=("a",), control=8.0)
    answers = [replace(one, item=str(v), value=v) for v in (6.0, 10.0, 5.9, 8.0)]
    assert controls(answers).shares == {"r0": 0.75}
