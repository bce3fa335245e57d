"""Which systems are compared on what, and what is said of the difference."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from imagen.evaluation.report.matching import matched
from imagen.evaluation.report.paired import LEAST, Difference, difference, duos
from imagen.evaluation.report.read import Row
from imagen.evaluation.report.verdicts import differences_part, in_words


def rows(
    scores: Sequence[float | None], seed: int | None = 1, category: str = "A", name: str = "p"
) -> list[Row]:
    """A picture each, of prompts p0, p1 ..."""
    return [
        Row(f"{name}{i}", category, seed, f"{name}{i}s{seed}", {"scene": score})
        for i, score in enumerate(scores)
    ]


def test_seeds_are_paired_and_else_prompts() -> None:
    one = rows([1.0, 0.0, 1.0], seed=1) + rows([0.0, 0.0, 1.0], seed=2)
    (same,), _ = duos(matched([one, one]))
    assert (same.one, same.two, same.how, len(same.asked)) == (0, 1, "seeds", 6)
    (other,), _ = duos(matched([one, rows([1.0, 1.0, None], seed=3)]))
    assert (other.how, len(other.asked)) == ("prompts", 3)
    assert [row.one["scene"] for row in other.asked] == [0.5, 0.0, 1.0], "means of a prompt"
    assert [row.two.get("scene") for row in other.asked] == [1.0, 1.0, None]
    (bare,), _ = duos(matched([rows([1.0], None), rows([1.0], None)]))
    assert bare.how == "prompts", "without a seed none is the same"
    assert duos(matched([one, rows([1.0], name="q")])) == ([], 0)


def test_every_two_of_three_and_of_more_each_with_the_first() -> None:
    systems = [rows([1.0, 0.0])] * 12
    assert [duo[:2] for duo in duos(matched([*systems[:3], []]))[0]] == [(0, 1), (0, 2), (1, 2)]
    found, more = duos(matched(systems))
    assert ([duo[:2] for duo in found], more) == ([(0, i) for i in range(1, 9)], 3)


def test_a_difference_is_that_of_the_means_over_what_both_have() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(0, 1, 80), random.normal(0, 1, 80)
    b = a + 0.3 + 0.2 * b  # paired it is seen, unpaired it is not
    (duo,), _ = duos(matched([rows([None, *a]), rows([1.0, *b])]))
    found = difference(duo.asked, "scene")
    assert found
    assert found.value == pytest.approx(np.mean(b - a))
    assert found.low < found.value < found.high
    assert (found.prompts, found.pictures, found.differ) == (80, 80, 80)
    assert found.told
    assert found.p < 0.001
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.std(b - a) / math.sqrt(80), rel=0.15)
    assert difference(duo.asked[:LEAST], "scene") is None, "the first has no score in one of them"
    assert difference(duo.asked, "other") is None


def test_pictures_of_a_prompt_are_no_more_prompts() -> None:
    """Ten times the same pictures make nothing surer."""
    random = np.random.default_rng(0)
    a, b = random.integers(0, 2, 40).tolist(), random.integers(0, 2, 40).tolist()
    (once,), _ = duos(matched([rows(a), rows(b)]))
    (often,), _ = duos(matched([[row for s in range(10) for row in rows(x, seed=s)] for x in (a, b)]))
    one, ten = difference(once.asked, "scene"), difference(often.asked, "scene")
    assert one
    assert ten
    assert (one.prompts, one.pictures, ten.prompts, ten.pictures) == (40, 40, 40, 400)
    assert (one.low, one.high, one.p) == pytest.approx((ten.low, ten.high, ten.p))


def test_four_that_differ_are_too_few_though_the_interval_excludes_nothing() -> None:
    right = [1.0] * 60
    for wrong, told in ((4, False), (6, True)):
        (duo,), _ = duos(matched([rows([0.0] * wrong + right[wrong:]), rows(right)]))
        found = difference(duo.asked, "scene")
        assert found
        assert found.excludes
        assert found.told is told
    (duo,), _ = duos(matched([rows(right), rows(right)]))
    assert difference(duo.asked, "scene") == Difference(0, 0, 0, 1, 60, 60, 0)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Difference(0.05, 0.01, 0.09, 0.01, 99, 99, 9), "B is higher by 0.050 [0.010, 0.090]"),
        (Difference(-0.05, -0.09, -0.01, 0.01, 99, 99, 9), "A is higher by 0.050 [0.010, 0.090]"),
        (Difference(-3.2, -14, 7, 0.4, 99, 99, 9), "no difference can be told: -3 [-14, 7]"),
        (
            Difference(0.07, 0.02, 0.15, 0.125, 60, 60, 4),
            "no difference can be told: +0.07 [0.02, 0.15] excludes 0, but p is 0.12, of 4 prompts that differ",
        ),
    ],
)
def test_in_words(found: Difference, words: str) -> None:
    assert in_words(found, "A", "B") == words


def test_the_part_says_which_hold_when_many_are_looked_at() -> None:
    def system(gain: int) -> list[Row]:
        made = []
        for c in range(6):  # all prompts of c0, six of ten of c1, none of the others; c5 has too few
            flip = {0: 10, 1: 6}.get(c, 0) if gain else 0
            made += rows(
                [1.0] * flip + [0.0] * (10 - flip) if c < 5 else [0.0] * 3, category=f"c{c}", name=f"c{c}-"
            )
        return made

    part = differences_part(matched([system(0), system(1)]), ["<old>", "new"])
    assert "new is higher by 0.30 [" in part
    assert "<old>" not in part
    assert "&lt;old&gt;" in part
    assert "still hold: scene of c0. No longer: scene of c1." in part
    assert "+1 ✓✓<" in part
    assert "+0.60 ✓<" in part
    assert "with fewer than 6 prompts, of which nothing can be told: c5." in part
    assert "by chance alone" in part
    assert differences_part(matched([system(0)]), ["alone"]) == ""
    assert differences_part(matched([system(0)[:3], system(1)]), ["few", "new"]) == ""
