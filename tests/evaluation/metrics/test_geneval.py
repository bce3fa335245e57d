"""GenEval's verdicts: counts, positions, colors and what must not be there, from objects that a stub has found."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from imagen.evaluation.metrics.geneval import (
    Found,
    Verdict,
    judge,
    read_truths,
    relative_position,
    truth_of,
    verdict,
)


def cat(x: float = 50, y: float = 50, confidence: float = 0.95, name: str = "cat", size: float = 10) -> Found:
    return Found(name, confidence, (x - size, y - size, x + size, y + size))


def truth(*include: dict, exclude: Sequence[dict] = (), tag: str = ""):
    return truth_of({"tag": tag, "prompt": "p", "include": list(include), "exclude": list(exclude)})


ONE = {"class": "cat", "count": 1}


class Stub:
    key = None
    classes = ("cat", "dog")

    def __init__(self, found: list):
        self.found = found

    def __call__(self, pictures: Tensor) -> list:
        return self.found


def test_enough_sure_objects() -> None:
    assert verdict(truth(ONE), [cat()]).correct
    assert verdict(truth(ONE), [cat(), cat(80)]).correct  # at least
    assert verdict(truth(ONE), [cat(confidence=0.2)]).reasons == ("expected 1 cat, found 0",)
    assert not verdict(truth(ONE), [cat(name="dog")]).correct
    assert not verdict(truth({"class": "cat", "count": 2}), [cat()]).correct


def test_counting_is_exact_by_exclusion_and_asks_for_surer_objects() -> None:
    two = truth({"class": "cat", "count": 2}, exclude=[{"class": "cat", "count": 3}], tag="counting")
    assert verdict(two, [cat(), cat(80)]).correct
    assert verdict(two, [cat(), cat(80), cat(10, confidence=0.8)]).correct
    assert not verdict(two, [cat(), cat(80, confidence=0.8)]).correct
    assert verdict(two, [cat(), cat(80), cat(10)]).reasons == ("expected fewer than 3 cat, found 3",)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (10, 50, {"left of"}),
        (90, 50, {"right of"}),
        (50, 10, {"above"}),
        (50, 90, {"below"}),
        (10, 10, {"left of", "above"}),
        (53, 50, set()),  # nearer than a tenth of both sides
        (50, 50, set()),
        (10, 60, {"left of"}),
    ],
)
def test_positions(x: float, y: float, expected: set) -> None:
    assert relative_position(cat(x, y), cat(50, 50)) == expected


def test_a_position_is_to_every_target() -> None:
    asked = truth(ONE, {"class": "dog", "count": 1, "position": ["left of", 0]})
    assert verdict(asked, [cat(80), cat(20, name="dog")]).correct
    wrong = verdict(asked, [cat(20), cat(80, name="dog")])
    assert wrong.reasons == ("expected dog left of cat, found right of",)
    assert verdict(asked, [cat(20, name="dog")]).reasons == (
        "expected 1 cat, found 0",
        "no target (entry 0) for dog to be left of",
    )
    two = truth({"class": "cat", "count": 2}, {"class": "dog", "count": 1, "position": ["left of", 0]})
    assert not verdict(two, [cat(80), cat(10), cat(40, name="dog")]).correct


def test_the_surest_objects_are_placed() -> None:
    asked = truth(ONE, {"class": "dog", "count": 1, "position": ["left of", 0]})
    assert verdict(asked, [cat(10, confidence=0.5), cat(80, confidence=0.9), cat(40, name="dog")]).correct


def test_colors_are_judged_by_what_is_given_or_said_to_be_unchecked() -> None:
    asked = truth({"class": "cat", "count": 1, "color": "red"})
    picture = torch.zeros(3, 100, 100, dtype=torch.uint8)
    assert verdict(asked, [cat()]) == Verdict(True, (), ("color red of cat",))
    assert verdict(asked, [cat()], picture, lambda _, objects: ["red"] * len(objects)) == Verdict(True)
    wrong = verdict(asked, [cat()], picture, lambda _, objects: ["blue"] * len(objects))
    assert wrong == Verdict(False, ("expected 1 red cat, found blue",))


def test_judging_a_batch() -> None:
    pictures = torch.zeros(2, 3, 100, 100, dtype=torch.uint8)
    found = judge(Stub([[cat()], []]), pictures, [truth(ONE)] * 2)  # type: ignore[arg-type]
    assert [one.correct for one in found] == [True, False]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([[]], "detector Stub gave no list of 2 lists"),
        (torch.zeros(2, 4), "detector Stub gave no list"),
        ([[1.0], []], "detector Stub gave 1.0, no object"),
        ([[cat(float("nan"))], []], "no object with a finite box"),
    ],
)
def test_a_wrong_detector_is_named(found: list, said: str) -> None:
    pictures = torch.zeros(2, 3, 100, 100, dtype=torch.uint8)
    with pytest.raises(ValueError, match=said):
        judge(Stub(found), pictures, [truth(ONE)] * 2)  # type: ignore[arg-type]


def test_classes_that_the_detector_lacks_and_unequal_numbers() -> None:
    pictures = torch.zeros(1, 3, 100, 100, dtype=torch.uint8)
    with pytest.raises(ValueError, match="the detector knows no zebra"):
        judge(Stub([[]]), pictures, [truth({"class": "zebra", "count": 1})])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 pictures and 2 ground truths"):
        judge(Stub([[]]), pictures, [truth(ONE)] * 2)  # type: ignore[arg-type]


def test_the_file_of_geneval_is_read(tmp_path: Path) -> None:
    lines = [
        {"tag": "single_object", "include": [ONE], "prompt": "a photo of a cat"},
        {
            "tag": "position",
            "include": [ONE, {"class": "dog", "count": 1, "position": ["above", 0]}],
            "prompt": "a photo of a dog above a cat",
        },
        {"tag": "counting", "include": [ONE], "exclude": [{"class": "cat", "count": 2}], "prompt": "x"},
    ]
    file = tmp_path / "truths.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\n")
    truths = read_truths(file)
    assert [one.tag for one in truths] == ["single_object", "position", "counting"]
    assert truths[1].include[1].position == ("above", 0)
    assert truths[2].exclude[0].count == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], 'needs an object with "include"'),
        ({"include": []}, '"include" needs an entry'),
        ({"include": [{"count": 1}]}, 'an entry needs "class" and "count"'),
        ({"include": [{"class": "cat", "count": 0}]}, '"count" must be a whole number from 1, found 0'),
        ({"include": [{"class": "cat", "count": True}]}, '"count" must be'),
        ({"include": [ONE | {"color": "mauve"}]}, "color 'mauve' is none of red"),
        ({"include": [ONE | {"position": ["above", 0]}]}, "position .* an earlier entry"),
        ({"include": [ONE, ONE | {"position": ["near", 0]}]}, "position .* must be"),
        ({"include": [ONE], "exclude": {}}, None),
        ({"include": [ONE], "exclude": 5}, '"exclude" must be a list'),
    ],
)
def test_wrong_ground_truths(content: object, said: str | None, tmp_path: Path) -> None:
    if said is None:
        assert truth_of(content).exclude == ()
        return
    file = tmp_path / "truths.jsonl"
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=said) as caught:
        read_truths(file)
    assert "line 1" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        read_truths(tmp_path / "none")
    (tmp_path / "a").write_text("{")
    with pytest.raises(ValueError, match="line 1 is no JSON"):
        read_truths(tmp_path / "a")
    (tmp_path / "a").write_text("\n")
    with pytest.raises(ValueError, match="no lines"):
        read_truths(tmp_path / "a")


def test_a_class_has_one_name_whoever_names_it() -> None:
    asked = truth({"class": "mouse", "count": 1}, exclude=[{"class": "sofa", "count": 1}])
    assert (asked.include[0].name, asked.exclude[0].name) == ("computer mouse", "couch")
    assert verdict(asked, [cat(name="computer mouse")]).correct
