"""Every problem is told of a report that has it, and none of a good folder's."""

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagen.data.inspect.inspection import inspect
from imagen.data.inspect.problems import LEVELS, NOTE, Problem, percent, problems, summary
from imagen.data.prepare.embedding import embed
from imagen.data.prepare.preparing import prepare
from imagen.data.sources.shapes import Shapes
from imagen.text import HashedWords

Report = dict[str, Any]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A report of a folder that nothing is wrong with."""
    folder = tmp_path_factory.mktemp("good") / "F"
    prepare(Shapes(count=1000, resolution=16, held_out=20), folder, shard_size=500)
    embed(folder, [HashedWords(8, 64)])
    return inspect(folder, resolution=16, samples=200).report


def test_a_good_folder_has_none(good: Report) -> None:
    assert [problem.what for problem in problems(good) if problem.level != NOTE] == []


def bad(pairs: int) -> Report:
    return {"unreadable image": {"pairs": pairs, "examples": ["a.tar x: not a picture"]}}


def train(report: Report) -> Report:
    return report["splits"]["train"]


def captions(report: Report, text: str, count: int, repeated: float) -> None:
    train(report)["wording"].update(captions=100, repeated=repeated, distinct=5, most_common=[[text, count]])


CASES: list[tuple[Callable[[Report], Any], str, str]] = [
    (lambda r: r.update(pairs=0), "serious", "There are no pairs."),
    (lambda r: train(r).update(pairs=0), "serious", "There are no training pairs."),
    (lambda r: train(r).update(error="a.tar has 0 bytes"), "serious", "train cannot be opened: a.tar has 0 bytes"),
    (lambda r: train(r).update(bad=bad(40), read=100), "serious", "40% of the pairs of train .*training stops"),
    (lambda r: train(r).update(bad=bad(1), read=100), "minor", r"1% of the pairs of train .*image 1 \(a.tar x: not"),
    (lambda r: train(r).update(variety=1.5), "serious", "The pictures of train are nearly all the same one"),
    (lambda r: train(r)["one_colour"].update(share=0.5, examples=["k"]), "serious", r"50% .* a single colour \(k\)"),
    (lambda r: train(r)["one_colour"].update(share=0.02, examples=["k"]), "minor", "2% .* of a single colour"),
    (lambda r: train(r)["below"].update({"16": 0.9}), "serious", "90% of the pictures of train are smaller than 16 "),
    (lambda r: train(r)["below"].update({"16": 0.1}), "minor", "10% .* teach it blur"),
    (lambda r: captions(r, "a photo of a rose", 37, 0.95), "minor", "37% of the captions of train are 'a photo of a "
     "rose', and only 5 of 100 are distinct: the network can only learn classes"),
    (lambda r: captions(r, "a rose", 60, 0.95), "serious", "60% of the captions .*only learn classes"),
    (lambda r: captions(r, "image not found", 30, 0.3), "serious", "30% .* 'image not found': nothing else"),
    (lambda r: train(r)["wording"]["characters"]["histogram"]["counts"].__setitem__(-2, 50), "minor",
     "of the captions of train have 500 characters or more"),
    (lambda r: train(r)["wording"]["words"]["summary"].update(median=1), "minor", "Half of the captions .* one word"),
    (lambda r: train(r)["wording"].update(sides=0.4), "note", "40% .* left or right"),
    (lambda r: train(r)["aspect"]["histogram"]["counts"].__setitem__(-1, 900), "note", "over twice as long as wide"),
    (lambda r: train(r)["duplicates"].update(pairs=300, examples=[["k", "l"]]), "serious", r"300 pictures of train "
     r"\(30%\) the same as an earlier one, byte for byte \(for one: k, l\)"),
    (lambda r: train(r)["duplicates"].update(pairs=20, examples=[["k", "l"]]), "minor", "20 pictures of train"),
    (lambda r: r["across"].append({"splits": ["train", "test"], "pairs": 5, "examples": [["k", "l"]]}), "serious",
     r"5 pictures of test \(25%\) also in train, byte for byte \(for one: k, l\)"),
    (lambda r: r["across"].append({"splits": ["test", "unseen"], "pairs": 5, "examples": []}), "minor", "also in test"),
    (lambda r: r["embeddings"].clear(), "minor", "There are no text embeddings"),
    (lambda r: r["embeddings"][0].update(missing={"shards": 2, "examples": ["a", "b"]}), "serious",
     r"2 of 5 shards without embeddings by hashed_words-\w+ \(for one: a, b\)"),
    (lambda r: r["embeddings"][0].update(errors={"shards": 1, "examples": ["other captions"]}), "serious",
     "are of no use for 1 shard: other captions"),
    (lambda r: r["embeddings"][0].update(cut=0.2), "minor", "20% of the captions are longer than the 64 tokens"),
    (lambda r: r["embeddings"].append({"name": "F", "error": "key.json is damaged"}), "serious", "cannot be used: key"),
    (lambda r: train(r).update(shards={"count": 100, "median_pairs": 10.0}), "minor", "100 shards of 10 pairs"),
    (lambda r: train(r).update(pairs=111), "minor", "There are only 111 training pairs: .* by heart.$"),
    (lambda r: train(r).update(pairs=5), "minor", "only 5 training pairs: .*data.workers=0"),
    (lambda r: [r["splits"].pop(n) for n in ("test", "unseen", "unseen_relation")], "note", "no validation split"),
    (lambda r: r["left_out"].update({"too small": {"pairs": 9000, "examples": []}}), "minor", "left out 9,000 pairs"),
    (lambda r: r["left_out"].update({"too small": {"pairs": 9, "examples": []}}), "note", "left out 9 .*too small 9"),
    (lambda r: r["speed"].update(pairs_a_second=3.0, shares={"read": 0.1, "decode": 0.9}), "minor",
     "One process reads only 3 pairs a second; most of it is to decode"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "level", "words"), CASES, ids=[words[:40] for *_, words in CASES])
def test_each_is_told_once(good: Report, change: Callable[[Report], Any], level: str, words: str) -> None:
    report = copy.deepcopy(good)
    report["splits"]["train"]["wording"]["sides"] = 0.0
    before = problems(report)
    change(report)
    (new,) = [problem for problem in problems(report) if problem not in before]
    assert re.search(words, new.what)
    assert new.level == level
    assert new.remedy.endswith((".", "?"))


def test_the_worst_comes_first_and_each_but_once(good: Report) -> None:
    report = copy.deepcopy(good)
    for change, _, words in CASES[3:]:
        if words not in (
            "There are no text embeddings",
            "no validation split",
        ):  # which take away the others' place
            change(report)
    found = problems(report)
    ranks = [LEVELS.index(problem.level) for problem in found]
    assert ranks == sorted(ranks)
    assert len({problem.what for problem in found}) == len(found) > 12


def test_notes_are_counted_apart() -> None:
    note, minor = (Problem(level, "What.", "Remedy.") for level in ("note", "minor"))
    assert [summary(found) for found in ([], [note], [minor, note, note], [minor, minor])] == [
        "No problem found",
        "No problem found, 1 note",
        "1 problem, 2 notes",
        "2 problems",
    ]


def test_what_splits_have_in_common_is_told_of_the_first(good: Report) -> None:
    report = copy.deepcopy(good)
    for split in report["splits"].values():
        split["below"]["16"] = 0.9
    assert [p.what.split(" are ")[0] for p in problems(report) if p.level == "serious"] == [
        "90% of the pictures of train"
    ]


def test_shares_are_never_rounded_to_nothing_or_all() -> None:
    shares = {0: "0%", 1e-5: "under 0.1%", 0.004: "0.4%", 0.37: "37%", 0.9999: "99.9%", 1: "100%"}
    assert {share: percent(share) for share in shares} == shares


def test_provoked_for_real(tmp_path: Path) -> None:
    prepare(Shapes(count=40, resolution=16, held_out=0), tmp_path / "F", shard_size=2)
    told = " ".join(problem.what for problem in problems(inspect(tmp_path / "F", resolution=64).report))
    for words in ("100% of the pictures of train are smaller than 64", "only 40 training pairs", "20 shards of 2 pairs",
                  "no text embeddings", "no validation split"):  # fmt: skip
        assert words in told
