"""Averages that a run keeps while it trains, in half precision, and the one of any length that is made of them afterwards.

RUN/averages/step-00001000/   as a sharded checkpoint (sharded.py): {"step", "lengths": {"0.05": {name: tensor}, ...}}
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imagen.training import sharded
from imagen.training.background import Background
from imagen.training.profiles import Profile, gamma_of, missed, mixture

FAR = 0.1  # of a profile: what cannot be put together better than that is refused


def keeper(
    folder: Path, background: Background, rank: int, world: int
) -> Callable[[int, dict[float, dict[str, Tensor]]], None]:
    """What `EMA.keep` is to be: copies this rank's part and writes it in the background. `world`: ranks that have parts."""

    def keep(step: int, averages: dict[float, dict[str, Tensor]]) -> None:
        halves = {f"{length:g}": {n: t.half() for n, t in w.items()} for length, w in averages.items()}
        plain, rows = sharded.split({"step": step, "lengths": halves})
        background.start(partial(sharded.write, folder / f"step-{step:08d}", plain, rows, rank, world))

    return keep


def steps_in(folder: Path) -> Iterator[tuple[int, Path]]:
    """(step, its folder) of what was kept, ascending."""
    for path in sorted(folder.glob("step-*")):
        if re.fullmatch(r"step-\d{8,}", path.name) and path.is_dir() and not path.is_symlink():
            yield int(path.name[5:]), path


def of_length(folder: Path, length: float, step: int) -> tuple[dict[str, Tensor], float]:
    """The average of `length` at the last step of `folder` up to `step`, made of those that were kept until then: {name: float32
    tensor}; and how far its profile is from the wanted one (0 exact, 1 nothing in common). ValueError when nothing was
    kept, or nothing that comes near."""
    gamma = gamma_of(length)
    found = [_read(path) for at, path in steps_in(folder) if at <= step]
    kept = [(Profile(f["step"], gamma_of(float(own))), w) for f in found for own, w in f["lengths"].items()]
    if not kept:
        raise ValueError(
            f"ema={length:g}: {folder} has no averages to make it of; they are kept while training, with "
            "stage.ema.lengths=[0.05,0.1]"
        )
    profiles = [profile for profile, _ in kept]
    wanted = Profile(max(profile.step for profile in profiles), gamma)
    if (distance := missed(profiles, wanted)) > FAR:
        raise ValueError(
            f"ema={length:g}: what {folder} keeps ({len(found)} steps) makes no average of that length, the nearest being "
            f"{distance:.0%} off; keep more while training (stage.ema.keep_every), or ask for one nearer to those"
        )
    made: dict[str, Tensor] = {}
    for coefficient, (_, weights) in zip(mixture(profiles, wanted), kept):
        for name, tensor in weights.items():
            if not isinstance(tensor, Tensor) or (name in made and made[name].shape != tensor.shape):
                raise ValueError(f"{folder}: {name!s:.80} is no tensor, or not of one shape: damaged")
            made[name] = made.get(name, torch.zeros(())) + float(coefficient) * tensor.float()
    return made, distance


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = sharded.read(path, whole=True)
        if type(found["step"]) is int and found["step"] >= 1 and all(float(k) > 0 for k in found["lengths"]):
            return found
    except (KeyError, TypeError, AttributeError):
        pass
    raise ValueError(f"{path}: no averages of a run, or damaged; remove it to go without")
