"""The noise level, and the place of a pixel, as vectors."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NoiseEmbedding(nn.Module):
    """logsnr (B,), any real but meant for [-20, 20] -> (B, E): sines and cosines, then two linear layers.

    Wavelengths run geometrically from 0.8 to 200 in logsnr, so that the vector changes smoothly and no two
    levels of a schedule clipped at +-15 share one.
    """

    def __init__(self, features: int, embed_dim: int) -> None:
        super().__init__()
        self.pairs = features // 2
        self.mlp = nn.Sequential(
            nn.Linear(2 * self.pairs, embed_dim), nn.SiLU(), nn.Linear(embed_dim, embed_dim)
        )

    def forward(self, logsnr: Tensor) -> Tensor:
        weight = self.mlp[0].weight
        assert isinstance(weight, Tensor)
        exact = torch.float64 if weight.dtype == torch.float64 else torch.float32
        exponents = torch.linspace(-5, 3, self.pairs, device=logsnr.device, dtype=exact)
        angle = logsnr.to(exact)[:, None] * torch.exp2(exponents)
        return self.mlp(torch.cat([angle.sin(), angle.cos()], dim=1).to(weight.dtype))


class Conditions(nn.Module):
    """logsnr (B,), pooled text (B, E), lowres_logsnr (B,) or None -> emb (B, E), what every block is told: the sum
    of time, text and, with `lowres`, the augmentation level of the low-resolution picture (appendix B), after
    SiLU."""

    def __init__(self, features: int, embed_dim: int, lowres: bool) -> None:
        super().__init__()
        self.time = NoiseEmbedding(features, embed_dim)
        self.lowres_level = NoiseEmbedding(features, embed_dim) if lowres else None

    def forward(self, logsnr: Tensor, pooled: Tensor, lowres_logsnr: Tensor | None) -> Tensor:
        emb = self.time(logsnr) + pooled
        if self.lowres_level is not None:
            assert lowres_logsnr is not None
            emb = emb + self.lowres_level(lowres_logsnr)
        return F.silu(emb)


def beside(z: Tensor, lowres: Tensor | None) -> Tensor:
    """z and lowres (B, 3, H, W) -> (B, 6, H, W), or z alone; channels-last."""
    joined = z if lowres is None else torch.cat([z, lowres], dim=1)
    return joined.contiguous(memory_format=torch.channels_last)


class PlaceEmbedding(nn.Module):
    """x (B, E, H, W) -> x + a map of places: the same linear function of (x, y) in [-1, 1] and their slowest
    sines and cosines at every resolution.

    Not in the paper, whose networks know places from the padding of their convolutions alone. Small networks
    that train for minutes learn sooner with it where "left of" is."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Conv2d(8, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (torch.linspace(-1, 1, side, device=x.device) for side in x.shape[-2:])
        places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
        waves = [places, (math.pi / 2 * places).sin(), (math.pi * places).sin(), (math.pi * places).cos()]
        return x + self.linear(torch.cat(waves)[None].to(x.dtype))
