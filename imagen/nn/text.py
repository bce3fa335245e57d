"""All that a network makes of the text and of nothing else: computed once a sampling run.

B batch, L text tokens, D text width, E width of the time embedding.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POOLING_HEADS = (
    32  # 64 channels each in the paper's 2B model, E = 2048; fewer where that leaves less than 8 to each
)


Conditioning = Literal["sequence", "attention_pooling", "mean_pooling"]
"""How a network reads the text: all of its tokens in every attention layer, and pooled beside it (the paper's); or pooled alone, by
attention or by their mean (its ablation, appendix D.1, where both are clearly worse)."""


class TextContext(NamedTuple):
    """What the network sees of the text. It depends on neither z nor the noise level.

    `pooled` (B, E), added to the time embedding; `keys_values`: (key, value) of each attention layer in the
    order in which the network runs them, each (B, heads, L, channels a head); `mask` (B, L) bool, True where
    there is a token.
    """

    pooled: Tensor
    keys_values: tuple[tuple[Tensor, Tensor], ...]
    mask: Tensor


class AttentionPooling(nn.Module):
    """tokens (B, L, D), mask (B, L) -> (B, E): one learned query a head attends to the tokens that are
    there."""

    def __init__(self, text_dim: int, embed_dim: int) -> None:
        super().__init__()
        self.heads = max(1, min(POOLING_HEADS, embed_dim // 8))
        width = embed_dim // self.heads
        self.query = nn.Parameter(torch.randn(self.heads, 1, width))
        self.key_value = nn.Linear(text_dim, 2 * self.heads * width, bias=False)
        self.out = nn.Linear(self.heads * width, embed_dim)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        key, value = split_heads(self.key_value(tokens), 2, self.heads)
        query = self.query.to(key.dtype).expand(len(tokens), -1, -1, -1)
        pooled = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
        return self.out(pooled.flatten(1))


class MeanPooling(nn.Module):
    """tokens (B, L, D), mask (B, L) -> (B, E): the mean of the tokens that are there."""

    def __init__(self, text_dim: int, embed_dim: int) -> None:
        super().__init__()
        self.out = nn.Linear(text_dim, embed_dim)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        there = mask[:, :, None].to(tokens.dtype)
        return self.out((tokens * there).sum(1) / there.sum(1))


class TextConditioner(nn.Module):
    """(text_emb (B, L, D), text_mask (B, L) bool with a True in every row) -> TextContext.

    LayerNorm on the text ("helps considerably", section 2.3), masked attention pooling, and the keys and
    values of every attention layer: `layers` lists (heads, channels a head) of each. Tokens that the mask
    hides have no effect. Where `conditioning` is by pooling alone, the keys and values are of no tokens: L is 0.
    """

    def __init__(
        self,
        text_dim: int,
        embed_dim: int,
        layers: Sequence[tuple[int, int]],
        conditioning: Conditioning = "sequence",
    ) -> None:
        super().__init__()
        if conditioning not in (known := get_args(Conditioning)):
            raise ValueError(f"conditioning={conditioning!r} is none of {', '.join(known)}")
        self.layers, self.sequence = list(layers), conditioning == "sequence"
        self.norm = nn.LayerNorm(text_dim)
        pooling = MeanPooling if conditioning == "mean_pooling" else AttentionPooling
        self.pooling = pooling(text_dim, embed_dim)
        seen = layers if self.sequence else []
        self.key_values = nn.ModuleList(nn.Linear(text_dim, 2 * h * c, bias=False) for h, c in seen)

    def forward(self, text_emb: Tensor, text_mask: Tensor) -> TextContext:
        tokens = self.norm(text_emb.to(self.norm.weight.dtype))
        if not self.sequence:
            none = [tokens.new_zeros(len(tokens), heads, 0, c) for heads, c in self.layers]
            return TextContext(self.pooling(tokens, text_mask), tuple((k, k) for k in none), text_mask[:, :0])
        keys_values = []
        for layer, (heads, _) in zip(self.key_values, self.layers):
            key, value = split_heads(layer(tokens), 2, heads)
            keys_values.append((key, value))
        return TextContext(self.pooling(tokens, text_mask), tuple(keys_values), text_mask)


def split_heads(x: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """(B, N, parts heads c) -> `parts` views (B, heads, N, c)."""
    return x.unflatten(-1, (parts, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
