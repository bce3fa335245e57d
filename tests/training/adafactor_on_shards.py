"""torchrun adafactor_on_shards.py OUT: three steps of Adafactor, alone or on parameters cut by rows among the processes."""

import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from imagen.training.optimizers import Adafactor

SHAPES = [(129, 140), (200, 130), (131, 128, 3, 3), (7,), (5, 4)]

dist.init_process_group("gloo")
world, generator = dist.get_world_size(), torch.Generator().manual_seed(0)
mesh = init_device_mesh("cpu", (world,))


def drawn() -> list:
    tensors = [torch.randn(shape, generator=generator) for shape in SHAPES]
    return [distribute_tensor(tensor, mesh, [Shard(0)]) for tensor in tensors] if world > 1 else tensors


parameters = [nn.Parameter(tensor) for tensor in drawn()]
optimizer = Adafactor(parameters, lr=0.1)
for _ in range(3):
    for parameter, gradient in zip(parameters, drawn(), strict=True):
        parameter.grad = gradient
    optimizer.step()
whole = [p.full_tensor() if isinstance(p, DTensor) else p for p in parameters]
if dist.get_rank() == 0:
    torch.save([tensor.detach().clone() for tensor in whole], sys.argv[1])
dist.destroy_process_group()
