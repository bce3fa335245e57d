"""Scorers that ask networks about single pictures: learned judges, and GenEval's verdicts by a detector."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imagen.evaluation.metrics import geneval, judges
from imagen.evaluation.metrics.detector import TransformersDetector, clip_colors
from imagen.evaluation.metrics.geneval import ColorOf, Detector, Truth, check_classes, truth_of
from imagen.evaluation.metrics.judges import Aesthetics, HPSv2, ImageReward, Judge, VQAScore, judged
from imagen.evaluation.protocols.blocks import Made
from imagen.evaluation.protocols.scoring import Scorer
from imagen.evaluation.protocols.wanted import Wanted
from imagen.evaluation.protocols.weights import Weights

AT_ONCE = 32  # pictures that a judge is shown
DETECTED = 8  # detectors enlarge theirs
UNCHECKED = "not checked: no weights.clip"
Network = Callable[[str, str], Any]
"""(kind of extractor, metric that needs it) -> the extractor; each is loaded once."""


class Judged:
    """What a learned judge says of each picture and its prompt: one score, called as the scorer is."""

    def __init__(self, name: str, judge: Judge) -> None:
        self.name, self.key, self.judge = name, judge.key, judge

    def check(self, rows: Sequence[Wanted]) -> None:
        """See `Scorer`. Any prompt will do."""

    def __call__(self, made: Made) -> list[dict[str, float | None]]:
        """See `Scorer`. ValueError for a judge that gives anything but a finite score each."""
        prompts = [row.prompt for row in made.rows]
        said: list[float] = []
        for start in range(0, len(prompts), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            said += judged(self.judge, _shown(made.last[some]), prompts[some]).tolist()
        return [{"": score} for score in said]


class GenEval:
    """GenEval's verdict on each picture whose prompt has a ground truth: "correct", 1.0 where all objects are there, 0.0 where
    not. (The paper's overall number is the mean of the categories'.)

    `color_of` with its `colors`, who that is; without it a prompt that asks for a color cannot be checked: its pictures are
    neither right nor wrong ("correct" is None, also where an object is missing, since a share of such prompts' failures alone
    would be too low), and "unchecked" is 1.0 for them, 0.0 for the others."""

    name = "geneval"

    def __init__(self, detector: Detector, color_of: ColorOf | None = None, colors: Any = UNCHECKED) -> None:
        self.detector, self.color_of = detector, color_of
        self.key: dict[str, Any] = {"detector": detector.key, "colors": colors}

    def check(self, rows: Sequence[Wanted]) -> None:
        """See `Scorer`. ValueError when no prompt has a ground truth, when none of them can be checked without colors, and for
        classes that the detector does not know."""
        truths = [truth for row in rows if (truth := ground_truth(row)) is not None]
        if not truths:
            raise ValueError(
                f"metrics=[geneval]: none of the {len(rows)} prompts has a ground truth of GenEval's form; give protocol=prompts with "
                "protocol.path= GenEval's evaluation_metadata.jsonl or a suite of imagen-suite compose world=open, or leave it out"
            )
        if not any(map(self._checkable, truths)):
            raise ValueError(
                "metrics=[geneval]: all prompts with a ground truth ask for colors, which nothing here can tell; give "
                "weights.clip=FOLDER, or leave it out"
            )
        check_classes(truths, self.detector)

    def __call__(self, made: Made) -> list[dict[str, float | None]]:
        """See `Scorer`. ValueError for a detector that gives anything but lists of objects."""
        found: list[dict[str, float | None]] = []
        asked: list[tuple[int, Truth]] = []
        for place, row in enumerate(made.rows):
            truth = ground_truth(row)
            if truth is not None and self._checkable(truth):
                asked.append((place, truth))
            found.append({"correct": None})
            if self.color_of is None:
                found[-1]["unchecked"] = None if truth is None else float(not self._checkable(truth))
        for start in range(0, len(asked), DETECTED):
            places, truths = zip(*asked[start : start + DETECTED])
            verdicts = geneval.judge(self.detector, _shown(made.last[list(places)]), truths, self.color_of)
            for place, verdict in zip(places, verdicts):
                found[place]["correct"] = float(verdict.correct)
        return found

    def _checkable(self, truth: Truth) -> bool:
        return self.color_of is not None or not any(wanted.color for wanted in truth.include)


def ground_truth(row: Wanted) -> Truth | None:
    """What a picture must show by GenEval's rules; None where that is not known. The category stands for GenEval's tag, which
    says how sure of its objects the detector must be ("counting": surer). ValueError for a truth that GenEval's cannot be."""
    if row.truth is None or "include" not in row.truth:
        return None
    content = {"tag": row.category.casefold(), **row.truth, "prompt": row.prompt}
    return truth_of(content, f"metrics=[geneval]: the ground truth of {row.prompt!r:.60}")


def _aesthetics(weights: Weights, network: Network, device: str) -> Scorer:
    file = weights.path("aesthetics", "aesthetics")
    clip = network("clip", "aesthetics")
    return Judged("aesthetics", Aesthetics(clip, file, judges.AESTHETICS_SHA256))


def _imagereward(weights: Weights, network: Network, device: str) -> Scorer:
    file, config = (weights.path(name, "imagereward") for name in ("imagereward", "imagereward_config"))
    return Judged("imagereward", ImageReward(file, config, device=device))


def _hps(weights: Weights, network: Network, device: str) -> Scorer:
    return Judged("hps", HPSv2(weights.path("hps", "hps"), device=device))


def _vqascore(weights: Weights, network: Network, device: str) -> Scorer:
    return Judged("vqascore", VQAScore(weights.path("vqascore", "vqascore"), device=device))


def _geneval(weights: Weights, network: Network, device: str) -> Scorer:
    detector = TransformersDetector(weights.path("detector", "geneval"), device=device)
    if weights.clip is None:
        return GenEval(detector)
    clip = network("clip", "geneval")
    return GenEval(detector, clip_colors(clip), clip.key)


ASKED: dict[str, Callable[[Weights, Network, str], Scorer]] = {
    "aesthetics": _aesthetics,
    "imagereward": _imagereward,
    "hps": _hps,
    "vqascore": _vqascore,
    "geneval": _geneval,
}
"""Metric -> (weights, networks, device) -> its scorer. ValueError for weights that are not there or are of something else."""


def _shown(pictures: np.ndarray) -> Tensor:
    """uint8 (B, H, W, 3) -> (B, 3, H, W)."""
    return torch.from_numpy(pictures.copy()).permute(0, 3, 1, 2)
