"""The noise level as a vector."""

import torch
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
