"""Intervals that are of too few to be believed are said to be."""

import numpy as np
import pytest

from imagen.rating.answers import Answer
from imagen.rating.statistics.cautions import COVERED, FEW, cautions, effective
from imagen.rating.statistics.preference import preference
from imagen.rating.statistics.results import results
from imagen.rating.statistics.simulate import World, choices, scales
from imagen.rating.statistics.summary import summary
from imagen.rating.statistics.tables import pairs, scores

WORLD = World({"ours": 0.6, "theirs": 0.0}, side=0.4, tie=-0.4, taste=1.0, fit=0.5, lapses=0.05)
RANDOM = np.random.default_rng


def warned(answers: list[Answer]) -> list[str]:
    return cautions({"alignment": pairs(answers, "alignment")}, {})


@pytest.mark.parametrize("raters", [1, 2])
def test_intervals_of_so_few_cover_less_than_they_say(raters: int) -> None:
    """And not less than the caution says: the worst that was found, 60 prompts and tastes that differ widely."""
    truth, covered = WORLD.share("ours", "theirs"), 0
    for seed in range(200):
        random = RANDOM(seed)
        table = pairs(choices(WORLD, raters, 60, random), "alignment")
        share = preference(table, "ours", "theirs", random, 100).share
        covered += share.low <= truth <= share.high
    assert COVERED[raters] - 6 <= covered / 2 < 93


def test_few_are_named_and_enough_are_not() -> None:
    assert warned(choices(WORLD, 12, 20, RANDOM(0))) == []
    [one] = warned(choices(WORLD, 2, 20, RANDOM(0)))
    assert one.startswith("alignment, ours against theirs: 2 raters are too few")
    assert "as few as 87 %" in one
    [one] = warned(choices(WORLD, 12, 3, RANDOM(0)))
    assert "3 prompts are too few" in one
    [one] = warned(choices(WORLD, 1, 20, RANDOM(0)))
    assert "one rater alone" in one
    answers = scales(WORLD, 2, 20, RANDOM(0))
    assert len(cautions({}, {"faithful": scores(answers, "faithful")})) == 1
    text = summary(results(answers + choices(WORLD, 2, 20, RANDOM(0)), resamples=100))
    assert text.index("too few") < text.index("## Claims")


def test_a_rater_with_one_answer_is_not_a_second_rater() -> None:
    answers = choices(WORLD, 6, 20, RANDOM(0))
    [one] = warned([a for a in answers if a.rater == "r0000" or a.prompt == "prompt 0"])
    assert "6 raters, who are so uneven that they tell as much as 1.5, are too few" in one
    assert effective(np.repeat(np.arange(FEW), 7)) == pytest.approx(FEW)


def test_categories_of_a_few_are_named() -> None:
    answers = choices(WORLD, 12, 20, RANDOM(0), categories=["x", "y"])
    kept = [one for one in answers if one.category == "x" or one.rater < "r0002"]
    [one] = warned(kept)
    assert "1 of 2 categories have fewer than 5 raters or prompts (y)" in one


def test_a_system_on_one_side_is_named() -> None:
    answers = choices(WORLD, 12, 20, RANDOM(0))
    [one] = warned([a for a in answers if a.shown[0] == "ours" or a.order % 4 == 0])
    assert "ours stood on the left in 8" in one
