"""Difficulties: planted ones come back with honest errors, on one scale whatever is shared, finite whatever was answered."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagen.evaluation.suites.answers import means, read_answers
from imagen.evaluation.suites.difficulty import Answer, Scale, ability, fit, shift_to, weighted


def asked(
    difficulties: dict[str, float], abilities: dict[str, float], seed: int, times: int = 1
) -> list[Answer]:
    """Answers that follow the model."""
    random = np.random.default_rng(seed)
    return [
        (system, prompt, float(random.random() < 1 / (1 + np.exp(b - a))))
        for system, a in abilities.items()
        for prompt, b in difficulties.items()
        for _ in range(times)
    ]


def planted(
    prompts: int, systems: int, seed: int, spread: float = 1.3
) -> tuple[dict[str, float], dict[str, float]]:
    random = np.random.default_rng([7, seed])
    b = random.normal(0, spread, prompts)
    b -= b.mean()
    return (
        {f"p{i}": float(value) for i, value in enumerate(b)},
        {f"s{i}": float(value) for i, value in enumerate(random.normal(0.5, 1, systems))},
    )


def both(scale: Scale, truth: dict[str, float]) -> np.ndarray:
    """(3, prompts): estimated, planted, error."""
    return np.array([(scale.difficulties[p], truth[p], scale.errors[p]) for p in scale.difficulties]).T


@pytest.mark.parametrize(("systems", "closeness"), [(3, 0.55), (8, 0.75), (25, 0.9)])
def test_planted_difficulties_come_back_within_their_errors(systems: int, closeness: float) -> None:
    covered = []
    for seed in range(4):
        b, a = planted(250, systems, seed)
        scale = fit(asked(b, a, seed))
        found, true, error = both(scale, b)
        assert np.corrcoef(found, true)[0, 1] > closeness
        covered.append(np.abs(found - true) < 1.96 * error)
        far = [(scale.abilities[s] - a[s]) / scale.ability_errors[s] for s in a]
        assert np.abs(far).max() < 4
        assert 0.9 < scale.spread < 1.8
    assert 0.92 < np.mean(covered) < 0.98


def test_more_pictures_of_a_prompt_tell_more() -> None:
    b, a = planted(200, 4, 0)
    one, ten = fit(asked(b, a, 1)), fit(asked(b, a, 1, times=10))
    found, true, _ = both(ten, b)
    assert np.corrcoef(found, true)[0, 1] > 0.92
    assert np.mean(list(ten.errors.values())) < 0.5 * np.mean(list(one.errors.values()))


def test_zero_is_the_mean_and_only_differences_count() -> None:
    b, a = planted(100, 6, 2)
    scale = fit(asked(b, a, 3))
    assert np.mean(list(scale.difficulties.values())) == pytest.approx(0, abs=1e-9)
    shifted = fit(asked({p: v + 5 for p, v in b.items()}, {s: v + 5 for s, v in a.items()}, 3))
    assert shifted == scale, "the same answers"
    moved = scale.moved(2.0)
    scores = means(asked(b, a, 3), "s0")
    (before, error), (after, same) = ability(scores, scale.difficulties), ability(scores, moved.difficulties)
    assert after - before == pytest.approx(2.0, abs=1e-4)
    assert error == pytest.approx(same, abs=1e-6)
    assert weighted(scores, scale.difficulties) == pytest.approx(
        weighted(scores, moved.difficulties, zero=2.0)
    )


def test_the_order_of_answers_does_not_matter() -> None:
    b, a = planted(30, 3, 4)
    answers = asked(b, a, 5)
    one, other = fit(answers), fit(answers[::-1])
    for prompt, value in one.difficulties.items():
        assert other.difficulties[prompt] == pytest.approx(value, abs=1e-6)


def test_what_all_get_right_or_wrong_stays_finite() -> None:
    answers = [(s, p, v) for s in ("a", "b") for p, v in (("easy", 1.0), ("hard", 0.0), ("half", 0.5))]
    scale = fit(answers)
    assert -4 < scale.difficulties["easy"] < scale.difficulties["half"] < scale.difficulties["hard"] < 4
    assert all(np.isfinite(v) for v in [*scale.errors.values(), *scale.ability_errors.values()])
    for value in (0.0, 1.0):
        scale = fit([(s, p, value) for s in ("a", "b") for p in "xyz"])
        assert np.isfinite([*scale.difficulties.values(), *scale.abilities.values()]).all()
        assert np.isfinite(ability({p: value for p in "xyz"}, scale.difficulties)).all()
    lone = fit([("a", "x", 1.0), ("b", "y", 0.0)])
    assert np.isfinite([*lone.errors.values(), *lone.ability_errors.values()]).all(), "nothing in common"


def test_two_suites_that_share_prompts_are_put_on_one_scale() -> None:
    b, a = planted(300, 12, 5)
    names = list(b)
    # the second is harder as a whole, so its own zero lies elsewhere
    hard = sorted(names, key=lambda p: b[p])[100:]
    first = fit(asked({p: b[p] for p in names[:200]}, a, 6))
    second = fit(asked({p: b[p] for p in hard}, {f"t{i}": v for i, v in enumerate(a.values())}, 7))
    before = np.mean([second.difficulties[p] - b[p] for p in hard])
    shift, error, shared = shift_to(first.difficulties, second)
    assert shared == len(set(names[:200]) & set(hard)) > 50
    linked = second.moved(shift)
    zero = np.mean([first.difficulties[p] - b[p] for p in names[:200]])
    after = np.mean([linked.difficulties[p] - b[p] for p in hard])
    assert abs(before - zero) > 0.4
    assert abs(after - zero) < max(0.15, 3 * error)
    # the same system on either suite has the same ability, though not the same score
    on_first = means(asked({p: b[p] for p in names[:200]}, a, 8), "s0")
    on_second = means(asked({p: b[p] for p in hard}, a, 9), "s0")
    (x, x_error), (y, y_error) = (
        ability(on_first, first.difficulties),
        ability(on_second, linked.difficulties),
    )
    assert abs(x - y) < 3 * np.hypot(x_error, y_error)
    assert np.mean(list(on_first.values())) - np.mean(list(on_second.values())) > 0.05
    with pytest.raises(ValueError, match="1 prompts are in both suites: two are needed"):
        shift_to({names[0]: 0.0}, first)


def test_weights_favour_what_is_hard() -> None:
    b = {"easy": -2.0, "hard": 2.0}
    assert weighted({"easy": 1, "hard": 0}, b)[0] == pytest.approx(0.1192, abs=1e-4)
    assert weighted({"easy": 0, "hard": 1}, b)[0] == pytest.approx(0.8808, abs=1e-4)
    assert weighted({"easy": 1, "hard": 1, "unknown": 0}, b) == pytest.approx((1, 0))
    with pytest.raises(ValueError, match="no prompt has both a score and a difficulty"):
        weighted({"x": 1}, b)
    with pytest.raises(ValueError, match="difficulties finite"):
        weighted({"easy": 1}, {"easy": float("nan")})


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan"), float("inf"), "1", None])
def test_what_is_no_score(score: Any) -> None:
    with pytest.raises(ValueError, match="give a number from 0 to 1"):
        fit([("a", "x", score), ("b", "y", 1)])


def test_too_little_to_tell() -> None:
    for answers in ([], [("a", "x", 1.0), ("a", "y", 0.0)], [("a", "x", 1.0), ("b", "x", 0.0)]):
        with pytest.raises(ValueError, match="give more"):
            fit(answers)
    with pytest.raises(ValueError, match="spread=0: give a number"):
        fit([("a", "x", 1.0), ("b", "y", 0.0)], spread=0)


def evaluation(folder: Path, lines: list[Any], name: Any = None) -> Path:
    folder.mkdir(parents=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "per_prompt.jsonl").write_text("\n".join(texts) + "\n")
    if name is not None:
        (folder / "result.json").write_text(json.dumps({"name": name}))
    return folder


def line(prompt: str, **scores: Any) -> dict[str, Any]:
    return {"index": 0, "prompt": prompt, "category": "c", "seed": 0, "key": "00000000", "scores": scores}


def test_answers_of_evaluations(tmp_path: Path) -> None:
    a = evaluation(
        tmp_path / "a", [line("x", m=True), line("x", m=0.5), line("y", m=None), line("z", m=1)], "A"
    )
    b = evaluation(tmp_path / "b", [line("y", m=0)])
    found = read_answers([a, b], "m", ["x", "y"])
    assert found == [("A", "x", 1.0), ("A", "x", 0.5), ("b", "y", 0.0)]
    assert means(found, "A") == {"x": 0.75}
    same = evaluation(tmp_path / "c/b", [line("y", m=1)], "A")
    assert {system for system, _, _ in read_answers([a, same], "m", ["x", "y"])} == {str(a), str(same)}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["{"], "line 1 is no picture of an evaluation"),
        ([line("x", m=1), "[1]"], "line 2 is no picture of an evaluation"),
        ([{"prompt": "x"}], "line 1 is no picture of an evaluation"),
        ([{"prompt": 1, "scores": {}}], "line 1 is no picture of an evaluation"),
        ([line("x", m=31.5)], "line 1: m=31.5 is no score from 0 to 1"),
        ([line("x", m="1")], "line 1: m=1 is no score"),
        (['{"prompt": "x", "scores": {"m": NaN}}'], "line 1: m=nan is no score"),
        ([line("x", other=1)], "no picture has metric=m; it has other"),
        ([line("other", m=1)], "of 1 scored pictures none is of a prompt of this suite"),
        ([line("x", m=None)], "of 0 scored pictures none is"),
    ],
)
def test_bad_evaluations_are_told_in_one_line(tmp_path: Path, lines: list[Any], words: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*" + words):
        read_answers([evaluation(tmp_path / "a", lines)], "m", ["x"])


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such file; give the folder that imagen-evaluate wrote"):
        read_answers([tmp_path], "m", ["x"])
    folder = evaluation(tmp_path / "a", [line("x", m=1)])
    with pytest.raises(ValueError, match="is there twice"):
        read_answers([folder, folder], "m", ["x"])
