"""What is measured of a block of pictures: scores of each picture, and features for measures of all of them. Kept beside the
pictures, so that a killed evaluation computes nothing twice.

    OUT/scores/000000.json            {KEY: {"shapes.scene": 1.0, ...}}
    OUT/features/NAME/000000.safetensors   features (n, D) float32 of an extractor, and their keys' order is the block's
"""

import hashlib
import itertools
import json
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
from imagen.evaluation.consistency import consistency
from imagen.evaluation.metrics.features import Extractor, from_extractor
from imagen.evaluation.protocols.blocks import Made
from imagen.evaluation.shapes_judge import KEYS, judge, score
from imagen.evaluation.shapes_samples import from_uint8
from imagen.files import read_json, shared, write_text

BOUND = ("color", "count", "relation")


class Scorer(Protocol):
    """Scores of each picture by itself. `name` begins the names of its scores; `key`: plain JSON that says who scores."""

    name: str
    key: dict[str, Any]

    def __call__(self, made: Made) -> list[dict[str, float | None]]:
        """A dict for each picture of a block; None where a score does not apply."""
        ...


class ShapesJudge:
    """The judge of drawn scenes: 1.0 where a picture has what its prompt asks for, 0.0 where not. "bound": color, count and
    relation together, which can be told of pictures too small for shapes. Those below 32 pixels are enlarged for it."""

    name, key = (
        "shapes",
        {"judge": "imagen.evaluation.shapes_judge", "smaller than 32": "enlarged to 64, bicubic"},
    )

    def __call__(self, made: Made) -> list[dict[str, float | None]]:
        """See `Scorer`. ValueError for a prompt that is none of the drawn world."""
        found = []
        for row, picture in zip(made.rows, made.last):
            try:
                asked = parse(row.prompt)
            except ValueError:
                raise ValueError(
                    f"metrics=[shapes]: the judge knows only prompts of the drawn world, and not {row.prompt!r:.80}; leave it out"
                ) from None
            verdict = score(judge(seen_large(picture)), asked)
            scores = {key: None if (right := verdict[key]) is None else float(right) for key in KEYS}
            found.append({**scores, "bound": float(all(verdict[key] is not False for key in BOUND))})
        return found


def seen_large(picture: np.ndarray) -> np.ndarray:
    """(R, R, 3) uint8, enlarged to 64 where the judge would see too little."""
    if len(picture) >= 32:
        return picture
    return np.asarray(Image.fromarray(picture).resize((64, 64), Image.Resampling.BICUBIC))


def scores_of(path: Path, made: Made, scorers: Sequence[Scorer]) -> dict[str, dict[str, float | None]]:
    """{key: {"shapes.scene": 1.0}} of a block: read, or computed and kept in `path`."""
    identity = {scorer.name: scorer.key for scorer in scorers}
    if path.is_file():
        there = read_json(path, "delete it, and the same command computes it again")
        if there.get("of") == identity and set(there.get("scores", {})) == {r.key for r in made.rows}:
            return there["scores"]
    found: dict[str, dict[str, float | None]] = {row.key: {} for row in made.rows}
    for scorer in scorers:
        for row, scores in zip(made.rows, scorer(made) if made.rows else []):
            found[row.key] |= {f"{scorer.name}.{name}": value for name, value in scores.items()}
    write_text(path, json.dumps({"of": identity, "scores": found}))
    return found


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
