"""What is drawn can be read: no words lie on others or outside, whatever a study is called and however much it asks."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagen.rating.statistics import figure
from imagen.rating.statistics.results import results
from imagen.rating.statistics.simulate import World, choices

pytest.importorskip("matplotlib")
QUESTIONS = (
    "alignment",
    "count",
    "colors",
    "spatial",
    "parts",
    "text",
    "realism",
    "creativity",
    "variety",
    "illustration",
)
NAMES = ("a system with a rather long name, of July", "b", "another system whose name is long")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures, instead of files."""
    found: list[Any] = []

    def kept(one: Any, _: Sequence[Path]) -> bool:
        found.append(one)
        return True

    monkeypatch.setattr(figure, "_written", kept)
    return found


def words(one: Any) -> list[tuple[str, Any]]:
    """Every text that shows, and where; slanted ones by their corner on the axis, where they begin to be near."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    canvas = FigureCanvasAgg(one)
    canvas.draw()
    shown = [text for text in one.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in shown]


def study(names: Sequence[str], questions: Sequence[str], raters: int = 6) -> dict[str, Any]:
    world = World(dict.fromkeys(names, 0.0), tie=-0.4)
    random = np.random.default_rng(0)
    answers = [
        one
        for q in questions
        for one in choices(world, raters, 8, random, q, ["Colors", "Gary Marcus et al. and so on"])
    ]
    return results(answers, resamples=100)


@pytest.mark.parametrize(
    ("names", "questions"), [(NAMES, QUESTIONS), (("a", "b"), QUESTIONS[:2]), (NAMES, QUESTIONS[:1])]
)
def test_no_words_lie_on_others(drawn: list[Any], names: Sequence[str], questions: Sequence[str]) -> None:
    preferences = study(names, questions)["preferences"]
    assert figure.draw_preferences(preferences, [])
    assert figure.draw_categories(preferences[0], [])
    for one in drawn:
        box = one.bbox
        found = words(one)
        for text, at in found:
            assert at.x0 >= box.x0 - 1, text
            assert at.x1 <= box.x1 + 1, text
        level = [(text, at) for text, at in found if text not in questions or len(questions) < 3]
        for (text, at), (other, by) in combinations(level, 2):
            assert not (at.shrunk(0.9, 0.9)).overlaps(by.shrunk(0.9, 0.9)), (text, other)


def test_one_rater_is_named_above_the_bars(drawn: list[Any]) -> None:
    assert figure.draw_preferences(study(("a", "b"), QUESTIONS[:2], raters=1)["preferences"], [])
    assert "of one rater alone" in drawn[0].get_suptitle()
