"""What is measured of a block of pictures: scores of each picture, and features for measures of all of them. Kept beside the
pictures, so that a killed evaluation computes nothing twice.

    OUT/scores/000000.json            {KEY: {"shapes.scene": 1.0, ...}}
    OUT/features/NAME/000000.safetensors   features (n, D) float32 of an extractor, and their keys' order is the block's
"""

import hashlib
import itertools
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from imagen.data.shapes import parse
from imagen.data.shapes.captions import Asked
from imagen.evaluation.consistency import consistency
from imagen.evaluation.metrics.features import Extractor, from_extractor
from imagen.evaluation.protocols.blocks import Made
from imagen.evaluation.protocols.wanted import Wanted
from imagen.evaluation.shapes_judge import KEYS, judge, score
from imagen.evaluation.shapes_samples import from_uint8
from imagen.files import read_json, shared, write_text

BOUND = ("color", "count", "relation")


class Scorer(Protocol):
    """Scores of each picture by itself. `name` begins the names of its scores, and has no point in it; `key`: plain JSON that says
    who scores."""

    name: str
    key: dict[str, Any]

    def check(self, rows: Sequence[Wanted]) -> None:
        """Before any picture is made: ValueError where pictures of these could not be scored."""
        ...

    def __call__(self, made: Made) -> list[dict[str, float | None]]:
        """A dict for each picture of a block, "" for a score that is called as the scorer is; None where one does not apply."""
        ...


class ShapesJudge:
    """The judge of drawn scenes: 1.0 where a picture has what its prompt asks for, 0.0 where not. "bound": color, count and
    relation together, which can be told of pictures too small for shapes. Those below 32 pixels are enlarged for it."""

    name, key = (
        "shapes",
        {"judge": "imagen.evaluation.shapes_judge", "smaller than 32": "enlarged to 64, bicubic"},
    )

    def check(self, rows: Sequence[Wanted]) -> None:
        """See `Scorer`. ValueError for a prompt that is none of the drawn world."""
        for prompt in dict.fromkeys(row.prompt for row in rows):
            _drawn(prompt)

    def __call__(self, made: Made) -> list[dict[str, float | None]]:
        """See `Scorer`."""
        found = []
        for row, picture in zip(made.rows, made.last):
            verdict = score(judge(seen_large(picture)), _drawn(row.prompt))
            scores = {key: None if (right := verdict[key]) is None else float(right) for key in KEYS}
            found.append({**scores, "bound": float(all(verdict[key] is not False for key in BOUND))})
        return found


def _drawn(prompt: str) -> Asked:
    try:
        return parse(prompt)
    except ValueError:
        raise ValueError(
            f"metrics=[shapes]: the judge knows only prompts of the drawn world, and not {prompt!r:.80}; leave it out"
        ) from None


def seen_large(picture: np.ndarray) -> np.ndarray:
    """(R, R, 3) uint8, enlarged to 64 where the judge would see too little."""
    if len(picture) >= 32:
        return picture
    return np.asarray(Image.fromarray(picture).resize((64, 64), Image.Resampling.BICUBIC))


def scores_of(path: Path, made: Made, scorers: Sequence[Scorer]) -> dict[str, dict[str, float | None]]:
    """{key: {"shapes.scene": 1.0}} of a block: read, or computed and kept in `path`, each scorer's as soon as they are there: a
    killed evaluation asks a slow one nothing twice, and one of other metrics none that has answered."""
    identity = identity_of(scorers)
    of, found = _kept(path)
    if set(found) != {row.key for row in made.rows}:
        of, found = {}, {row.key: {} for row in made.rows}
    for scorer in scorers:
        if of.get(scorer.name) == identity[scorer.name]:
            continue
        for row, scores in zip(made.rows, scorer(made) if made.rows else []):
            others = {name: value for name, value in found[row.key].items() if _by(name) != scorer.name}
            own = {f"{scorer.name}.{n}" if n else scorer.name: value for n, value in scores.items()}
            found[row.key] = others | own
        of[scorer.name] = identity[scorer.name]
        write_text(path, json.dumps({"of": of, "scores": found}))
    if not path.is_file():  # that there is nothing to be said of them is said
        write_text(path, json.dumps({"of": of, "scores": found}))
    return {
        key: {name: value for asked in identity for name, value in scores.items() if _by(name) == asked}
        for key, scores in found.items()
    }


