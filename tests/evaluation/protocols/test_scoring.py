"""Scores of a block: kept as soon as they are there, and asked for once."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from imagen.evaluation.protocols.blocks import Made
from imagen.evaluation.protocols.scoring import ShapesJudge, scored, scores_of
from imagen.evaluation.protocols.wanted import Wanted, wanted_of

MADE = Made(wanted_of([("a", "", None), ("b", "", None)], 0), np.zeros((2, 4, 4, 3), np.uint8), {})


class Counted:
    """Scores a picture by its place."""

    def __init__(self, name: str, fails: bool = False, version: int = 1) -> None:
        self.name, self.fails, self.asked = name, fails, 0
        self.key = {"judge": name, "version": version, "sizes": (1, 2)}

    def check(self, rows: Sequence[Wanted]) -> None: ...

    def __call__(self, made: Made) -> list[dict[str, float | None]]:
        self.asked += 1
        if self.fails:
            raise RuntimeError("killed")
        return [{"": float(i), "part.x": None} for i in range(len(made.rows))]


def test_a_scorer_that_has_answered_is_not_asked_again(tmp_path: Path) -> None:
    path, first = tmp_path / "0.json", Counted("first")
    with pytest.raises(RuntimeError):
        scores_of(path, MADE, [first, Counted("second", fails=True)])
    again, second = Counted("first"), Counted("second")
    assert not scored(path, [again, second])
    found = scores_of(path, MADE, [again, second])
    assert (first.asked, again.asked, second.asked) == (1, 0, 1)
    assert scored(path, [again, second])
    assert list(found["00000001"].items()) == [
        ("first", 1), ("first.part.x", None), ("second", 1), ("second.part.x", None)
    ]  # fmt: skip
    assert scores_of(path, MADE, [second]) == {
        key: {name: value for name, value in scores.items() if name.startswith("second")}
        for key, scores in found.items()
    }
    assert scores_of(path, MADE, [again, second]) == found, "another choice forgets nothing"
    assert (again.asked, second.asked) == (0, 1)


def test_another_scorer_of_that_name_is_asked(tmp_path: Path) -> None:
    path, newer = tmp_path / "0.json", Counted("judge", version=2)
    scores_of(path, MADE, [Counted("judge")])
    assert not scored(path, [newer])
    scores_of(path, MADE, [newer])
    assert newer.asked == 1
    assert json.loads(path.read_text())["of"]["judge"]["version"] == 2


def test_a_block_without_scorers_is_said_to_be_done(tmp_path: Path) -> None:
    path = tmp_path / "0.json"
    assert not scored(path, [])
    assert scores_of(path, MADE, []) == {"00000000": {}, "00000001": {}}
    assert scored(path, [])


def test_the_drawn_worlds_judge_says_before_what_it_does_not_know() -> None:
    ShapesJudge().check(wanted_of([("a red circle", "", None)], 0))
    with pytest.raises(ValueError, match=r"metrics=\[shapes\]: the judge knows only .* not 'a'"):
        ShapesJudge().check(MADE.rows)
