"""A release folder: `cascade.json` and one safetensors file a stage. No pickle, no Hydra.

    release/
      cascade.json        the stages in ascending resolution, the text encoder, recommended settings
      base64.safetensors  EMA weights of a stage, named as in the network's state dict
      sr256.safetensors
      card.md             for people: what it is, was trained on and is worth; may be missing, and is never read here

Every part (network, schedule, text encoder, sampler) is written as {"class": NAME, "arguments": {plain JSON}}
and rebuilt only from a fixed table of classes, so that a release from elsewhere can choose among ours and no
more."""

import hashlib
import inspect
import json
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from imagen.diffusion.denoiser import Predict
from imagen.diffusion.schedule import CosineSchedule, LinearSchedule
from imagen.files import read_json, shared
from imagen.nn import NETWORKS
from imagen.text import HashedWords, MiniLM, TransformersEncoder

INDEX = "cascade.json"
CARD = "card.md"
FORMAT = 1
Description = dict[str, Any]
Table = Mapping[str, Callable[..., Any]]
SCHEDULES: Table = {"CosineSchedule": CosineSchedule, "LinearSchedule": LinearSchedule}
ENCODERS: Table = {"HashedWords": HashedWords, "MiniLM": MiniLM, "TransformersEncoder": TransformersEncoder}


@dataclass(frozen=True)
class StageRecord:
    """What rebuilds one stage for sampling: plain JSON values only.

    `network`, `schedule`: descriptions (`describe`). `predict`: "eps", "x" or "v". `lowres`: None for a base
    stage, else {"resolution": r, "schedule": description} of the low-resolution input and its noise
    augmentation. `parameters`, `steps` (of training), `version` (of this package) are for the reader.
    `sha256` is of the weights file `file`, a name inside the release folder."""

    name: str
    resolution: int
    predict: Predict
    schedule: Description
    network: Description
    lowres: Description | None = None
    parameters: int = 0
    steps: int = 0
    version: str = ""
    file: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Release:
    """`cascade.json`: stages in ascending resolution; `text`, the description of the encoder and its "key";
    `sampling`, recommended settings that `Cascade.sample` falls back on, each one value or a list of one a
    stage. The encoder's "key" is what it was known to be when the stages were trained."""

    stages: list[StageRecord]
    text: Description
    sampling: Description = field(default_factory=dict)


def describe(part: Any) -> Description:
    """A part as {"class", "arguments"}: its own `.arguments` if it has any, else the attributes named as its
    constructor's parameters are."""
    arguments = getattr(part, "arguments", None)
    if arguments is None:
        arguments = {name: getattr(part, name) for name in inspect.signature(type(part)).parameters}
    return {"class": type(part).__name__, "arguments": dict(arguments)}


def restore(description: Any, table: Table, where: str) -> Any:
    """The part that `description` names, from `table` alone. ValueError, beginning with `where`, for anything
    else."""
    if not isinstance(description, dict) or set(description) != {"class", "arguments"}:
        raise ValueError(
            f'{where}: expected {{"class": ..., "arguments": {{...}}}}, found {description!r:.80}'
        )
    name, arguments = description["class"], description["arguments"]
    if not isinstance(name, str) or name not in table:
        raise ValueError(f"{where}: unknown class {name!r:.80}; known: {', '.join(sorted(table))}")
    if not isinstance(arguments, dict):
        raise ValueError(f"{where}: the arguments of {name} must be an object, found {arguments!r:.80}")
    try:
        return table[name](**arguments)
    except Exception as error:  # arguments from outside, of any kind, can fail anywhere in a constructor
        raise ValueError(f"{where}: {name} cannot be built with these arguments: {error!s:.300}") from error


