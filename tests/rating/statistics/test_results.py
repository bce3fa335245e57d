"""A whole study's results: plain JSON, the same of the same seed, and sentences that say what the numbers say."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagen.rating.answers import Answer, read_answers, write_answers
from imagen.rating.statistics.claims import dropped, percent
from imagen.rating.statistics.crossed import Estimate
from imagen.rating.statistics.figure import draw_categories, draw_preferences
from imagen.rating.statistics.results import results
from imagen.rating.statistics.simulate import World, choices, difficulties, scales
from imagen.rating.statistics.summary import summary

WORLD = World(
    {"$ours$": 1.2, "_theirs": 0.0}, side=0.3, tie=-0.4, taste=0.3, fit=0.3, lapses=0.03, careless=0.2
)
CATEGORIES = ["Colors", "Counting", "Text"]


def study(seed: int = 0) -> list[Answer]:
    random = np.random.default_rng(seed)
    hard = difficulties(World(hardness=1), 30, random)
    same = World({"$ours$": 0.0, "_theirs": 0.0})
    return [
        *choices(WORLD, 15, 30, random, "alignment", CATEGORIES, controls=8, repeats=5),
        *choices(same, 15, 30, random, "quality", CATEGORIES),
        *scales(World({"$ours$": 0.8, "_theirs": 0.0}), 15, 30, random, "faithful", hard, True),
    ]


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return results(study(), resamples=300, purposes={"illustration": {"alignment": 2, "quality": 1}})


def test_it_is_plain_json(found: dict[str, Any]) -> None:
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_seed_makes_the_same_results_through_a_file(found: dict[str, Any], tmp_path: Path) -> None:
    write_answers(tmp_path / "answers.jsonl", study())
    again = read_answers(tmp_path / "answers.jsonl")
    assert results(again, resamples=300, purposes={"illustration": {"alignment": 2, "quality": 1}}) == found
    other = results(again, seed=1, resamples=300)["preferences"][0]["share"]
    assert other["value"] == found["preferences"][0]["share"]["value"]
    assert other["low"] != found["preferences"][0]["share"]["low"]


def test_a_question_does_not_depend_on_the_others(found: dict[str, Any]) -> None:
    alone = results([one for one in study() if one.question == "alignment"], resamples=300)["preferences"][0]
    told = dict(found["preferences"][0])
    for one in (alone, told):  # for which the other questions are needed
        one.pop("by_difficulty")
    assert alone == told


def test_what_is_planted_is_said(found: dict[str, Any]) -> None:
    one, two = found["preferences"]
    assert one["share"]["low"] <= WORLD.share("$ours$", "_theirs") <= one["share"]["high"]
    assert set(one["categories"]) == set(CATEGORIES)
    assert two["share"]["low"] <= 0.5 <= two["share"]["high"]
    model = found["bradley_terry"]["alignment"]
    assert model["side"]["low"] > 0
    failed = found["controls"]["failed"]
    assert failed
    assert one["without_failed"]["share"]["raters"] == 15 - len(failed)
    assert one["without_failed"]["share"]["value"] > one["share"]["value"]
    assert found["purposes"]["illustration"]["best"] == "$ours$"
    assert found["raters"] == 15
    assert found["answers"] == 15 * 30 * 5
    assert found["consistency"]["alignment"]["items"] == 75
    assert found["scores"]["faithful"]["item_response"]["abilities"]["$ours$"]["value"] > 0
    assert set(found["difficulty"]["told"]) == {f"prompt {i}" for i in range(30)}


def test_claims_say_it_and_what_would_overturn_it(found: dict[str, Any]) -> None:
    one, two, three = found["claims"]
    assert one["text"].startswith("$ours$ is preferred to _theirs for alignment by ")
    assert "Holm" in one["text"]
    for words in ("without the", "another study as large", "failed the control questions: it holds"):
        assert words in one["overturned"]
    assert two["text"].startswith("No preference between ")
    assert not two["holds"]
    assert three["text"].startswith("$ours$ scores higher than _theirs for faithful")
    text = summary(found)
    assert all(claim["text"] in text for claim in found["claims"])
    for words in ("Krippendorff", "seen twice", "Strengths for alignment", "more raters", "$ours$ is best"):
        assert words in text


def test_the_loser_is_named_second() -> None:
    world = World({"a": -1.5, "b": 0.0})
    claim = results(choices(world, 10, 20, np.random.default_rng(0)), resamples=200)["claims"][0]
    assert claim["text"].startswith("b is preferred to a")


def test_figures_are_drawn(found: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    files = [tmp_path / f"one.{kind}" for kind in ("png", "svg")]
    assert draw_preferences(found["preferences"], files)
    assert draw_categories(found["preferences"][0], [tmp_path / "two.svg"])
    assert files[0].read_bytes().startswith(b"\x89PNG")
    drawn = (tmp_path / "two.svg").read_text()
    assert all(color.lower() in drawn for color in ("#0072B2", "#BBBBBB", "#E69F00"))
    assert not draw_preferences([], files)
    assert not draw_categories(found["preferences"][0] | {"categories": {}}, files)


@pytest.mark.parametrize("raters", [1, 2])
def test_the_smallest_study_has_results(raters: int) -> None:
    """One rater, or two, and two prompts: everything is said, or is told to be left out."""
    random = np.random.default_rng(0)
    answers = choices(WORLD, raters, 2, random) + scales(WORLD, raters, 2, random, ask_difficulty=True)
    found = results(answers, resamples=100)
    json.dumps(found, allow_nan=False)
    assert summary(found)
    assert not any(claim["holds"] for claim in found["claims"])


def test_a_single_answer_has_results() -> None:
    one = choices(WORLD, 1, 1, np.random.default_rng(0))
    found = results(one, resamples=100)
    assert found["preferences"] == []
    assert "left_out" in found["bradley_terry"]["alignment"]
    assert "None." in summary(found)


def test_no_answers_are_told() -> None:
    with pytest.raises(ValueError, match="none of which is part of a score"):
        results([replace(one, control="left") for one in choices(WORLD, 2, 2, np.random.default_rng(0))])
    with pytest.raises(ValueError, match="beauty is no question of choices"):
        results(choices(WORLD, 2, 2, np.random.default_rng(0)), resamples=100, purposes={"x": {"beauty": 1}})


def test_how_few_carry_a_preference_is_counted_by_leaving_them_out() -> None:
    random = np.random.default_rng(0)
    won, raters = random.choice([1.0, 0.5, 0.0], 400, p=[0.5, 0.3, 0.2]), np.repeat(np.arange(20), 20)
    share = Estimate(won.mean(), won.mean() - 0.05, won.mean() + 0.05, 0.025, 20, 400, 20, 20)
    few = dropped(won, raters, np.arange(400) % 20, share).raters
    assert few is not None
    order = np.argsort(-np.bincount(raters, won))  # all have 20 answers
    kept = [won[~np.isin(raters, order[:k])].mean() for k in (few - 1, few)]
    assert kept[1] <= 0.55 < kept[0]
    assert dropped(1 - won, raters, np.arange(400) % 20, Estimate(1 - share.value, 1 - share.high, 1 - share.low, 0.025, 20, 400, 20, 20)).raters == few  # fmt: skip


def test_a_caution_of_several_comparisons_is_said_once(found: dict[str, Any]) -> None:
    cautions = ["one, a against b: few: no", "two, a against b: few: no", "one, a against b: sided"]
    unchecked = {**found["controls"], "unchecked": ["r0009"]}
    words = summary({**found, "cautions": cautions, "controls": unchecked})
    assert "* one, a against b; two, a against b: few: no\n* one, a against b: sided\n" in words
    assert "as none was answered yet: r0009." in words


def test_percentages_are_short() -> None:
    assert percent(Estimate(0.583, 0.527, 0.634, 0.03, 20, 1, 1, 1)) == "58 % [53, 63]"
    assert percent(Estimate(0.5834, 0.5727, 0.5934, 0.03, 20, 1, 1, 1)) == "58.3 % [57.3, 59.3]"


def test_reading_answers_needs_no_statistics_and_results_no_server() -> None:
    code = "import sys, imagen.rating.{0}; print([m for m in {1} if m in sys.modules])"
    heavy = ["torch", "fastapi", "sqlalchemy", "matplotlib", "statsmodels", "hydra"]
    for module, unwanted in (("answers", [*heavy, "numpy", "scipy"]), ("statistics.results", heavy)):
        ran = subprocess.run(
            [sys.executable, "-c", code.format(module, unwanted)], capture_output=True, text=True, check=True
        )
        assert ran.stdout.strip() == "[]"