def scored(path: Path, scorers: Sequence[Scorer]) -> bool:
    """Whether all of them have scored the block of `path`."""
    of, _ = _kept(path)
    return path.is_file() and all(of.get(name) == key for name, key in identity_of(scorers).items())


def identity_of(scorers: Sequence[Scorer]) -> dict[str, Any]:
    """{name: key}, as JSON gives it back."""
    return json.loads(json.dumps({scorer.name: scorer.key for scorer in scorers}))


def _kept(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, float | None]]]:
    there = read_json(path, "delete it, and the same command computes it again") if path.is_file() else {}
    of, scores = there.get("of"), there.get("scores")
    if not isinstance(of, dict) or not isinstance(scores, dict):
        return {}, {}
    rows = [row for row in scores.values() if isinstance(row, dict)]
    whole = len(rows) == len(scores) and all(v is None or _finite(v) for row in rows for v in row.values())
    return (of, scores) if whole else ({}, {})


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _by(name: str) -> str:
    return name.partition(".")[0]


def features_of(
    path: Path,
    pictures: np.ndarray,
    extractor: Extractor,
    batch_size: int = 32,
    identity: Mapping[str, str] | None = None,
) -> Tensor:
    """Features (n, D) of pictures (n, H, W, 3): read, or computed and kept in `path`, which says of what and by whom
    (`identity`; by default of these pixels, by this extractor)."""
    if identity is None:
        content = hashlib.sha256(np.ascontiguousarray(pictures).tobytes() + repr(pictures.shape).encode())
        identity = {"pictures": content.hexdigest(), "extractor": json.dumps(extractor.key, sort_keys=True)}
    if (there := read_features(path, identity)) is not None:
        return there
    parts = []
    for start in range(0, len(pictures), batch_size):
        batch = torch.from_numpy(pictures[start : start + batch_size].copy()).permute(0, 3, 1, 2)
        parts.append(from_extractor(extractor(batch), len(batch), extractor).cpu())
    found = torch.cat(parts) if parts else torch.zeros(0, extractor.dim)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file({"features": found.contiguous()}, beside, metadata=dict(identity))
        shared(beside)
        os.replace(beside, path)
    except SafetensorError as error:
        raise ValueError(
            f"{path}: cannot be written ({error}); the same command goes on when it can"
        ) from None
    finally:
        beside.unlink(missing_ok=True)
    return found


def read_features(path: Path, identity: Mapping[str, str]) -> Tensor | None:
    """Features that are there and of that identity; else None."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            if file.metadata() == dict(identity):
                return file.get_tensor("features")
    except (OSError, SafetensorError):
        return None  # damaged: made again
    return None


class Drift:
    """What super-resolution makes of its low-resolution input, for each resolution that it goes to (`consistency`): "64.mean.red",
    how far the mean of a channel moved, and "64.spread.red" its standard deviation, in shares of the full range with their sign;
    "64.color", the mean of the former without it; "64.psnr", decibels between the input and the picture brought down to it."""

    name, key = "drift", {"drift": "imagen.evaluation.consistency, by area"}

    def check(self, rows: Sequence[Wanted]) -> None:
        """See `Scorer`. Any prompt will do."""

    def __call__(self, made: Made) -> list[dict[str, float | None]]:
        """See `Scorer`. ValueError where there is no stage before the last."""
        chain = [*made.before.values(), made.last]
        if len(chain) < 2:
            raise ValueError("metrics=[drift]: these pictures have no low-resolution input; leave it out")
        found: list[dict[str, float | None]] = [{} for _ in made.rows]
        for low, high in itertools.pairwise(chain):
            seen, side = consistency(from_uint8(high), from_uint8(low)), high.shape[1]
            for i, scores in enumerate(found):
                for what, moved in (("mean", seen.mean_drift[i]), ("spread", seen.spread_drift[i])):
                    named = zip(("red", "green", "blue"), moved.tolist())
                    scores |= {f"{side}.{what}.{channel}": value for channel, value in named}
                scores[f"{side}.color"] = float(seen.mean_drift[i].abs().mean())
                scores[f"{side}.psnr"] = float(seen.psnr[i])
        return found
