"""What all contestants are given: the same pictures and texts."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

TEXT_LENGTH, TEXT_DIM = 32, 512
GUIDANCE = 5.0


@dataclass(frozen=True)
class Setting:
    """`x`, `noise` (B, 3, R, R), `text` (B, L, D), `mask` (B, L) bool, `t` (B,) in [0, 1].

    For super-resolution also `lowres` (B, 3, R, R), enlarged already, and `level` (B,) in [0, 1], its noise.
    """

    x: Tensor
    noise: Tensor
    text: Tensor
    mask: Tensor
    t: Tensor
    lowres: Tensor | None = None
    level: Tensor | None = None


def setting(resolution: int, batch: int, lowres: bool) -> Setting:
    """Random pictures and full-length texts: no padding, so who ignores the mask does the same work."""
    random = torch.Generator().manual_seed(0)
    x, noise, low = (
        torch.randn(batch, 3, resolution, resolution, generator=random).clamp(-1, 1) for _ in range(3)
    )
    t, level = (torch.rand(batch, generator=random) for _ in range(2))
    text = torch.randn(batch, TEXT_LENGTH, TEXT_DIM, generator=random)
    mask = torch.ones(batch, TEXT_LENGTH, dtype=torch.bool)
    return Setting(x, noise, text, mask, t, low if lowres else None, level if lowres else None)


def base() -> Setting:
    """64 x 64, four pictures."""
    return setting(64, 4, lowres=False)


def efficient() -> Setting:
    """64 -> 256, two pictures."""
    return setting(256, 2, lowres=True)


def precision(bf16: bool) -> AbstractContextManager:
    """float32, or products in bfloat16 with weights, loss and optimizer in float32 (autocast), for anyone."""
    return torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext()


def tail(**variant: bool) -> str:
    """What is added to a contestant's name."""
    return "".join(f", {name.replace('_', '-')}" for name, on in variant.items() if on)
