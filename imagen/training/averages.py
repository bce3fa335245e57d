"""Averages that a run keeps while it trains, in half precision, and the one of any length that is made of them afterwards.

RUN/averages/step-00001000/   as a sharded checkpoint (sharded.py): {"step", "lengths": {"0.05": {name: tensor}, ...}}
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from imagen.training import sharded
from imagen.training.background import Background
from imagen.training.profiles import Profile, gamma_of, missed, mixture
from imagen.training.saved import plain_tensor, shapes
from imagen.training.sharded import Rows

FAR = 0.1  # of a profile: what cannot be put together better than that is refused
LATEST = 10**15  # of steps; a number that is none otherwise


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
    """(step, its folder) of what was kept, ascending. ValueError when `folder` leads elsewhere, or is none."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise _damaged(folder)
    for path in sorted(folder.glob("step-*")):
        if re.fullmatch(r"step-[0-9]{8,}", path.name):
            yield int(path.name[5:]), path


def of_length(
    folder: Path, length: float, step: int, expected: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, Tensor], float]:
    """The average of `length` at the last step of `folder` up to `step`, made of those that were kept until then: {name: float32
    tensor}, of the names and shapes `expected`; and how far its profile is from the wanted one (0 exact, 1 nothing in common).
    ValueError when nothing was kept, or nothing that comes near, or what was kept is of another network or damaged."""
    try:
        gamma = gamma_of(length)
    except ValueError as error:
        raise ValueError(f"ema={length:g}: {error}") from None
    found = [(path, _read(path, expected)) for at, path in steps_in(folder) if at <= step]
    kept = [(path, profile, weights) for path, averages in found for profile, weights in averages]
    if not kept:
        raise ValueError(
            f"ema={length:g}: {folder} has no averages to make it of; they are kept while training, with "
            "stage.ema.lengths=[0.05,0.1]"
        )
    profiles = [profile for _, profile, _ in kept]
    wanted = Profile(max(profile.step for profile in profiles), gamma)
    if (distance := missed(profiles, wanted)) > FAR:
        raise ValueError(
            f"ema={length:g}: what {folder} keeps ({len(found)} steps) makes no average of that length, the nearest being "
            f"{distance:.0%} off; keep more while training (stage.ema.keep_every), or ask for one nearer to those"
        )
    made: dict[str, Tensor] = {}
    for coefficient, (path, _, weights) in zip(mixture(profiles, wanted), kept):
        for name, tensor in weights.items():
            made[name] = made.get(name, torch.zeros(())) + float(coefficient) * _whole(tensor, path)
    return made, distance


def _read(
    path: Path, expected: Mapping[str, tuple[int, ...]]
) -> list[tuple[Profile, Mapping[str, Tensor | Rows]]]:
    """What was kept at a step, whose tensors may still be `Rows`: their shapes are known before they are read."""
    try:
        found = sharded.read(path, whole=False)
        step, lengths = found["step"], found["lengths"]
        if type(step) is int and 1 <= step < LATEST and path.name == f"step-{step:08d}" and lengths:
            kept = [(Profile(step, gamma_of(float(own))), weights) for own, weights in lengths.items()]
            tensors = [tensor for _, weights in kept for tensor in weights.values()]
            fit = all(isinstance(tensor, Rows) or plain_tensor(tensor) for tensor in tensors)
            if fit and all(shapes(weights) == expected for _, weights in kept):
                return kept
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
        pass
    raise _damaged(path)


def _whole(tensor: Tensor | Rows, path: Path) -> Tensor:
    """All of a kept average, float32."""
    try:
        whole = tensor.whole() if isinstance(tensor, Rows) else tensor
        if whole.is_floating_point() and (number := whole.float()).isfinite().all():
            return number
    except ValueError:
        pass
    raise _damaged(path)


def _damaged(path: Path) -> ValueError:
    return ValueError(f"{path}: no averages of a run, or damaged; remove it to go without")
