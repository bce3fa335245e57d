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


def flat(data: np.ndarray) -> tuple[list[str], list[float]]:
    """(raters, units) with nan for no answer -> what each answer is of, and says."""
    there = np.argwhere(~np.isnan(data))
    return [f"u{unit}" for _, unit in there], [float(data[r, u]) for r, u in there]


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


def test_the_interval_covers() -> None:
    """Of many units: alpha of interval data is var(unit) / (var(unit) + var(rest))."""
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        data = np.round(random.normal(0, 1, 80) + random.normal(0, 1, (4, 80)), 1)
        found = krippendorff(*flat(data), "interval", random, 200)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.5 <= found.high
    assert covered >= 88


def test_what_tells_nothing_has_no_alpha() -> None:
    assert krippendorff(["a", "a"], [1.0, 1.0], "nominal", np.random.default_rng(0)).alpha is None
    assert krippendorff(["a", "b"], [1.0, 2.0], "nominal", np.random.default_rng(0)).items == 0
    assert krippendorff([], [], "ordinal", np.random.default_rng(0)).alpha is None


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


def test_a_scale_is_right_when_it_is_near() -> None:
    one = replace(ONE, kind="scale", shown=("a",), control=8.0)
    answers = [replace(one, item=str(v), value=v) for v in (6.0, 10.0, 5.9, 8.0)]
    assert controls(answers).shares == {"r0": 0.75}
