"""How several processes share a run: copies of the network (DDP), or shards of it (FSDP2, a block at a time)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
    register_fsdp_forward_method,
)

from imagen.diffusion.denoiser import Denoiser
from imagen.training import sharded
from imagen.training.background import Background


class Files(TorchCheckpointIO):
    """Checkpoints of one process, or of all of DDP; those of sharded runs can be read too. What is to be saved is copied,
    and written in the `background`."""

    def __init__(self, background: Background) -> None:
        super().__init__()
        self.background = background

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        plain, _ = sharded.split(checkpoint)
        self.background.start(partial(sharded.save, plain, Path(path)))

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if Path(path).is_dir():
            return sharded.read(Path(path).resolve(), whole=True)  # the last one is a link
        return super().load_checkpoint(path, *args, **kwargs)


class Copies(DDPStrategy):
    """A copy of the network in each process, gradients averaged: DDP, which looks for no unused parameters, as there are
    none. `timeout`: minutes that the processes wait for each other."""

    def __init__(self, timeout: float) -> None:
        super().__init__(timeout=timedelta(minutes=timeout), gradient_as_bucket_view=True)


class Sharded(ModelParallelStrategy):
    """Weights, gradients, averages and optimizer state are cut by rows among all processes; a block's weights are
    gathered when it is computed: FSDP2. `offload`: they wait in the host's memory. `timeout`: as of `Copies`; `background`: as of
    `Files`."""

    def __init__(self, timeout: float, background: Background, offload: bool = False) -> None:
        super().__init__("auto", 1, timeout=timedelta(minutes=timeout))
        self.background, self.offload = background, offload

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def setup_environment(self) -> None:
        # Lightning's "auto" is a process a node
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def lightning_module_state_dict(self) -> dict[str, Any]:
        assert self.lightning_module is not None
        return self.lightning_module.state_dict()

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        return optimizer.state_dict()

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        plain, rows = sharded.split(checkpoint)
        folder = Path(self.broadcast(filepath))
        self.background.start(partial(sharded.write, folder, plain, rows, self.global_rank, self.world_size))

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        if Path(checkpoint_path).is_dir():
            return sharded.read(Path(checkpoint_path).resolve(), whole=False)
        return torch.load(checkpoint_path, map_location="cpu", weights_only=True, mmap=True)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        assert self.lightning_module is not None
        own = self.lightning_module.state_dict()
        with torch.no_grad():
            for name, tensor in checkpoint["state_dict"].items():
                own[name].copy_(sharded.part_of(tensor, own[name]))

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            state = {
                number: {key: _placed(value, parameters[number]) for key, value in of_one.items()}
                for number, of_one in saved["state"].items()
            }
            optimizer.load_state_dict({**saved, "state": state})


def _placed(value: Any, parameter: Tensor) -> Any:
    """A part of an optimizer's state, as its parameter is placed: sharded if it has its shape, else everywhere."""
    if (
        isinstance(value, Tensor | sharded.Rows)
        and tuple(value.shape) == tuple(parameter.shape)
        and len(value.shape)
    ):
        return sharded.part_of(value, parameter)
    if isinstance(value, Tensor) and value.ndim:
        return sharded.replicated_like(value, parameter)
    return value


def shard(denoiser: Denoiser, mesh: DeviceMesh, half: bool, offload: bool) -> None:
    """Shards the network in place over all of `mesh`, a block at a time. `half`: weights are gathered, and blocks computed,
    in bfloat16; gradients are summed in float32. `offload`: see `Sharded`."""
    denoiser.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    policy = {
        "mp_policy": MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
        if half
        else MixedPrecisionPolicy(),
        "offload_policy": CPUOffloadPolicy() if offload else OffloadPolicy(),
    }
    for block in denoiser.net.units:
        fully_shard(block, mesh=mesh, **policy)
    fully_shard(denoiser, mesh=mesh, **policy)
    register_fsdp_forward_method(denoiser, "read")


@contextmanager
def gathered_once(denoiser: Denoiser) -> Iterator[None]:
    """What is computed in between gathers each block's weights once and keeps them, and leaves none behind. Sampling evaluates the
    network many times, when there are no activations of training to make room for."""
    blocks = [module for module in denoiser.modules() if isinstance(module, FSDPModule)]
    for block in blocks:
        block.set_reshard_after_forward(False, recurse=False)
    try:
        yield
    finally:
        for block in blocks:
            # the root keeps its own from the forward to the backward pass, as FSDP has it
            block.set_reshard_after_forward(block is not denoiser, recurse=False)
            block.reshard()
