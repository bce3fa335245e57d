"""Attention of the picture to itself and to the text.

B batch, C channels, H x W feature map, L text tokens, c channels a head.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagen.nn.layers import Norm, zero
from imagen.nn.text import split_heads


class SelfAttention(nn.Module):
    """x (B, C, H, W) -> the same shape: self-attention with the text's keys and values joined to the
    picture's.

    `key`, `value` (B, heads, L, c) come from the TextConditioner; `mask` (B, L) bool hides tokens that are
    not there.
    """

    def __init__(self, channels: int, heads: int, head_channels: int) -> None:
        super().__init__()
        self.heads, self.head_channels = heads, head_channels
        self.norm = Norm(channels, silu=False)
        self.qkv = nn.Linear(channels, 3 * heads * head_channels)
        self.out = zero(nn.Linear(heads * head_channels, channels))

    def forward(self, x: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        query, own_key, own_value = split_heads(self.qkv(tokens_of(self.norm(x))), 3, self.heads)
        key = torch.cat([own_key, key.to(own_key.dtype)], dim=2)
        value = torch.cat([own_value, value.to(own_value.dtype)], dim=2)
        mask = F.pad(mask, (query.shape[2], 0), value=True)
        return x + picture_of(self.out(attend(query, key, value, mask)), x)


class CrossAttention(nn.Module):
    """x (B, C, H, W) -> the same shape: attention to the text alone (the 256 -> 1024 stage). Arguments as
    SelfAttention."""

    def __init__(self, channels: int, heads: int, head_channels: int) -> None:
        super().__init__()
        self.heads, self.head_channels = heads, head_channels
        self.norm = Norm(channels, silu=False)
        self.query = nn.Linear(channels, heads * head_channels)
        self.out = zero(nn.Linear(heads * head_channels, channels))

    def forward(self, x: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        (query,) = split_heads(self.query(tokens_of(self.norm(x))), 1, self.heads)
        attended = attend(query, key.to(query.dtype), value.to(query.dtype), mask)
        return x + picture_of(self.out(attended), x)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """query (B, heads, N, c), key and value (B, heads, M, c), mask (B, M) bool -> (B, N, heads c)."""
    attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
    return attended.transpose(1, 2).flatten(2)


def tokens_of(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H W, C): a view when x is channels-last."""
    return x.flatten(2).transpose(1, 2)


def picture_of(tokens: Tensor, like: Tensor) -> Tensor:
    """(B, H W, C) -> (B, C, H, W), a channels-last view."""
    return tokens.transpose(1, 2).unflatten(2, like.shape[2:])