def write_release(
    folder: str | Path,
    stages: Iterable[tuple[StageRecord, Mapping[str, Tensor]]],
    text: Description,
    sampling: Description | None = None,
    card: Callable[[str], str] | None = None,
) -> Path:
    """Write a release: (record, weights) of each stage, in ascending resolution; `file` and `sha256` are
    filled in here. `card`: the sha256 of cascade.json -> the text of card.md.

    The folder is written aside and put in place whole; an earlier release there is replaced only then, and
    stays as it is on any error. ValueError when `folder` holds something that is not a release, or for a name
    unfit for a file."""
    folder = Path(folder)
    if folder.exists() and not (folder / INDEX).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"out={folder}: holds something that is not a release; give a new folder")
    with _aside(folder) as aside:
        new, records = aside / "new", []
        new.mkdir()
        for record, weights in stages:
            file = f"{plain_name(record.name, 'stage name')}.safetensors"
            if (new / file).exists():
                raise ValueError(f"two stages are named {record.name!r}; name runs apart with stage.name=...")
            save_file({k: v.detach().cpu().contiguous() for k, v in weights.items()}, new / file)
            shared(new / file)
            records.append(asdict(record) | {"file": file, "sha256": sha256(new / file)})
        content = {"format": FORMAT, "stages": records, "text": text, "sampling": sampling or {}}
        written = json.dumps(content, indent=2, allow_nan=False) + "\n"
        _checked(json.loads(written), folder / INDEX)
        (new / INDEX).write_text(written, encoding="utf-8")
        if card is not None:
            text_of_card = card(sha256(new / INDEX))
            (new / CARD).write_text(text_of_card, encoding="utf-8", errors="backslashreplace")
        if folder.exists():
            os.replace(folder, aside / "earlier")
        try:
            os.replace(new, folder)
        except OSError:
            if (aside / "earlier").exists():
                os.replace(aside / "earlier", folder)
            raise
    return folder


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder`, gone afterwards; what keeps it from being written is said of
    `folder`."""
    aside = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        yield aside
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise ValueError(
            f"out={folder}: cannot be written ({reason:.120}); make room, or give another folder"
        ) from None
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def read_release(folder: str | Path) -> Release:
    """Read and check `cascade.json`; no weights are read. ValueError names the file and the field that is
    wrong."""
    path = Path(folder) / INDEX
    if not path.is_file():
        raise ValueError(f"release={folder}: no {INDEX} there; give a folder that imagen-export wrote")
    return _checked(read_json(path, "export the release again, or copy it again whole"), path)


def _checked(content: Description, path: Path) -> Release:
    """What cascade.json holds, as a release. `path` is for messages: the file it was, or is to be."""
    if content.get("format") != FORMAT:
        raise ValueError(f'{path}: expected "format": {FORMAT}; written by another version, or not a release')
    if unknown := sorted(set(content) - {"format", "stages", "text", "sampling"}):
        raise ValueError(f"{path}: unknown keys: {', '.join(unknown):.80}; written by another version")
    stages, text, sampling = (content.get(key) for key in ("stages", "text", "sampling"))
    if not (isinstance(stages, list) and stages and isinstance(text, dict) and isinstance(sampling, dict)):
        raise ValueError(f'{path}: needs "stages" (a list), "text" and "sampling" (objects)')
    if not isinstance(text.get("key"), dict):
        raise ValueError(f'{path}: text: needs "key", which says what encoder the stages were trained with')
    records = [_record(entry, f"{path}: stage {i}") for i, entry in enumerate(stages)]
    for what, values in (("named", [r.name for r in records]), ("kept in", [r.file for r in records])):
        if twice := [value for value in values if values.count(value) > 1]:
            raise ValueError(f"{path}: two stages are {what} {twice[0]!r}; each needs its own")
    return Release(records, text, sampling)


def load_network(folder: str | Path, record: StageRecord, device: torch.device | str = "cpu") -> nn.Module:
    """The network of a stage with its weights, in eval mode, float32, channels-last, without gradients.

    Strict: every tensor of the network must be in the file with its shape, and nothing else; the file must
    have the hash that `cascade.json` records. Names and shapes are compared before anything is allocated."""
    path = Path(folder) / plain_name(record.file, f"{Path(folder) / INDEX}: stage {record.name}: file")
    if not path.is_file():
        raise ValueError(f"{path}: missing; {INDEX} names it as the weights of stage {record.name}")
    if sha256(path) != record.sha256:
        raise ValueError(
            f"{path}: not the file that {INDEX} records (sha256 differs); copy or export it again"
        )
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            where = f"{Path(folder) / INDEX}: stage {record.name}: network"
            net = empty_network(record.network, len(found), where)
            expected = net.state_dict()
            if problem := differences({k: tuple(v.shape) for k, v in expected.items()}, found):
                raise ValueError(f"{path}: does not fit stage {record.name}: {problem}")
            weights = {k: sound(file.get_tensor(k), f"{path}: {k}").to(device, torch.float32) for k in found}
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file: {error}") from error
    net.load_state_dict(weights, assign=True)
    assert not any(t.is_meta for t in [*net.parameters(), *net.buffers()]), (
        "a network's buffers must be persistent"
    )
    return net.requires_grad_(False).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def empty_network(description: Any, tensors: int, where: str) -> nn.Module:
    """The network that `description` names, on the meta device: nothing is allocated. Building stops once it
    has far more than `tensors` parameters, as many as there are weights for: a description from outside may
    ask for any number of blocks. (Where a few weights are missing, `differences` names them.)"""
    registered, thread = 0, threading.get_ident()

    def count(module: nn.Module, name: str, parameter: Any) -> None:
        nonlocal registered
        registered += parameter is not None and threading.get_ident() == thread
        if registered > 2 * tensors + 100:
            raise ValueError(f"it asks for far more than the {tensors} tensors that the weights have")

    hook = register_module_parameter_registration_hook(count)
    try:
        with torch.device("meta"):
            return restore(description, NETWORKS, where)
    finally:
        hook.remove()


def sound(tensor: Tensor, where: str) -> Tensor:
    """`tensor`, if a network can work with it; ValueError, beginning with `where`, for weights that are no
    floating-point numbers, infinite, or not numbers."""
    if not tensor.is_floating_point():
        raise ValueError(f"{where}: weights must be floating-point numbers, found {tensor.dtype}")
    if not tensor.isfinite().all():
        raise ValueError(f"{where}: holds infinite weights, or some that are not numbers (NaN); it is spoilt")
    return tensor


def differences(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> str:
    """Names and shapes that differ, in words, the first five of each kind; "" when none do."""
    shapes = [
        f"{k} is {found[k]}, not {expected[k]}" for k in expected if k in found and found[k] != expected[k]
    ]
    kinds = {
        "missing": [k for k in expected if k not in found],
        "unexpected": [k for k in found if k not in expected],
        "other shapes": shapes,
    }
    return "; ".join(
        f"{kind}: {', '.join(names[:5])}" + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        for kind, names in kinds.items()
        if names
    )


def plain_name(name: Any, what: str) -> str:
    """`name` if it can only be a file of the folder it is joined to; ValueError otherwise."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,119}", name):
        raise ValueError(
            f"{what}: {name!r:.80} must be a plain name: at most 120 letters, digits, '_', '-', '.' and '+'"
        )
    return name


def sha256(path: Path) -> str:
    """The file's hash, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _record(entry: Any, where: str) -> StageRecord:
    kinds = {
        f.name: {int: int, Description: dict, Description | None: dict}.get(f.type, str)
        for f in fields(StageRecord)
    }
    if not isinstance(entry, dict) or set(entry) != set(kinds):
        keys = sorted(set(entry) ^ set(kinds)) if isinstance(entry, dict) else [repr(entry)[:80]]
        raise ValueError(f"{where}: keys missing or unknown: {', '.join(keys)}")
    for key, value in entry.items():
        if not (isinstance(value, kinds[key]) or (key == "lowres" and value is None)) or isinstance(
            value, bool
        ):
            raise ValueError(f"{where}: {key} has the wrong type: {value!r:.80}")
    if entry["predict"] not in ("eps", "x", "v"):
        raise ValueError(f'{where}: predict is {entry["predict"]!r:.80}; known: "eps", "x", "v"')
    if not 1 <= entry["resolution"] <= 16384:
        raise ValueError(f"{where}: resolution is {entry['resolution']}; it must be from 1 to 16384")
    lowres = entry["lowres"]
    if lowres is not None and (
        set(lowres) != {"resolution", "schedule"}
        or type(lowres["resolution"]) is not int
        or not 1 <= lowres["resolution"] < entry["resolution"]
    ):
        raise ValueError(
            f'{where}: lowres must be null or {{"resolution": ..., "schedule": ...}}, of less resolution'
        )
    plain_name(entry["name"], f"{where}: name")
    plain_name(entry["file"], f"{where}: file")
    restore(entry["schedule"], SCHEDULES, f"{where}: schedule")
    if lowres is not None:
        restore(lowres["schedule"], SCHEDULES, f"{where}: lowres: schedule")
    return StageRecord(**entry)
