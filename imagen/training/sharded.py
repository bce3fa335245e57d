"""A checkpoint of a sharded run: a folder with a file of each rank, read again by any number of ranks.

    FOLDER/plain.ckpt                       what one process would save, its sharded tensors replaced by where they are
           rank-00000-of-00002.safetensors  each rank's rows of them, by their names

Tensors are sharded by rows (dimension 0), rank after rank. Nothing here is unpickled but plain containers and tensors.
"""

import errno
import math
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

from imagen.files import size_in_words

PLAIN = "plain.ckpt"
MARK = "sharded tensor"  # the key of what stands in plain.ckpt for one
MOST = 1 << 40  # numbers of any tensor


class Rows:
    """A tensor whose rows lie in the files of several ranks: `shape`, and `rows[a:b]` reads those alone."""

    def __init__(self, folder: Path, name: str, shape: tuple[int, ...], world: int) -> None:
        self.folder, self.name, self.shape, self.world = folder, name, shape, world

    def __getitem__(self, rows: slice) -> Tensor:
        start, stop, _ = rows.indices(self.shape[0])
        parts, at = [], 0
        for rank in range(self.world):
            with _opened(self.folder / file_of(rank, self.world)) as file:
                if self.name not in file.keys():  # noqa: SIM118
                    continue
                part = file.get_slice(self.name)
                count, *rest = part.get_shape() or [0, 0]
                if rest != [*self.shape[1:]]:
                    break
                if at < stop and at + count > start:
                    parts.append(part[max(start - at, 0) : min(stop - at, count)])
                at += count
        found = torch.cat(parts) if parts else torch.empty(0, *self.shape[1:])
        if at != self.shape[0] or tuple(found.shape) != (max(stop - start, 0), *self.shape[1:]):
            raise ValueError(f"{self.folder}: {self.name} does not have the rows that it should: damaged")
        return found

    def whole(self) -> Tensor:
        """All of it."""
        return self[:]


def file_of(rank: int, world: int) -> str:
    """The name of a rank's file."""
    return f"rank-{rank:05d}-of-{world:05d}.safetensors"


