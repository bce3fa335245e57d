"""The layers everything is made of: convolutions as they are initialised here, and group normalisation with
what follows it."""

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def at_least(least: int, **sizes: int | Sequence[int]) -> None:
    """ValueError naming the first of `sizes`, a number or a list of them, that is empty or below `least`."""
    for name, size in sizes.items():
        numbers = list(size) if isinstance(size, Sequence) else [size]
        if not numbers or min(numbers) < least:
            raise ValueError(f"{name}={size}: must be at least {least}")


def zero(module: Module) -> Module:
    """The module with all parameters 0, so that a residual branch or a network starts as nothing."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def conv(channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A padded convolution that keeps the variance of its input (PyTorch's own initialisation divides it by
    three)."""
    layer = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def groups_of(channels: int) -> int:
    """32 groups as in the paper's networks, fewer where that leaves under 4 channels a group: a group of one
    channel would take the mean colour out of narrow networks."""
    return max(1, min(math.gcd(channels, 32), channels // 4))


class Norm(nn.Module):
    """y = act(group_norm(x) (1 + scale) + shift), "scale-shift norm" of Dhariwal & Nichol (arXiv 2105.05233,
    section 3.1).

    x (B, C, H, W); `modulation` (B, 2 C) holds scale and shift, None for neither. `silu`: whether SiLU
    follows.
    """

    def __init__(self, channels: int, silu: bool = True) -> None:
        super().__init__()
        self.groups, self.silu = groups_of(channels), silu
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, modulation: Tensor | None = None) -> Tensor:
        # Statistics in float32 where the rest is in 16 bits, as autocast has it on CUDA; the CPU's backward pass
        # in bfloat16 is slower besides.
        wide = x if x.element_size() >= 4 else x.float()
        weight, bias = self.weight.to(wide.dtype), self.bias.to(wide.dtype)
        y = F.group_norm(wide, self.groups, weight, bias).to(x.dtype)
        if modulation is not None:
            scale, shift = modulation[:, :, None, None].chunk(2, dim=1)
            y = torch.addcmul(shift, y, 1 + scale)
        return F.silu(y) if self.silu else y
