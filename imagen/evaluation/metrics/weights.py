"""Weights that a person puts there: found, hashed and, where they are not there, named with the hash and the place."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from imagen.text.weights import fingerprint, sha256


def checked_file(path: str | Path, expected: str | None, option: str, source: str) -> tuple[Path, str]:
    """The weights file `path` and its sha256. `expected`: the sha256 it must have, None for any. `option`, `source`: what
    sets the path, and where the file comes from, for messages.

    ValueError names the file, its hash and where to put it, when it is not there or another one."""
    file = Path(path).expanduser()
    wanted = f"sha256 {expected}" if expected else "any sha256; it is recorded"
    if not file.is_file():
        raise ValueError(
            f"{option}={path}: no such file; put {source} there ({wanted}), nothing is downloaded here"
        )
    found = sha256(file)
    if expected and found != expected:
        raise ValueError(f"{option}={path}: sha256 {found}, not {expected}; put {source} there")
    return file, found


def checked_folder(path: str | Path, expected: str | None, option: str, source: str) -> tuple[Path, str]:
    """A folder of transformers and the fingerprint of its safetensors weights ("sha256:..."; "sampled:..." over 2 GiB).
    `expected`: the fingerprint it must have, None for any. ValueError as `checked_file`; other weights than safetensors
    are not read."""
    folder = Path(path).expanduser()
    wanted = f"weights {expected}" if expected else "any hash; it is recorded"
    fetch = f"fetch it elsewhere: hf download {source} --local-dir FOLDER"
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"{option}={path}: no config.json there; give the folder of {source} ({wanted}), {fetch}"
        )
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise ValueError(
            f"{option}={path}: no model.safetensors there ({wanted}; other formats are not read); {fetch}"
        )
    found = fingerprint(files)
    if expected and found != expected:
        raise ValueError(f"{option}={path}: its weights are {found}, not {expected}; {fetch}")
    return folder, found


def read_tensors(file: Path, option: str) -> dict[str, Tensor]:
    """The tensors of a .pth file, read with `weights_only`: no code of it runs. ValueError when it holds anything else."""
    try:
        found: Any = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as error:
        raise ValueError(f"{option}={file}: cannot be read as tensors ({first_line(error)})") from None
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ValueError(f"{option}={file}: holds no state dict of tensors")
    return found


def first_line(error: Exception) -> str:
    """What of an exception fits into one line."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:150]


def load_strictly(module: torch.nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    """Put `tensors` into `module`: all of them and nothing else, finite and of its shapes; ValueError otherwise."""
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    # how often a batch norm was updated is no weight, and files leave it out
    expected = {name: shape for name, shape in expected.items() if not name.endswith("num_batches_tracked")}
    found = {name: value for name, value in tensors.items() if not name.endswith("num_batches_tracked")}
    wrong = sorted(
        name for name in {*expected, *found} if name not in found or tuple(found[name].shape) != expected.get(name)
    )  # fmt: skip
    if wrong:
        raise ValueError(f"{where}: missing, unknown or of another shape: {', '.join(wrong[:4])}")
    if bad := [name for name, value in found.items() if not value.isfinite().all()]:
        raise ValueError(f"{where}: {bad[0]} holds NaN or infinite weights; fetch it again")
    module.load_state_dict(found, strict=False)


@contextmanager
def offline() -> Iterator[None]:
    """Within it the hub's client fetches nothing: packages of others that would download in silence fail instead."""
    from huggingface_hub import constants

    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    before, switch = {name: os.environ.get(name) for name in names}, constants.HF_HUB_OFFLINE
    os.environ.update(dict.fromkeys(names, "1"))
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = switch
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