def split(checkpoint: Any) -> tuple[Any, dict[str, Tensor]]:
    """What one process would save, its sharded tensors (DTensors) replaced by where they are; and this rank's rows of
    these, on the host, by their names."""
    rows: dict[str, Tensor] = {}

    def replaced(value: Any, name: str) -> Any:
        if isinstance(value, dict):
            return {key: replaced(member, f"{name}/{key}") for key, member in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(replaced(member, f"{name}/{i}") for i, member in enumerate(value))
        if not isinstance(value, DTensor):
            return value.detach().cpu().clone() if isinstance(value, Tensor) else value
        here = value.to_local().detach().cpu().clone().contiguous()
        if not any(isinstance(placement, Shard) for placement in value.placements):
            return here
        if here.numel():
            rows[name] = here
        return {MARK: name, "shape": list(value.shape)}

    return replaced(checkpoint, ""), rows


def write(folder: Path, plain: Any, rows: dict[str, Tensor], rank: int, world: int) -> None:
    """This rank's part of a checkpoint; a file that is there is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / file_of(rank, world)
    beside = file.with_suffix(".part")
    with writing(folder):
        save_file(rows, beside)
    os.replace(beside, file)
    if rank == 0:
        save({"world": world, "checkpoint": plain}, folder / PLAIN)


def finished(folder: Path, world: int) -> bool:
    """Whether every rank's file is there."""
    return all((folder / file_of(rank, world)).exists() for rank in range(world))


def save(content: Any, path: Path) -> None:
    """torch.save; OSError when it could not be written, and nothing is left then."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.unlink()  # it would be followed, or waited for
    try:
        with writing(path.parent):
            torch.save(content, path)
    except OSError:
        path.unlink(missing_ok=True)  # half of it would only keep the disk full
        raise


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """What libraries raise when a disk is full, each in its way, as OSError."""
    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        free = size_in_words(shutil.disk_usage(folder).free)
        raise OSError(errno.EIO, f"{free} are free; {' '.join(str(error).split()):.100}") from None


def read(folder: Path, whole: bool) -> dict[str, Any]:
    """The checkpoint in a folder as one process would have saved it; sharded tensors are `Rows` unless `whole`.

    ValueError when a file is missing or damaged or leads elsewhere, or plain.ckpt holds more than plain containers and
    tensors."""
    if folder.is_symlink() or not folder.is_dir():
        raise ValueError(f"{folder}: no plain folder")
    _refuse_special(folder / PLAIN)
    try:
        saved = torch.load(folder / PLAIN, map_location="cpu", weights_only=True)
        world, checkpoint = saved["world"], saved["checkpoint"]
        if type(world) is not int or not 1 <= world <= 100_000:
            raise ValueError
    except Exception:  # a tampered pickle fails anywhere; what torch says advises to run it
        raise ValueError(f"{folder / PLAIN}: damaged, or holds what could run code") from None
    for rank in range(world):
        with _opened(folder / file_of(rank, world)):
            pass

    def found(name: str, shape: list[int]) -> Any:
        rows = Rows(folder, name, tuple(shape), world)
        return rows.whole() if whole else rows

    try:
        return _marks(checkpoint, found)
    except (_NoMark, RecursionError):
        raise ValueError(f"{folder / PLAIN}: damaged: what stands for a sharded tensor is none") from None


class _NoMark(Exception):
    """What stands in plain.ckpt for a sharded tensor has no name, or no shape."""


def _marks(value: Any, found: Callable[[str, list[int]], Any]) -> Any:
    if isinstance(value, dict):
        if MARK in value:
            name, shape = value[MARK], value.get("shape")
            if not isinstance(name, str) or not isinstance(shape, list) or not shape:
                raise _NoMark
            if any(type(n) is not int or n < 0 for n in shape) or math.prod(n or 1 for n in shape) > MOST:
                raise _NoMark
            return found(name, shape)
        return {key: _marks(member, found) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_marks(member, found) for member in value)
    return value


def part_of(value: "Tensor | Rows", like: Tensor) -> Tensor:
    """The whole of a tensor, or its rows -> what of it lives here, placed as `like`, of the same shape, is."""
    if not isinstance(like, DTensor):
        return (value.whole() if isinstance(value, Rows) else value).to(like.device)
    mesh, rank = like.device_mesh, like.device_mesh.get_local_rank()
    if isinstance(value, Rows):
        each = -(-like.shape[0] // mesh.size())
        start = min(rank * each, like.shape[0])
        here = value[start : min(start + each, like.shape[0])].to(like.device)
        return DTensor.from_local(
            here, mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
        )
    return distribute_tensor(value.to(like.device), mesh, like.placements, src_data_rank=None)


def sharded_like(value: Tensor, like: Tensor) -> Tensor:
    """The rows that live here -> the sharded tensor that they are of, placed as `like`."""
    if not isinstance(like, DTensor):
        return value
    return DTensor.from_local(
        value, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
    )


def replicated_like(value: Tensor, like: Tensor) -> Tensor:
    """A small tensor that every rank has, beside sharded ones."""
    if not isinstance(like, DTensor):
        return value.to(like.device)
    return DTensor.from_local(
        value.to(like.device), like.device_mesh, [Replicate()] * like.device_mesh.ndim, run_check=False
    )


def _refuse_special(path: Path) -> None:
    """ValueError for what would be followed elsewhere, or waited for without end: links, pipes, devices."""
    try:
        if stat.S_ISREG(path.lstat().st_mode):
            return
        reason = "no plain file"
    except OSError as error:
        reason = error.strerror or type(error).__name__
    raise ValueError(f"{path}: missing or damaged ({reason})")


def _opened(path: Path) -> Any:
    _refuse_special(path)
    try:
        return safe_open(path, "pt")
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path}: missing or damaged ({error!s:.80})") from None
