"""Filters: what is asked of a pair, and that what is left out is told."""

from dataclasses import replace
from typing import Any

import pytest

from imagen.data.prepare.filters import Filters
from imagen.data.sources.source import Pair, Unwanted

PAIR = Pair(b"", "png", (200, 100), ("a red circle", "!!"), {"aesthetic": "5.5", "nsfw": 0.1, "ok": True})


def test_by_default_anything_goes() -> None:
    assert Filters()(PAIR) is PAIR
    assert Filters().identity == {}


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        ({"min_side": 101}, "too small"),
        ({"max_aspect": 1.9}, "too long a side"),
        ({"columns": {"aesthetic": [6, None]}}, "column aesthetic"),
        ({"columns": {"nsfw": [None, 0.05]}}, "column nsfw"),
        ({"columns": {"absent": [None, 1]}}, "column absent"),
        ({"columns": {"ok": [0, 1]}}, "column ok"),
        ({"caption_length": [13, None]}, "caption"),
        ({"caption_length": [3, 11]}, "caption"),
    ],
)
def test_what_is_left_out_and_why(limits: dict[str, Any], kind: str) -> None:
    with pytest.raises(Unwanted) as caught:
        Filters(**limits)(PAIR)
    assert caught.value.kind == kind


def test_limits_are_inclusive() -> None:
    columns = {"aesthetic": [5.5, 5.5], "nsfw": [0.1, None]}
    assert Filters(min_side=100, max_aspect=2, columns=columns)(PAIR) == PAIR


def test_unwanted_captions_are_dropped_alone() -> None:
    assert Filters(letters=0.5)(PAIR).captions == ("a red circle",)
    assert Filters(caption_length=[None, 2])(PAIR).captions == ("!!",)


@pytest.mark.parametrize(
    "caption", ["赤い丸", "красный круг", "लाल वृत्त", "दायरा १२", "دائرة حمراء", "2 Kreise"]
)
def test_letters_are_those_of_any_script(caption: str) -> None:
    assert Filters(letters=1.0)(replace(PAIR, captions=(caption,))).captions == (caption,)


@pytest.mark.parametrize("caption", ["!!!! ----", "<<>>", "😀😀 a"])
def test_signs_are_no_letters(caption: str) -> None:
    with pytest.raises(Unwanted):
        Filters(letters=0.5)(replace(PAIR, captions=(caption,)))


@pytest.mark.parametrize(
    ("limits", "option"),
    [
        ({"min_side": -1}, "min_side"),
        ({"max_aspect": 0.5}, "max_aspect"),
        ({"letters": 2}, "letters"),
        ({"caption_length": [5]}, "caption_length"),
        ({"caption_length": [5, 4]}, "caption_length"),
        ({"columns": {"a": [2, 1]}}, "columns.a"),
    ],
)
def test_limits_that_mean_nothing_are_refused(limits: dict[str, Any], option: str) -> None:
    with pytest.raises(ValueError, match=f"filters.{option}="):
        Filters(**limits)
