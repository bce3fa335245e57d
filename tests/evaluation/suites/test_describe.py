"""What is said of a suite: precision against simulation, near-duplicates against brute force, words, and no escapes."""

import json
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen.evaluation.suites import words
from imagen.evaluation.suites.compose import compose
from imagen.evaluation.suites.describe import describe, report
from imagen.evaluation.suites.readers import captions_of
from imagen.evaluation.suites.sizes import apart, paired, wilson
from imagen.evaluation.suites.suite import Card, Change, Prompt, Suite, read_suite


def suite(*prompts: str) -> Suite:
    return Suite(tuple(Prompt(text) for text in prompts), Card("mine"))


def test_the_interval_is_wilson_s() -> None:
    low, high = wilson(0.5, 200)
    assert (round(low, 4), round(high, 4)) == (0.4314, 0.5686)
    low, high = wilson(0.9, 10)
    assert (round(low, 4), round(high, 4)) == (0.5958, 0.9821)
    assert wilson(0, 10)[0] == 0
    assert wilson(0, 10)[1] > 0.2
    with pytest.raises(ValueError, match="give a share"):
        wilson(0.5, 0)


def test_the_interval_holds_what_it_promises() -> None:
    random = np.random.default_rng(0)
    right = random.binomial(50, 0.5, 4000)
    held = np.mean([low <= 0.5 <= high for low, high in (wilson(k / 50, 50) for k in right)])
    assert 0.92 < held < 0.98


@pytest.mark.parametrize("n", [40, 200])
def test_a_difference_that_is_told_is_found_four_times_in_five(n: int) -> None:
    difference, random = apart(n) or 0, np.random.default_rng(n)
    a, b = (random.binomial(n, 0.5 + sign * difference / 2, 20_000) / n for sign in (1, -1))
    pooled = (a + b) / 2
    found = np.abs(a - b) > 1.96 * np.sqrt(2 * pooled * (1 - pooled) / n)
    assert 0.76 < found.mean() < 0.86
    difference = paired(n) or 0
    wins, losses = (0.25 + difference) / 2, (0.25 - difference) / 2
    counts = random.multinomial(n, [wins, losses, 0.75], 20_000)
    found = np.abs(counts[:, 0] - counts[:, 1]) > 1.96 * np.sqrt(counts[:, 0] + counts[:, 1])
    assert 0.74 < found.mean() < 0.88


def test_few_prompts_tell_nothing() -> None:
    assert apart(1) is None
    assert paired(10) is None
    assert (apart(100) or 0) > (apart(1000) or 0) > (paired(1000) or 0) > 0


SAID = st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=7).map(" ".join)


@given(st.lists(SAID, max_size=15), st.sampled_from([0.3, 0.5, 2 / 3, 0.8, 1.0]))
def test_near_duplicates_are_those_of_brute_force(texts: list[str], threshold: float) -> None:
    sets = [set(text.split()) for text in texts]
    wanted = {
        (i, j)
        for (i, a), (j, b) in combinations(enumerate(sets), 2)
        if len(a & b) / len(a | b) >= threshold - 1e-12
    }
    found, complete = words.near_duplicates(texts, threshold)
    assert {(pair.first, pair.second) for pair in found} == wanted
    assert complete


def test_case_order_and_punctuation_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    said = describe(suite("A red car, a blue dog!", "a BLUE car a red dog", "!!", "??", "a man’s hat"))
    near = said["near_duplicates"]
    assert (near["pairs"], near["same_words"], near["prompts"]) == (1, 1, 2)
    monkeypatch.setattr(words, "COMPARISONS", 3)
    many = describe(suite(*(f"a cat {i}" for i in range(20))), near=0.4)
    assert not many["near_duplicates"]["complete"]
    assert "near-duplicates at least" in report(many)


def test_the_numbers_of_a_small_suite() -> None:
    prompts = (
        Prompt("a man and a dog", "x", 1.0),
        Prompt("the dog sees a zebra", "x", truth={}),
        Prompt("dogs", "y"),
        Prompt("a woman’s umbrella", "x"),
    )
    said = describe(Suite(prompts, Card("n")), ["a dog and a cat", "a cat"])
    assert said["count"] == 4
    assert said["categories"]["x"]["count"] == 3
    assert said["evenness"] == pytest.approx(0.8113, abs=1e-4)
    assert said["length"]["words"] == {"min": 1, "median": 4, "mean": 3.5, "p95": 5, "max": 5}
    assert said["people"] == {"people": 0.5, "none": 0.5}
    assert said["truth"] == 0.25
    assert said["difficulty"]["known"] == 1
    cover = said["coverage"]
    assert cover["words"] == pytest.approx(3 / 10)
    assert cover["running"] == pytest.approx(7 / 14)
    assert cover["captions"] == pytest.approx(1 / 3)
    assert cover["missing"] == ["cat"]
    assert cover["unknown"][:2] == ["dogs", "man"]
    json.dumps(said, allow_nan=False)


def test_drawbench_as_it_is(shared: Path) -> None:
    said = describe(read_suite(shared / "prompts/drawbench.csv"), captions_of(shared / "photos/coco_cc.tsv"))
    assert (said["count"], len(said["categories"]), said["vocabulary"]) == (200, 11, 845)
    assert said["precision"]["interval"] == pytest.approx([0.4314, 0.5686], abs=1e-4)
    assert said["near_duplicates"]["same_words"] == 6
    assert "Reddit" in report(said)


def test_nothing_from_outside_is_obeyed_by_a_terminal() -> None:
    nasty = "a cat\u202e\u2028\u200b\ufeff\nnext line"
    log = (Change("1.1", "1.0", "x\u202e\n"),)
    found = describe(
        Suite((Prompt(nasty, "c\u202e"), Prompt(nasty + "!", "c")), Card("n\u202e", "1.1", changelog=log)),
        [nasty],
    )
    told = report(found)
    assert re.fullmatch(r"[ -~\n]*", told), "plain text alone"
    assert "version 1.1: no prompt changed" in told


def test_a_large_suite_takes_seconds() -> None:
    assert describe(compose("open", 3000, 0))["count"] == 3000
    with pytest.raises(ValueError, match="near=0: give a share"):
        describe(suite("a"), near=0)
