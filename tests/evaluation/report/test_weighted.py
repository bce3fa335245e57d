"""Scores weighted by difficulty, and abilities, in the report."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from imagen.evaluation.report.matching import matched
from imagen.evaluation.report.read import Row
from imagen.evaluation.report.weighted import read_difficulties, weigh, weighted_part
from imagen.evaluation.suites.suite import Card, Prompt, Suite, write_suite

HARD = {f"p{i}": (i - 50) / 15 for i in range(100)}


def rows(ability: float, seed: int = 0, also: float = 0.5) -> list[Row]:
    """The answers of a system to the prompts of HARD; `also` scores that are no shares of right answers."""
    random = np.random.default_rng(seed)
    right = [float(random.random() < 1 / (1 + math.exp(b - ability))) for b in HARD.values()]
    return [Row(p, "", 1, p, {"scene": x, "color": 1.0, "clip": also}) for p, x in zip(HARD, right)]


def written(folder: Path, told: str = "Rasch model, 3 systems, metric scene; logits") -> Path:
    """A suite of those prompts and one more."""
    prompts = [*(Prompt(p, difficulty=b) for p, b in HARD.items()), Prompt("unknown")]
    write_suite(Suite(tuple(prompts), Card("hard ones", "1.1", difficulty=told)), folder / "hard.jsonl")
    return folder / "hard.jsonl"


def test_what_is_weighed() -> None:
    (of,) = matched([rows(1.0)]).of
    found = weigh(of, "scene", HARD)
    assert found
    right = np.array([row.scores["scene"] for row in of.values()], float)
    weights = 1 / (1 + np.exp(-np.array(list(HARD.values()))))
    assert found.plain.value == pytest.approx(right.mean())
    assert found.weighted.value == pytest.approx((right * weights).sum() / weights.sum())
    assert found.weighted.value < found.plain.value, "the hard ones are those that it fails"
    for metric in found:
        assert metric.low < metric.value < metric.high
        assert metric.n == 100
    assert found.ability.low < 1.0 < found.ability.high
    assert weigh(of, "none", HARD) is None
    assert weigh(of, "scene", {"else": 0.0}) is None
    everything = weigh(of, "color", {**HARD, "p0": -1e6})
    assert everything
    assert everything.weighted.value == 1
    assert 0.9 < everything.weighted.low < 1, "all right is not sure"


def test_the_part(tmp_path: Path) -> None:
    found = read_difficulties(written(tmp_path))
    assert (found.name, found.score, len(found.of)) == ("hard ones 1.1", "scene", 100)
    match = matched([rows(2.0), [*rows(-1.0, 1), Row("new", "", 1, "new", {"scene": 1.0})]])
    part, problems = weighted_part(match, ["able", "<less>"], found)
    assert problems == ["difficulty: 1 of 101 prompts have none in hard ones 1.1"]
    assert part.index("<summary>scene") < part.index("<summary>color")
    assert "clip" not in part, "no share of right answers"
    assert part.count("<bdi>ability</bdi>") == 1, "only of what the difficulties are of"
    assert "&lt;less&gt;" in part
    assert "<less>" not in part
    plain = read_difficulties(written(tmp_path / "b", told=""))
    assert weighted_part(match, ["a", "b"], plain)[0].count("<bdi>ability</bdi>") == 2


def test_what_cannot_weigh(tmp_path: Path) -> None:
    for name, text, line in (
        ("gone.csv", None, "difficulty={}: there is no such file"),
        ("plain.csv", "prompt\ncat\n", "difficulty={}: none of its 1 prompts has a difficulty; give what"),
        ("odd.jsonl", json.dumps({"prompt": "x", "difficulty": "hard"}), "difficulty={}: line 1: "),
    ):
        path = tmp_path / name
        if text:
            path.write_text(text)
        with pytest.raises(ValueError, match="difficulty=") as told:
            read_difficulties(path)
        assert str(told.value).startswith(line.format(path))
    found = read_difficulties(written(tmp_path))
    with pytest.raises(ValueError, match="has none of the 1 prompts of the evaluations; give the suite"):
        weighted_part(matched([[Row("else", "", 1, "k", {"scene": 1.0})]]), ["a"], found)
    part, problems = weighted_part(matched([[Row("p1", "", 1, "k", {"clip": 0.3})]]), ["a"], found)
    assert (part, len(problems)) == ("", 1)
