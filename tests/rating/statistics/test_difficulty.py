"""Difficulty, told and answered, is recovered; hard prompts weigh more."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from imagen.rating.answers import Answer
from imagen.rating.statistics.difficulty import item_response, told, weighted_preference, weighted_scores
from imagen.rating.statistics.preference import preference
from imagen.rating.statistics.results import results
from imagen.rating.statistics.simulate import World, choices, difficulties, scales
from imagen.rating.statistics.summary import summary
from imagen.rating.statistics.tables import pairs, scores

WORLD = World({"a": 0.9, "b": 0.1, "c": -0.4}, hardness=1.2, severity=0.8)


def test_planted_difficulties_are_recovered() -> None:
    random = np.random.default_rng(0)
    hard = difficulties(WORLD, 60, random)
    answers = scales(WORLD, 25, 60, random, hard=hard, ask_difficulty=True)
    found = item_response(scores(answers, "faithful"), random, 200)
    names = [f"prompt {i}" for i in range(60)]
    b = np.array([found.difficulties[name] for name in names])
    assert b == pytest.approx(hard - hard.mean(), abs=0.5)
    assert np.corrcoef(b, hard)[0, 1] > 0.98
    assert found.spread == pytest.approx(hard.std(), rel=0.15)
    said = told(scores(answers, "difficulty"))
    assert np.array([said[name] for name in names]) == pytest.approx(expit(hard), abs=0.15)
    gaps = {(one.a, one.b): one.difference for one in found.differences}
    assert gaps["a", "b"].value == pytest.approx(0.8, abs=3 * gaps["a", "b"].error)
    assert gaps["a", "c"].value == pytest.approx(1.3, abs=3 * gaps["a", "c"].error)
    assert found.weighted["a"].value < expit(0.9)


def test_weights_are_the_sum_by_hand() -> None:
    random = np.random.default_rng(1)
    table = pairs(choices(World({"a": 0.3, "b": 0.0}), 5, 6, random), "alignment")
    hard = {f"prompt {i}": i / 5 for i in range(6)}
    found = weighted_preference(table, "a", "b", hard, random, 200)
    weights = np.array([hard[text] for text in table.texts])
    assert found is not None
    assert found.value == pytest.approx(np.average(table.for_system("a"), weights=weights))
    assert found.prompts == 5
    even = weighted_preference(table, "a", "b", dict.fromkeys(hard, 0.4), np.random.default_rng(2), 200)
    plain = preference(table, "a", "b", np.random.default_rng(2), 200).share
    assert even is not None
    assert (even.low, even.value, even.high) == pytest.approx((plain.low, plain.value, plain.high))
    assert weighted_preference(table, "a", "b", {"prompt 1": 1.0}, random, 200) is None


def test_scores_weigh_by_difficulty_too() -> None:
    random = np.random.default_rng(3)
    table = scores(scales(WORLD, 4, 8, random), "faithful")
    hard = {f"prompt {i}": float(i) for i in range(8)}
    found = weighted_scores(table, hard, random, 200)
    own = table.of("b")
    assert found["b"].value == pytest.approx(
        np.average(own.values, weights=[hard[text] for text in own.texts])
    )


def test_an_ability_is_where_scores_are_as_expected() -> None:
    random = np.random.default_rng(4)
    table = scores(scales(WORLD, 6, 20, random), "faithful")
    found = item_response(table, random, 200)
    for name, ability in found.abilities.items():
        own = table.of(name)
        expected = expit(ability.value - np.array([found.difficulties[text] for text in own.texts]))
        assert expected.mean() == pytest.approx(own.values.mean() / 10, abs=1e-6)


def test_scores_of_prompts_alone_have_no_systems() -> None:
    one = Answer("r", "i", "p", "", "difficulty", "scale", 3.0, (), 1.0, 1.0, 0)
    with pytest.raises(ValueError, match="scores of prompts alone"):
        item_response(scores([one], "difficulty"), np.random.default_rng(0))


@pytest.mark.parametrize("value", [10.0, 7.0])
def test_scores_all_alike_tell_no_ability(value: float) -> None:
    """Real pictures that everybody calls right: their logit is not finite, and none is made up; nor an
    interval of no width where all are 7."""
    random = np.random.default_rng(5)
    answers = scales(World({"a": 0.5, "b": 0.0}, hardness=0.5), 5, 10, random)
    top = [replace(one, value=value) if one.shown == ("a",) else one for one in answers]
    found = item_response(scores(top, "faithful"), random, 200)
    assert found.alike == ("a",)
    assert set(found.abilities) == {"b"}
    assert found.differences == []
    assert found.weighted["a"].value == pytest.approx(value / 10)
    said = summary(results(top, resamples=100))
    assert "all scores alike" in said
    at = found.abilities["b"]
    assert at.low < at.value < at.high
