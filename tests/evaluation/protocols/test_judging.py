"""Scorers that ask judges and detectors, played by stand-ins."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from imagen.evaluation.metrics.geneval import Found
from imagen.evaluation.protocols.blocks import Made
from imagen.evaluation.protocols.judging import AT_ONCE, GenEval, Judged, ground_truth
from imagen.evaluation.protocols.wanted import Wanted, wanted_of

CAT = {"include": [{"class": "cat", "count": 1}]}
RED = {"include": [{"class": "cat", "count": 1, "color": "red"}]}
TWO = {"include": [{"class": "cat", "count": 2}], "exclude": [{"class": "cat", "count": 3}]}


def made(rows: Sequence[Wanted]) -> Made:
    """A picture of each, whose red is its place."""
    pictures = np.zeros((len(rows), 20, 20, 3), np.uint8)
    pictures[..., 0] = np.arange(len(rows))[:, None, None]
    return Made(list(rows), pictures, {})


class Detector:
    """Finds as many cats as the picture's red says, surely or not."""

    key, classes = {"kind": "stand-in"}, ("cat", "dog")

    def __init__(self, confidence: float = 0.95) -> None:
        self.confidence, self.shown = confidence, 0

    def __call__(self, pictures: Tensor) -> list[list[Found]]:
        self.shown += len(pictures)
        return [[Found("cat", self.confidence, (0, 0, 9, 9))] * int(one[0, 0, 0]) for one in pictures]


def test_a_judge_sees_each_picture_with_its_own_prompt() -> None:
    class Judge:
        key, largest = {"kind": "stand-in"}, 0

        def __call__(self, pictures: Tensor, prompts: Sequence[str]) -> Tensor:
            self.largest = max(self.largest, len(pictures))
            return torch.tensor([float(one[0, 3, 4]) + int(p) for one, p in zip(pictures, prompts)])

    judge = Judge()
    rows = wanted_of([(str(1000 * i), "", None) for i in range(70)], 0)
    scorer = Judged("taste", judge)
    assert [scores[""] for scores in scorer(made(rows))] == [1001 * i for i in range(70)]
    assert judge.largest == AT_ONCE
    assert (scorer.name, scorer.key) == ("taste", judge.key)


def test_a_wrong_judge_is_named() -> None:
    class Judge:
        def __init__(self) -> None:
            self.key: dict[str, Any] = {}

        def __call__(self, pictures: Tensor, prompts: Sequence[str]) -> Tensor:
            return torch.zeros(len(pictures), 2)

    with pytest.raises(ValueError, match=r"judge Judge gave \(1, 2\), not \(B,\) = \(1,\) finite scores"):
        Judged("taste", Judge())(made(wanted_of([("a", "", None)], 0)))


def test_verdicts_are_of_the_prompts_that_have_a_ground_truth() -> None:
    drawn = {"world": "shapes", "groups": []}
    rows = wanted_of([("none", "", None), ("drawn", "", drawn), ("two", "", TWO), ("more", "", TWO)], 0)
    detector = Detector()
    scorer = GenEval(detector, lambda picture, objects: [], "colors")
    scorer.check(rows)
    assert scorer(made(rows)) == [{"correct": None}, {"correct": None}, {"correct": 1.0}, {"correct": 0.0}]
    assert detector.shown == 2
    assert scorer.key == {"detector": Detector.key, "colors": "colors"}


def test_colors_without_a_classifier_are_neither_right_nor_wrong() -> None:
    rows = wanted_of([("no cat", "", RED), ("cat", "", CAT), ("red cat", "", RED), ("a", "", None)], 0)
    assert GenEval(Detector())(made(rows)) == [
        {"correct": None, "unchecked": 1.0},
        {"correct": 1.0, "unchecked": 0.0},
        {"correct": None, "unchecked": 1.0},
        {"correct": None, "unchecked": None},
    ]
    seen = GenEval(Detector(), lambda picture, objects: ["red"] * len(objects), "always red")
    assert [scores["correct"] for scores in seen(made(rows))] == [0.0, 1.0, 1.0, None]


def test_the_category_says_how_sure_the_detector_must_be() -> None:
    rows = wanted_of([("", "", None), ("a", "", CAT), ("b", "Counting", TWO), ("c", "counting", TWO)], 0)
    assert [scores["correct"] for scores in GenEval(Detector(0.5))(made(rows))] == [None, 1.0, 0.0, 0.0]
    assert [scores["correct"] for scores in GenEval(Detector(0.95))(made(rows))] == [None, 1.0, 1.0, 0.0]
    truth = ground_truth(rows[2])
    assert truth
    assert (truth.tag, truth.prompt) == ("counting", "b")


@pytest.mark.parametrize(
    ("truths", "told"),
    [
        ([None, {"world": "shapes"}], "none of the 2 prompts has a ground truth of GenEval's form; give protocol=prompts"),
        ([RED, None], "all prompts with a ground truth ask for colors, which nothing here can tell; give weights.clip"),
        ([{"include": [{"class": "zebra", "count": 1}]}], "weights.detector: the detector knows no zebra"),
        ([{"include": [{"class": "cat"}]}], '''ground truth of 'p0': "count" must be a whole number'''),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_said_before(truths: list, told: str) -> None:
    rows = wanted_of([(f"p{i}", "", truth) for i, truth in enumerate(truths)], 0)
    with pytest.raises(ValueError, match=told.replace("(", r"\(")) as caught:
        GenEval(Detector()).check(rows)
    assert "\n" not in str(caught.value)
