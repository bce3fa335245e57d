"""Reading a run's checkpoint: whole, plain, and fit to be exported or resumed; or one line of what is wrong."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imagen.checkpoint import differences, sound
from imagen.training.run_folder import differences as changed_keys
from imagen.training.run_folder import listed
from imagen.training.sharded import Rows
from imagen.training.sharded import read as read_sharded

REMEDY = "put a whole copy of it back, or train anew under another name="


def read_checkpoint(path: Path, whole: bool = True) -> dict[str, Any]:
    """A checkpoint of imagen-train, read with weights_only=True, its tensors mapped and not yet in memory; those of
    a sharded run put together, if `whole`, or else `Rows` of theirs.

    `imagen` {"stage", "resolution", "network"}, `global_step`, `ema` {"updates", "weights": {name: tensor}} and
    `state_dict` are there and of their types; whether the weights fit a network is for the caller to say.
    ValueError names the file."""
    if path.is_dir():
        folder = path.resolve()
        if folder.parent != path.parent.resolve():
            raise ValueError(f"{path}: leads out of its folder, to {folder}; {REMEDY}")
        try:
            checkpoint: Any = read_sharded(folder, whole)
        except ValueError as error:
            raise ValueError(f"{error}; {REMEDY}") from None
    else:
        if not path.is_file():  # of a pipe nobody may ever write the other end
            raise ValueError(f"{path}: no plain file; {REMEDY}")
        _check_whole(path)
        try:
            checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except Exception:  # a tampered pickle fails anywhere; what torch says advises to run it
            raise ValueError(
                f"{path}: refused: it holds more than tensors and plain values, which could run code, or is "
                f"damaged; {REMEDY}"
            ) from None
    if problem := _problem(checkpoint):
        raise ValueError(f"{path}: not a checkpoint of imagen-train, or damaged: {problem}; {REMEDY}")
    return checkpoint


def check_resumable(path: Path, stage: Any) -> None:
    """ValueError, naming the file `path`, when training of `stage` (training/stage.py) cannot go on from it."""
    checkpoint = read_checkpoint(path, whole=False)
    if changed := changed_keys(checkpoint["imagen"], stage.identity):
        raise ValueError(f"{path}: the checkpoint is of another stage: {listed(changed)}")
    net = dict(stage.denoiser.net.named_parameters())
    lengths = checkpoint["ema"].get("lengths", {})
    for what, saved, own in (
        ("state_dict", checkpoint["state_dict"], stage.state_dict()),
        ("EMA weights", checkpoint["ema"]["weights"], net),
        *((f"averages of length {length!s:.20}", kept, net) for length, kept in lengths.items()),
    ):
        if problem := differences(shapes(own), shapes(saved)):
            raise ValueError(f"{path}: its {what} do not fit the network: {problem}; {REMEDY}")
        for name, tensor in saved.items():
            if isinstance(tensor, Tensor):  # rows of a sharded one are looked at by whom they are for
                sound(tensor, f"{path}: {what}: {name}")
    optimizers = checkpoint.get("optimizer_states")
    if not (
        isinstance(optimizers, list)
        and len(optimizers) == 1
        and isinstance(optimizers[0], dict)
        and {"state", "param_groups"} <= set(optimizers[0])
        and all(
            isinstance(checkpoint.get(key), kind) for key, kind in (("loops", dict), ("lr_schedulers", list))
        )
    ):
        raise ValueError(f"{path}: it has no state of the optimizer to go on from; {REMEDY}")


def shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of each."""
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def _check_whole(path: Path) -> None:
    """ValueError unless every part of the file has its checksum: mapped tensors are read without that."""
    try:
        with zipfile.ZipFile(path) as file:
            if (damaged := file.testzip()) is None:
                return
        reason = f"{damaged} has another checksum"
    except Exception as error:  # a damaged header can ask zipfile for anything
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    raise ValueError(f"{path}: refused: damaged or cut off ({reason:.80}); {REMEDY}") from None


def _problem(checkpoint: Any) -> str:
    """What a checkpoint of ours has and this has not; "" when there is nothing."""
    if not isinstance(checkpoint, dict):
        return f"it holds {type(checkpoint).__name__}, not a dict"
    kinds = {"imagen": dict, "ema": dict, "state_dict": dict, "global_step": int}
    for key, kind in kinds.items():
        if not isinstance(checkpoint.get(key), kind):
            return f"it has no {key}, or not as {kind.__name__}"
    if missing := {"stage", "resolution", "network"} - set(checkpoint["imagen"]):
        return f"imagen has no {', '.join(sorted(missing))}"
    ema = checkpoint["ema"]
    updates, lengths = ema.get("updates"), ema.get("lengths", {})
    if not isinstance(ema.get("weights"), dict) or type(updates) is not int or updates < 0:
        return "ema has no weights or updates"
    if not isinstance(lengths, dict) or not all(isinstance(weights, dict) for weights in lengths.values()):
        return "ema.lengths are no averages"
    kept = [(f"ema.lengths.{length!s:.20}", weights) for length, weights in lengths.items()]
    for what, weights in (("ema.weights", ema["weights"]), *kept, ("state_dict", checkpoint["state_dict"])):
        for name, tensor in weights.items():
            if not isinstance(name, str) or not (isinstance(tensor, Rows) or plain_tensor(tensor)):
                return f"{what}: {name!s:.80} is not a tensor"
    return ""


def plain_tensor(tensor: Any) -> bool:
    """Whether that is a tensor in memory that has each of its numbers: one that is expanded asks for any number of them
    once something is made of it."""
    if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or tensor.device.type != "cpu":
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
