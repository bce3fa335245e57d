"""Shares and means are those of counting by hand, whichever side and order a system was in."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from imagen.rating.answers import Answer
from imagen.rating.statistics.preference import (
    by_category,
    compared,
    difference_influence,
    differences,
    for_purpose,
    mean_scores,
    preference,
)
from imagen.rating.statistics.tables import pairs, questions, scored, scores

RANDOM = np.random.default_rng


def choice(rater: int, prompt: int, value: str, shown: tuple[str, ...] = ("a", "b"), **more: Any) -> Answer:
    one = Answer(
        f"r{rater}", f"i{prompt}{'-'.join(sorted(shown))}", f"p{prompt}", f"c{prompt % 2}", "alignment", "choice", value, shown, 1.0, 1.0, 0,
    )  # fmt: skip
    return replace(one, **more)


ANSWERS = [
    choice(0, 0, "left"), choice(0, 1, "right", ("b", "a")), choice(0, 2, "same"), choice(0, 3, "right"),
    choice(1, 0, "left"), choice(1, 1, "left", ("b", "a")), choice(1, 2, "left"), choice(1, 3, "left", ("a", "c")),
]  # fmt: skip


def test_shares_are_counted() -> None:
    found = preference(pairs(ANSWERS, "alignment"), "a", "b", RANDOM(0))
    assert found.wins.value == pytest.approx(4 / 7)
    assert found.same.value == pytest.approx(1 / 7)
    assert found.losses.value == pytest.approx(2 / 7)
    assert found.share.value == pytest.approx(4.5 / 7)
    assert found.decided is not None
    assert found.decided.value == pytest.approx(4 / 6)
    assert (found.share.answers, found.share.raters, found.share.prompts) == (7, 2, 4)


def test_the_other_system_has_the_rest() -> None:
    table = pairs(ANSWERS, "alignment")
    one, two = preference(table, "a", "b", RANDOM(0)), preference(table, "b", "a", RANDOM(0))
    assert one.share.value + two.share.value == pytest.approx(1)
    assert (two.wins.value, two.losses.value) == (one.losses.value, one.wins.value)
    assert two.share.error == pytest.approx(one.share.error)


def test_controls_and_repeats_are_no_part_of_a_score() -> None:
    more = [
        choice(0, 0, "right", repeat=1),
        choice(0, 9, "right", control="left"),
        choice(1, 9, "same", ("b", "b")),
    ]
    assert scored([*ANSWERS, *more[:2]]) == ANSWERS
    assert len(pairs(scored(ANSWERS + more), "alignment")) == len(ANSWERS)


def test_categories_are_those_prompts_alone() -> None:
    table = pairs(ANSWERS, "alignment")
    found = by_category(table, "a", "b", RANDOM(0))
    assert found["c0"].share.value == pytest.approx(3.5 / 4)
    assert found["c1"].share.value == pytest.approx(1 / 3)
    assert compared(table) == [("a", "b")]


def test_a_purpose_weighs_questions() -> None:
    other = [replace(one, question="quality", value="right") for one in ANSWERS[:3]]
    tables = {name: pairs(ANSWERS + other, name) for name in ("alignment", "quality")}
    found = for_purpose(tables, {"alignment": 3, "quality": 1}, "a", "b", RANDOM(0))
    assert found.value == pytest.approx(0.75 * 4.5 / 7 + 0.25 * 1 / 3)
    alone = for_purpose(tables, {"alignment": 2}, "a", "b", RANDOM(0))
    assert alone == preference(tables["alignment"], "a", "b", RANDOM(0)).share
    twice = for_purpose(
        tables | {"again": tables["alignment"]}, {"alignment": 1, "again": 1}, "a", "b", RANDOM(0)
    )
    assert twice.error == pytest.approx(alone.error, rel=0.1)
    for wrong in ({"alignment": -1}, {"alignment": 0}, {"beauty": 1}):
        with pytest.raises(ValueError, match="weights"):
            for_purpose(tables, wrong, "a", "b", RANDOM(0))


def score(rater: int, prompt: int, system: str, value: float) -> Answer:
    one = choice(rater, prompt, "left", question="realism", kind="scale", item=f"{prompt}{system}")
    return replace(one, value=value, shown=(system,))


def test_means_by_system_and_their_difference() -> None:
    values = RANDOM(1).uniform(0, 10, (3, 5, 2))
    answers = [score(r, p, "ab"[s], float(v)) for (r, p, s), v in np.ndenumerate(values)]
    table = scores(answers, "realism")
    found = mean_scores(table, RANDOM(0))
    assert [one.value for one in found.values()] == pytest.approx(values.mean((0, 1)))
    [apart] = differences(table, RANDOM(0))
    assert apart.difference.value == pytest.approx(values[..., 0].mean() - values[..., 1].mean())


def test_what_is_hard_for_both_systems_cancels_in_their_difference() -> None:
    random = RANDOM(2)
    hard = random.normal(0, 2, 40)
    answers = [
        score(r, p, "ab"[s], float(np.clip(5 + hard[p] + 0.3 * s + random.normal(0, 0.2), 0, 10)))
        for r in range(10) for p in range(40) for s in range(2)
    ]  # fmt: skip
    table = scores(answers, "realism")
    found, [apart] = mean_scores(table, RANDOM(0)), differences(table, RANDOM(0))
    assert apart.difference.error < 0.2 * found["a"].error


def test_a_difference_to_first_order() -> None:
    random = RANDOM(3)
    values, first = random.normal(size=30), random.random(30) < 0.4
    value, influence = difference_influence(values, first)
    step = 1e-6
    weights = np.ones(30)
    weights[7] += step
    moved = np.average(values[first], weights=weights[first]) - np.average(
        values[~first], weights=weights[~first]
    )
    assert (moved - value[0]) / step == pytest.approx(influence[7, 0], rel=1e-4)


def test_the_best_of_k_is_a_share_of_choices() -> None:
    base = choice(0, 0, "left", question="best", kind="best", shown=("a", "b", "a", "c"))
    answers = [
        replace(base, rater=f"r{i}", prompt=f"p{i % 2}", value=value) for i, value in enumerate([0, 2, 1, 3])
    ]
    found = mean_scores(scores(answers, "best"), RANDOM(0))
    assert {name: one.value for name, one in found.items()} == {"a": 0.5, "b": 0.25, "c": 0.25}


def test_a_question_is_of_one_kind() -> None:
    with pytest.raises(ValueError, match="'alignment' is a choice and a scale"):
        questions([ANSWERS[0], replace(ANSWERS[0], kind="scale", value=3.0, shown=("a",))])
