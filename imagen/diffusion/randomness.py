"""Randomness as an argument: one generator an image, so that an image depends on its own seed alone.

In sampling the seed is the user's. In training it is made of (seed, step, position in the global batch), so
that a step's noise depends neither on history, nor on rank, nor on the number of devices.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def mix(*parts: int | str) -> int:
    """A 63-bit seed made of `parts`: the same on every machine and in every process."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class Randomness:
    """Draws for a batch, one independent generator an image.

    `seeds`: one whole number an image (B of them). `device`: where the draws are made and returned.
    The draws of image i depend on `seeds[i]` and on how often it drew before, never on its batch.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.generators = [torch.Generator(self.device).manual_seed(mix(seed)) for seed in seeds]

    @classmethod
    def for_step(
        cls, seed: int, step: int, positions: Sequence[int], device: torch.device | str = "cpu"
    ) -> "Randomness":
        """The draws of training step `step` for the images at `positions` of the global batch."""
        return cls([mix("step", seed, step, position) for position in positions], device)

    def __len__(self) -> int:
        return len(self.generators)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal (B, *shape), float32."""
        return torch.stack([torch.randn(shape, generator=g, device=self.device) for g in self.generators])

    def uniform(self, *shape: int) -> Tensor:
        """Uniform on [0, 1), (B, *shape), float32; (B,) when no shape is given."""
        return torch.stack([torch.rand(shape, generator=g, device=self.device) for g in self.generators])

    def integers(self, high: Tensor) -> Tensor:
        """Whole numbers on [0, high[i]), (B,) int64; `high` is (B,) of positive whole numbers."""
        return (self.uniform() * high).long().clamp(max=high - 1)
