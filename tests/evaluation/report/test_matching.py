"""What stands side by side, and what is chosen of many."""

from collections import Counter

from imagen.evaluation.report.matching import Pair, chosen, extremes, in_words, lower_is_better, matched
from imagen.evaluation.report.read import Row


def row(prompt: str, seed: int | None, score: float | None = None, category: str = "A") -> Row:
    """A picture."""
    return Row(prompt, category, seed, f"{prompt}{seed}", {"clip": score})


def test_pictures_match_by_prompt_and_seed() -> None:
    match = matched([[row("x", 1), row("y", 1), row("z", 1)], [row("y", 1), row("x", 2), row("x", 1)]])
    assert match.pairs == [Pair("x", 1), Pair("y", 1), Pair("z", 1), Pair("x", 2)]
    assert match.shared == [Pair("x", 1), Pair("y", 1)]
    assert in_words(match, ["one", "two"]) == [
        "2 of 4 pictures (a prompt and a seed) are in all 2.",
        "Only in one: 1.",
        "Only in two: 1.",
    ]


def test_alike_ones_match_in_their_order() -> None:
    match = matched([[row("x", None), row("x", None)], [row("x", None)]])
    assert match.pairs == [Pair("x", None, 0), Pair("x", None, 1)]
    assert match.shared == [Pair("x", None, 0)]


def test_nothing_in_common_is_said() -> None:
    match = matched([[row("x", 1)], [row("y", 1)], []])
    assert in_words(match, ["one", "two", "three"]) == [
        "one and two have no prompt and seed in common: nothing stands side by side."
    ]
    assert in_words(matched([[row("x", 1)]]), ["one"]) == []


def test_extremes() -> None:
    rows = matched([[row(str(i), 0, (i * 7) % 11) for i in range(11)] + [row("none", 0, None)]]).of[0]
    found = extremes(rows, "clip", 3)
    scores = {name: [rows[pair].scores["clip"] for pair in pairs] for name, pairs in found.items()}
    assert scores == {"highest": [10, 9, 8], "lowest": [0, 1, 2], "median": [4, 5, 6]}
    assert extremes(rows, "other") == {"highest": [], "lowest": [], "median": []}


def test_of_many_the_extreme_ones_and_some_of_each_category() -> None:
    rows = [row(f"{i}", 0, float(i), "large" if i < 990 else f"small{i % 2}") for i in range(1000)]
    rows[500] = row("500", 0, 5000.0, "large")
    match = matched([rows, [row("700", 0, 1.0, "large")]])
    found = chosen(match, 60)
    assert len(found) == len(set(found)) == 59, "one of them is two pictures"
    counts = Counter(match.category(pair) for pair in found)
    assert counts["small0"] == counts["small1"] == 5, "a small category is there as a whole"
    assert {Pair("500", 0), Pair("0", 0), Pair("700", 0)} <= set(found)
    assert [match.category(pair) for pair in found] == sorted(map(match.category, found)), "together"
    assert set(chosen(match, 1001)) == set(match.pairs)


def test_what_is_better() -> None:
    assert all(map(lower_is_better, ("fid", "fid_infinity", "kid", "drift.last.color", "fd_dinov2")))
    assert not any(map(lower_is_better, ("clip", "recall", "shapes.scene", "drift.last.psnr")))
