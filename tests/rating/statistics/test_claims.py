"""Sentences of small and of odd studies say no more than their answers do."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from imagen.rating.answers import Answer
from imagen.rating.statistics.claims import _more, percent
from imagen.rating.statistics.crossed import Estimate
from imagen.rating.statistics.power import Parts, parts, power
from imagen.rating.statistics.preference import preference
from imagen.rating.statistics.results import results
from imagen.rating.statistics.simulate import World, choices, scales
from imagen.rating.statistics.summary import summary
from imagen.rating.statistics.tables import pairs

RANDOM = np.random.default_rng
CLEAR = World({"ours": 2.0, "theirs": 0.0}, tie=-1.0)


def alike(value: str, raters: int, prompts: int) -> list[Answer]:
    """Everybody says it of ours, on either side as often."""
    answers = choices(CLEAR, raters, prompts, RANDOM(0))
    side = {"wins": {"ours": "left", "theirs": "right"}, "same": {"ours": "same", "theirs": "same"}}[value]
    return [replace(one, value=side[one.shown[0]]) for one in answers]


def said(answers: list[Answer]) -> tuple[list[dict[str, Any]], str]:
    """The claims, and the whole summary."""
    found = results(answers, resamples=100)
    return found["claims"], summary(found)


def test_one_rater_says_nothing_of_others() -> None:
    [claim], text = said(choices(CLEAR, 1, 40, RANDOM(0), categories=["x", "y"]))
    assert not claim["holds"]
    assert "This is of one rater alone and says nothing of others." in claim["text"]
    assert "over raters and prompts" not in text
    assert "| yes |" not in text


def test_equality_is_not_said_of_a_study_that_could_not_see_a_difference() -> None:
    [claim], text = said(alike("same", 4, 5))
    assert "so alike" not in claim["overturned"]
    assert "+- 0.0" not in text
    even = World({"ours": 0.0, "theirs": 0.0}, tie=1.0)
    [claim], _ = said(choices(even, 40, 60, RANDOM(3)))
    assert "so alike that hardly any study" in claim["overturned"]


def test_all_for_one_of_too_few_is_no_preference_yet() -> None:
    [claim], text = said(alike("wins", 3, 4))
    assert not claim["holds"]
    assert "0 more raters" not in text
    assert "within" not in text
    [claim], _ = said(alike("wins", 8, 10))
    assert claim["holds"]


def test_a_second_rater_with_one_answer_foretells_nothing() -> None:
    answers = choices(CLEAR, 2, 40, RANDOM(0))
    claims, text = said([one for one in answers if one.rater == "r0000" or one.order == 0])
    assert "more rater " not in text
    assert not claims[0]["holds"]


def test_half_widths_of_shares_end_at_50_points() -> None:
    _, text = said(choices(World({"ours": 0.8, "theirs": 0.0}, tie=-0.5), 2, 3, RANDOM(1)))
    assert "the interval is +- 50.0;" in text


def test_a_narrow_interval_of_two_raters_is_not_called_narrow_enough() -> None:
    """Where more is asked for although the interval is as narrow as wanted, it is said why."""
    seen = 0
    for seed in range(20):
        _, text = said(choices(World({"ours": 3.0, "theirs": 0.0}, tie=-0.5), 2, 200, RANDOM(seed)))
        half = float(text.split("the interval is +- ")[1].split(",")[0].split(";")[0])
        asked = "would take" in text
        assert ("of so few that forecasts reckon with" in text) == (asked and half <= 3), text
        seen += asked and half <= 3
    assert seen


def test_what_is_asked_for_shows_it_in_four_studies_of_five() -> None:
    """Where the forecast knows the spread, and the truth is what was found."""
    world = World({"ours": 0.5, "theirs": 0.0}, tie=-0.4, taste=0.4, fit=0.4)
    large = []
    for seed in range(4):
        table = pairs(choices(world, 60, 150, RANDOM(seed)), "alignment")
        large.append(parts(table.for_system("ours"), table.raters, table.prompts))
    by_rater, by_prompt, rest = np.mean([(one.rater, one.prompt, one.rest) for one in large], 0).tolist()
    known = Parts(by_rater, by_prompt, rest, 8, 20, 1.0)
    gap = world.share("ours", "theirs") - 0.5
    share = Estimate(0.5 + gap, 0.4, 0.5 + gap + 0.1, 0.05, 10, 160, 8, 20)
    need = int(_more(known, share).split("is the truth, ")[1].split()[0])
    seen = 0
    for seed in range(100):
        random = RANDOM(seed)
        table = pairs(choices(world, 8 + need, 20, random), "alignment")
        seen += preference(table, "ours", "theirs", random, 100).share.low > 0.5
    assert 0.68 <= seen / 100 <= 0.9
    even = power(known, gap).raters
    assert even is not None
    assert even < need


def test_claims_tell_what_is_left_when_all_raters_failed() -> None:
    answers = choices(CLEAR, 6, 30, RANDOM(0)) + scales(CLEAR, 6, 10, RANDOM(0))
    asked = [
        replace(answers[0], rater=rater, item="c", value="left", control="right", order=99)
        for rater in {one.rater for one in answers}
    ]
    claims, _ = said(answers + asked)
    for claim in claims:
        assert claim["holds"]
        assert (
            "6 raters failed the control questions: without them too few answers are left"
            in claim["overturned"]
        )
    claims, _ = said(answers + asked[:1])
    for claim in claims:
        assert "1 rater failed the control questions: it holds without them, " in claim["overturned"]


def test_many_claims_are_corrected_together() -> None:
    """Of 20 questions, between two systems that are alike, those shown by chance are told to be so."""
    none = World({"ours": 0.0, "theirs": 0.0}, taste=0.3, fit=0.3)
    answers = [one for q in range(20) for one in choices(none, 10, 20, RANDOM(200 + q), f"q{q}")]
    claims, text = said(answers)
    least = min(claim["p"] for claim in claims)
    assert min(claim["adjusted"] for claim in claims) == pytest.approx(min(1.0, 20 * least))
    held = [claim for claim in claims if claim["holds"]]
    assert held
    assert f"Shown: {len(held)}; with Holm's correction for all 20: 0." in text
    assert text.count("takes it away") == len(held)


def test_a_bound_beside_50_is_not_rounded_onto_it() -> None:
    assert percent(Estimate(0.583, 0.502, 0.664, 0.04, 20, 1, 1, 1)) == "58.3 % [50.2, 66.4]"
