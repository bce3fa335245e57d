"""The super-resolution network: the paper's Efficient U-Net (section 2.4, appendix B).

B batch, H x W resolution, L text tokens, D text width, E = 4 widths[0]: the width of the time embedding.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from imagen.nn.attention import CrossAttention, SelfAttention
from imagen.nn.blocks import DBlock, UBlock, add_skip
from imagen.nn.embeddings import Conditions, beside
from imagen.nn.layers import Norm, at_least, conv, zero
from imagen.nn.text import TextConditioner, TextContext

Attention = Literal["none", "self", "cross"]
KINDS = {"self": SelfAttention, "cross": CrossAttention}


class EfficientUNet(nn.Module):
    """z (B, 3, H, W), logsnr (B,), context, lowres (B, 3, H, W), lowres_logsnr (B,) -> (B, 3, H, W), zero at
    initialisation.

    The paper's: widths 128 256 512 1024, blocks 2 4 8 8, attention in the last block only: "self" (text
    joined to keys and values) for 64 -> 256, "cross" (text alone, no self-attention) for 256 -> 1024; `heads`
    8 of 2 C / 8 channels. `lowres`: the enlarged low-resolution picture, concatenated to z, whose noise level
    is added to the time embedding; False for a network that makes pictures from text alone. H and W must
    divide by `downsampling`; without self-attention the cost is linear in them, so it trains on crops and
    samples whole images. `checkpointing`: blocks are computed again in the backward pass.

    Not printed in the paper, and so: the first convolution's output is added (/ sqrt(2), like every skip)
    before the last one, which follows GroupNorm and swish and is 3x3.

    `net.text(text_emb, text_mask)` makes the context; it depends on neither z nor logsnr, so a sampling run
    makes it once.
    """

    def __init__(
        self,
        text_dim: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        attention: Sequence[Attention],
        heads: int = 8,
        lowres: bool = True,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        for name, values in (("blocks", blocks), ("attention", attention)):
            if len(values) != len(widths):
                raise ValueError(
                    f"{name}={list(values)} has {len(values)} entries for the {len(widths)} levels of "
                    f"widths={list(widths)}: give one a level"
                )
        at_least(2, widths=widths)  # a sine and a cosine of the noise level
        at_least(1, text_dim=text_dim, blocks=blocks, heads=heads)
        if unknown := set(attention) - {"none", *KINDS}:
            raise ValueError(f"attention={list(attention)}: {unknown.pop()!r} is none of none, self, cross")
        self.arguments: dict[str, Any] = {
            "text_dim": text_dim,
            "widths": list(widths),
            "blocks": list(blocks),
            "attention": list(attention),
            "heads": heads,
            "lowres": lowres,
            "checkpointing": checkpointing,
        }
        self.text_dim, self.checkpointing = text_dim, checkpointing
        self.downsampling = 2 ** len(widths)
        embed_dim = 4 * widths[0]
        text_layers: list[tuple[int, int]] = []

        def attend(level: int) -> SelfAttention | CrossAttention | None:
            kind, width = attention[level], widths[level]
            if kind == "none":
                return None
            text_layers.append((heads, max(1, 2 * width // heads)))
            return KINDS[kind](width, *text_layers[-1])

        self.conditions = Conditions(widths[0], embed_dim, lowres)
        self.stem = conv(6 if lowres else 3, widths[0])
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        outer = [widths[0], *widths[:-1]]
        for level, width in enumerate(widths):
            self.down.append(DBlock(outer[level], width, blocks[level], embed_dim, attend(level)))
        for level, width in reversed(list(enumerate(widths))):
            self.up.append(UBlock(width, outer[level], blocks[level], embed_dim, attend(level)))
        self.norm = Norm(widths[0])
        self.out = zero(conv(widths[0], 3))
        self.text = TextConditioner(text_dim, embed_dim, text_layers)

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
        x = stem = self.stem(beside(z, lowres))
        skips: list[Tensor | None] = []
        for block in self.down:
            x = self._run(block, keys_values, context.mask, x, emb)
            skips.append(x)
        skips[-1] = None  # the bottom UBlock's x is that tensor itself
        for block in self.up:
            x = self._run(block, keys_values, context.mask, x, emb, skips.pop())
        return self.out(self.norm(add_skip(x, stem)))

    @property
    def units(self) -> list[nn.Module]:
        """The parts that are sharded, and gathered, one at a time (FSDP)."""
        return [*self.down, *self.up, self.text]

    def _run(self, block: nn.Module, keys_values: Iterator, mask: Tensor, *args: Tensor | None) -> Tensor:
        text = (*next(keys_values), mask) if block.attention is not None else None
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(block, *args, text, use_reentrant=False)
        return block(*args, text)
