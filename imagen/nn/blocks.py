"""The residual blocks of both networks.

B batch, C channels, H x W feature map, E width of the time embedding (time + pooled text + augmentation
level, after SiLU).
"""

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from imagen.nn.attention import CrossAttention, SelfAttention
from imagen.nn.layers import Norm, conv, zero

Text = tuple[Tensor, Tensor, Tensor]  # key, value (B, heads, L, c) and mask (B, L) of one attention layer


class ResBlock(nn.Module):
    """The base model's block: x (B, C_in, H, W), emb (B, E) -> (B, C_out, H', W').

    BigGAN's as in ADM (Dhariwal & Nichol, section 3.1): resampling by two inside the block, on both branches,
    before the first convolution; scale-shift norm before the second, which starts at zero. `attention`: what
    follows, if anything.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        embed_dim: int,
        resample: Literal["down", "up"] | None = None,
        attention: SelfAttention | None = None,
    ) -> None:
        super().__init__()
        self.resample, self.attention = resample, attention
        self.norm1 = Norm(channels_in)
        self.conv1 = conv(channels_in, channels_out)
        self.modulation = nn.Linear(embed_dim, 2 * channels_out)
        self.norm2 = Norm(channels_out)
        self.conv2 = zero(conv(channels_out, channels_out))
        self.shortcut = (
            conv(channels_in, channels_out, kernel=1) if channels_in != channels_out else nn.Identity()
        )

    def forward(self, x: Tensor, emb: Tensor, text: Text | None = None) -> Tensor:
        h = self.norm1(x)
        if self.resample == "down":
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        elif self.resample == "up":
            h, x = enlarge(h), enlarge(x)
        h = self.norm2(self.conv1(h), self.modulation(emb))
        x = self.shortcut(x) + self.conv2(h)
        if self.attention is None:
            return x
        assert text is not None
        return self.attention(x, *text)


class ResNetBlock(nn.Module):
    """The Efficient U-Net's block (Figure A.27): x (B, C, H, W), modulation (B, 2 C) -> (B, C, H, W).

    GroupNorm, swish, conv, GroupNorm with scale and shift, swish, conv, beside a 1x1 convolution, which
    starts as the identity.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = Norm(channels)
        self.conv1 = conv(channels, channels)
        self.norm2 = Norm(channels)
        self.conv2 = zero(conv(channels, channels))
        self.shortcut = conv(channels, channels, kernel=1)
        nn.init.dirac_(self.shortcut.weight)

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        h = self.conv1(self.norm1(x))
        return self.shortcut(x) + self.conv2(self.norm2(h, modulation))


class DBlock(nn.Module):
    """Down-sampling first (Figure A.28): x (B, C_in, H, W), emb (B, E) -> (B, C, H / 2, W / 2).

    Strided convolution, the embeddings, `blocks` ResNetBlocks, attention if any. The embeddings come in once
    a block, as the figure has them, in the form of scale and shift of every ResNetBlock's second norm, as the
    table has them.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        blocks: int,
        embed_dim: int,
        attention: SelfAttention | CrossAttention | None = None,
    ) -> None:
        super().__init__()
        self.down = conv(channels_in, channels, stride=2)
        self.modulation = nn.Linear(embed_dim, 2 * channels)
        self.blocks = nn.ModuleList(ResNetBlock(channels) for _ in range(blocks))
        self.attention = attention

    def forward(self, x: Tensor, emb: Tensor, text: Text | None = None) -> Tensor:
        x, modulation = self.down(x), self.modulation(emb)
        for block in self.blocks:
            x = block(x, modulation)
        if self.attention is None:
            return x
        assert text is not None
        return self.attention(x, *text)


class UBlock(nn.Module):
    """Up-sampling last (Figure A.29): x (B, C, H, W), emb (B, E), skip like x -> (B, C_out, 2 H, 2 W).

    The DBlock's skip / sqrt(2) is added (none at the bottom, where x is that very tensor), then as in a
    DBlock, then nearest neighbours and a convolution.
    """

    def __init__(
        self,
        channels: int,
        channels_out: int,
        blocks: int,
        embed_dim: int,
        attention: SelfAttention | CrossAttention | None = None,
    ) -> None:
        super().__init__()
        self.modulation = nn.Linear(embed_dim, 2 * channels)
        self.blocks = nn.ModuleList(ResNetBlock(channels) for _ in range(blocks))
        self.attention = attention
        self.up = conv(channels, channels_out)

    def forward(self, x: Tensor, emb: Tensor, skip: Tensor | None = None, text: Text | None = None) -> Tensor:
        if skip is not None:
            x = add_skip(x, skip)
        modulation = self.modulation(emb)
        for block in self.blocks:
            x = block(x, modulation)
        if self.attention is not None:
            assert text is not None
            x = self.attention(x, *text)
        return self.up(enlarge(x))


def add_skip(x: Tensor, skip: Tensor) -> Tensor:
    """x + skip / sqrt(2): the scaling that made the paper's super-resolution models converge faster (section
    2.4)."""
    return x.add(skip, alpha=math.sqrt(0.5))


def enlarge(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, 2 H, 2 W), nearest neighbours."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
