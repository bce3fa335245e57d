"""The measures by their names: what each needs (scores of pictures, features of sets, real pictures, weights), and how it is
computed from these.

    of a picture    shapes, drift (super-resolution against its low-resolution input), clip; aesthetics, imagereward, hps, vqascore
                    (learned judges); geneval (a detector)
    of a set        fid, kid, precision_recall, density_coverage, inception_score (Inception); fd_dinov2 (DINOv2); cmmd (CLIP);
                    pixels (no network, and no FID)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from imagen.evaluation.metrics.bootstrap import half_samples
from imagen.evaluation.metrics.frechet import frechet_distance, frechet_infinity
from imagen.evaluation.metrics.kernel import cmmd, kid
from imagen.evaluation.metrics.manifold import density_coverage, precision_recall
from imagen.evaluation.metrics.sample_size import fewer
from imagen.evaluation.metrics.scores import clip_score, inception_score, prompt_wins
from imagen.evaluation.protocols.evaluation import Parts
from imagen.evaluation.protocols.judging import ASKED
from imagen.evaluation.protocols.protocol import Reference
from imagen.evaluation.protocols.scoring import Drift, Scorer, ShapesJudge
from imagen.evaluation.protocols.wanted import Wanted
from imagen.evaluation.protocols.weights import Weights
from imagen.evaluation.suites.contradictions import contradicted

Features = Mapping[str, tuple[Tensor, Tensor | None]]
"""{extractor: (of the pictures (n, D), of real ones (m, D) or None)}."""
MANY = 256  # numbers of a feature beyond which a resample is dear
RESAMPLES = {"dear": 10, "cheap": 50}


@dataclass(frozen=True)
class OfSet:
    """A measure of a set of features of `extractor`; `real`: whether it compares them with those of real pictures. `of(made,
    real, extractor)` -> its numbers. `whole`: whether it changes with the number of pictures too much to be taken of halves."""

    extractor: str
    real: bool
    of: Callable[[Tensor, Tensor, Any], Mapping[str, float]]
    whole: bool = False


def _frechet(name: str) -> Callable[[Tensor, Tensor, Any], Mapping[str, float]]:
    return lambda made, real, _: {name: frechet_distance(real, made)}


def _kid(made: Tensor, real: Tensor, _: Any) -> Mapping[str, float]:
    return {"kid": kid(real, made, subset_size=min(1000, len(real), len(made)))[0]}


def _inception_score(made: Tensor, _: Tensor, extractor: Any) -> Mapping[str, float]:
    return {"inception_score": inception_score(extractor.logits(made))[0]}


SETS: dict[str, OfSet] = {
    "pixels": OfSet("pixels", True, _frechet("pixels")),
    "fid": OfSet("inception", True, _frechet("fid")),
    "fd_dinov2": OfSet("dinov2", True, _frechet("fd_dinov2")),
    "kid": OfSet("inception", True, _kid),
    "cmmd": OfSet("clip", True, lambda made, real, _: {"cmmd": cmmd(real, made)}),
    "inception_score": OfSet("inception", False, _inception_score, whole=True),
    "precision_recall": OfSet(
        "inception", True, lambda made, real, _: vars(precision_recall(real, made)), whole=True
    ),
    "density_coverage": OfSet(
        "inception", True, lambda made, real, _: vars(density_coverage(real, made)), whole=True
    ),
}
SCORERS: dict[str, Callable[[], Scorer]] = {"shapes": ShapesJudge, "drift": Drift}
FRECHET = ("pixels", "fid", "fd_dinov2")
NAMES = (*SCORERS, *ASKED, "clip", *SETS)


@dataclass(frozen=True)
class Measures:
    """Those of `names`, with what measures them."""

    names: Sequence[str]
    parts: Parts

    @classmethod
    def of(cls, names: Sequence[str], weights: Weights, device: str) -> "Measures":
        """ValueError for a name that is none, and for weights that are not there."""
        for name in names:
            if name not in NAMES:
                raise ValueError(f"metrics: {name!s:.40} is none; choose from {', '.join(sorted(NAMES))}")
        loaded: dict[str, Any] = {}

        def network(kind: str, metric: str) -> Any:
            if kind not in loaded:  # CLIP is asked by several
                loaded[kind] = weights.of(kind, metric, device)
            return loaded[kind]

        scorers: list[Scorer] = []
        needed: dict[str, str] = {}
        for name in dict.fromkeys(names):
            if name in SCORERS:
                scorers.append(SCORERS[name]())
            elif name in ASKED:
                scorers.append(ASKED[name](weights, network, device))
            else:
                needed["clip" if name == "clip" else SETS[name].extractor] = name
        extractors = {kind: network(kind, name) for kind, name in needed.items()}
        return cls(tuple(names), Parts(scorers, extractors))

    def check(self, wanted: Sequence[Wanted]) -> None:
        """ValueError for prompts that a scorer knows nothing of."""
        for scorer in self.parts.scorers:
            scorer.check(wanted)

    def refuse_without(self, reference: Reference | None) -> None:
        """ValueError when a measure compares with real pictures and the protocol has none."""
        comparing = [name for name in self.names if name in SETS and SETS[name].real]
        if comparing and reference is None:
            raise ValueError(
                f"metrics: {', '.join(comparing)} compare with real pictures, which this protocol has not; use protocol=coco10k "
                "or coco30k, or leave them out with metrics=[...]"
            )

    def keys(self) -> dict[str, dict[str, Any]]:
        """Who measured."""
        scorers = {scorer.name: scorer.key for scorer in self.parts.scorers}
        return scorers | {name: dict(extractor.key) for name, extractor in self.parts.extractors.items()}

    def of_pairs(self, rows: Sequence[Wanted], features: Features) -> dict[str, dict[str, float | None]]:
        """{key: scores} of pictures and their prompts: "clip", 100 max(cosine, 0); "clip.wins", how often the own prompt scores above
        those of the other pictures; and where any prompt has a contradicting one, "clip.contradicted": 1 where the own prompt
        scores above it, 0.5 at a tie, None for a prompt without one."""
        if "clip" not in self.names:
            return {}
        extractor: Any = self.parts.extractors["clip"]
        prompts = [row.prompt for row in rows]
        against = {prompt: contradicted(prompt) for prompt in dict.fromkeys(prompts)}
        # each once: in another batch the same prompt has slightly other features, and would seem to be another one
        asked = list(dict.fromkeys([*prompts, *filter(None, against.values())]))
        text = torch.cat([extractor.text(asked[i : i + 64]) for i in range(0, len(asked), 64)]).cpu()
        place = {prompt: i for i, prompt in enumerate(asked)}
        images, own = features["clip"][0], text[[place[prompt] for prompt in prompts]]
        scores = zip(rows, clip_score(images, own).tolist(), _wins(images, own))
        found: dict[str, dict[str, float | None]] = {
            row.key: {"clip": score, "clip.wins": won} for row, score, won in scores
        }
        pairs = [(i, place[other]) for i, prompt in enumerate(prompts) if (other := against[prompt])]
        if pairs:
            these, others = map(list, zip(*pairs))
            told = dict(zip(these, prompt_wins(images[these], own[these], text[others]).tolist()))
            for i, row in enumerate(rows):
                found[row.key]["clip.contradicted"] = told.get(i)
        return found

    def of_sets(self, features: Features, asked: int, seed: int) -> dict[str, dict[str, Any]]:
        """Metric -> {"value", "interval": 95 % or None, "n", "note"}; of Frechet distances "NAME.infinity" too, what they tend to
        with more pictures. `asked`: how many the protocol asks for."""
        found: dict[str, dict[str, Any]] = {}
        for name in self.names:
            if name not in SETS:
                continue
            measure = SETS[name]
            made, real = features[measure.extractor]
            extractor = self.parts.extractors[measure.extractor]
            given = real if real is not None else made
            for key, value in measure.of(made, given, extractor).items():
                note = fewer("fid" if name in FRECHET else key, len(made), asked) or ""
                found[key] = {"value": value, "interval": None, "n": len(made), "note": note}
            if not measure.whole and len(made) >= 20:
                times = RESAMPLES["dear" if made.shape[1] > MANY else "cheap"]
                spread = half_samples(
                    lambda some: measure.of(some, given, extractor)[name],  # noqa: B023 (called at once)
                    made,
                    resamples=times,
                    seed=seed,
                )
                found[name]["interval"] = [spread.low, spread.high]
            if name in FRECHET and len(made) >= 60:
                limit = frechet_infinity(given, made, seed=seed)
                found[f"{name}.infinity"] = {
                    "value": limit.value,
                    "interval": [limit.value - 1.96 * limit.error, limit.value + 1.96 * limit.error],
                    "n": len(made),
                    "note": "a line through the distances of subsets, where 1 / n is 0 (Chong and Forsyth 2020); where the sets hardly differ it can "
                    "fall below 0",
                }
        return found


def _wins(images: Tensor, text: Tensor) -> list[float | None]:
    """None for all when there is no second prompt to be told apart from."""
    try:
        return list(prompt_wins(images, text).tolist())
    except ValueError:
        return [None] * len(images)
