"""The base network: ADM's U-Net with text in its self-attention.

B batch, R resolution (H x W in general), L text tokens, D text width, E width of the time embedding.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from imagen.nn.attention import SelfAttention
from imagen.nn.blocks import ResBlock
from imagen.nn.embeddings import Conditions, PlaceEmbedding, beside
from imagen.nn.layers import Norm, at_least, conv, zero
from imagen.nn.text import Conditioning, TextConditioner, TextContext


class UNet(nn.Module):
    """z (B, 3, R, R), logsnr (B,), context -> (B, 3, R, R), zero at initialisation.

    The paper's 2B model (appendix F.1) is width 512, multipliers 1 2 3 4, 3 blocks a level, attention at the
    three lowest levels, 64 channels a head. `attention`: for each level whether its blocks attend to
    themselves and the text. `text_dim`: width D of the text encoder. `lowres`: whether a low-resolution
    picture (B, 3, R, R) is concatenated to z, and its noise level `lowres_logsnr` (B,) added to the time
    embedding (super-resolution). `embed_dim`: E, 4 width when None (not stated in the paper).
    `places`: whether pixels are told where they are (the paper's are not). `conditioning`: how the text is read.
    `checkpointing`: blocks are computed again in the backward pass instead of kept. R must divide by
    `downsampling`.

    `net.text(text_emb, text_mask)` makes the context; it depends on neither z nor logsnr, so a sampling run
    makes it once.
    """

    def __init__(
        self,
        text_dim: int,
        width: int,
        multipliers: Sequence[int],
        blocks: int,
        attention: Sequence[bool],
        head_channels: int = 64,
        embed_dim: int | None = None,
        lowres: bool = False,
        places: bool = False,
        conditioning: Conditioning = "sequence",
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if len(attention) != len(multipliers):
            raise ValueError(
                f"attention={list(attention)} has {len(attention)} entries for the {len(multipliers)} levels "
                f"of multipliers={list(multipliers)}: give one true or false a level"
            )
        at_least(2, width=width)  # a sine and a cosine of the noise level
        at_least(
            1,
            text_dim=text_dim,
            multipliers=multipliers,
            blocks=blocks,
            head_channels=head_channels,
            embed_dim=1 if embed_dim is None else embed_dim,
        )
        self.arguments: dict[str, Any] = {
            "text_dim": text_dim,
            "width": width,
            "multipliers": list(multipliers),
            "blocks": blocks,
            "attention": list(attention),
            "head_channels": head_channels,
            "embed_dim": embed_dim,
            "lowres": lowres,
            "places": places,
            "conditioning": conditioning,
            "checkpointing": checkpointing,
        }
        self.text_dim, self.checkpointing = text_dim, checkpointing
        self.downsampling = 2 ** (len(multipliers) - 1)
        embed_dim = embed_dim or 4 * width
        text_layers: list[tuple[int, int]] = []

        def block(
            channels_in: int, channels_out: int, attends: bool = False, resample: Any = None
        ) -> ResBlock:
            heads = max(1, channels_out // head_channels)
            attention = SelfAttention(channels_out, heads, head_channels) if attends else None
            if attention is not None:
                text_layers.append((heads, head_channels))
            return ResBlock(channels_in, channels_out, embed_dim, resample, attention)

        self.conditions = Conditions(width, embed_dim, lowres)
        self.stem = conv(6 if lowres else 3, width)
        self.places = PlaceEmbedding(width) if places else nn.Identity()
        channels, skips = width, [width]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        widths = [width * multiplier for multiplier in multipliers]
        for level, (level_width, attends) in enumerate(zip(widths, attention)):
            for _ in range(blocks):
                self.down.append(block(channels, level_width, attends))
                channels = level_width
                skips.append(channels)
            if level < len(widths) - 1:
                self.down.append(block(channels, channels, resample="down"))
                skips.append(channels)
        self.middle = nn.ModuleList([block(channels, channels, True), block(channels, channels)])
        for level, (level_width, attends) in reversed(list(enumerate(zip(widths, attention)))):
            for _ in range(blocks + 1):
                self.up.append(block(channels + skips.pop(), level_width, attends))
                channels = level_width
            if level > 0:
                self.up.append(block(channels, channels, resample="up"))
        self.norm = Norm(channels)
        self.out = zero(conv(channels, 3))
        self.text = TextConditioner(text_dim, embed_dim, text_layers, conditioning)

    def forward(
        self,
        z: Tensor,
        logsnr: Tensor,
        context: TextContext,
        lowres: Tensor | None = None,
        lowres_logsnr: Tensor | None = None,
    ) -> Tensor:
        emb = self.conditions(logsnr, context.pooled, lowres_logsnr)
        keys_values = iter(context.keys_values)
        x = self.places(self.stem(beside(z, lowres)))
        skips = [x]
        for layer in self.down:
            x = self._run(layer, x, emb, keys_values, context.mask)
            skips.append(x)
        for layer in self.middle:
            x = self._run(layer, x, emb, keys_values, context.mask)
        for layer in self.up:
            if layer.resample is None:
                x = torch.cat([x, skips.pop()], dim=1)
            x = self._run(layer, x, emb, keys_values, context.mask)
        return self.out(self.norm(x))

    @property
    def units(self) -> list[nn.Module]:
        """The parts that are sharded, and gathered, one at a time (FSDP)."""
        return [*self.down, *self.middle, *self.up, self.text]

    def _run(self, layer: nn.Module, x: Tensor, emb: Tensor, keys_values: Iterator, mask: Tensor) -> Tensor:
        text = (*next(keys_values), mask) if layer.attention is not None else None
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(layer, x, emb, text, use_reentrant=False)
        return layer(x, emb, text)
