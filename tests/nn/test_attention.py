"""Attention against a plain softmax in float64, and the pooling of text."""

import pytest
import torch
from torch import Tensor, nn

from imagen.nn.attention import CrossAttention, SelfAttention, attend, picture_of, tokens_of
from imagen.nn.text import AttentionPooling, MeanPooling, TextConditioner

CHANNELS, HEADS, HEAD, LENGTH = 12, 3, 4, 5


def plain(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """softmax(q k / sqrt(c)) v over the tokens that are there, picture by picture, head by head."""
    out = torch.zeros(len(query), query.shape[2], query.shape[1] * query.shape[3], dtype=query.dtype)
    for b in range(len(query)):
        there = mask[b].nonzero()[:, 0]
        for h in range(query.shape[1]):
            weights = (query[b, h] @ key[b, h, there].T / query.shape[3] ** 0.5).softmax(dim=1)
            out[b, :, h * query.shape[3] : (h + 1) * query.shape[3]] = weights @ value[b, h, there]
    return out


@pytest.fixture
def given():
    torch.manual_seed(0)
    x = torch.randn(2, CHANNELS, 4, 6, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    key, value = torch.randn(2, 2, HEADS, LENGTH, HEAD, dtype=torch.float64)
    mask = torch.tensor([[True, True, False, True, False], [True, False, False, False, False]])
    return x, key, value, mask


def test_attend(given):
    _, key, value, mask = given
    query = torch.randn(2, HEADS, 7, HEAD, dtype=torch.float64)
    torch.testing.assert_close(attend(query, key, value, mask), plain(query, key, value, mask))


@pytest.mark.parametrize("kind", [SelfAttention, CrossAttention])
def test_against_a_plain_softmax(kind, given):
    x, key, value, mask = given
    layer = kind(CHANNELS, HEADS, HEAD).double()
    nn.init.normal_(layer.out.weight)
    tokens = tokens_of(layer.norm(x))

    def heads(projected: Tensor) -> Tensor:
        return projected.reshape(2, -1, HEADS, HEAD).transpose(1, 2)

    if kind is SelfAttention:
        query, own_key, own_value = (heads(p) for p in layer.qkv(tokens).chunk(3, dim=-1))
        keys, values = torch.cat([own_key, key], dim=2), torch.cat([own_value, value], dim=2)
        there = torch.cat([torch.ones(2, 24, dtype=torch.bool), mask], dim=1)
    else:
        query, keys, values, there = heads(layer.query(tokens)), key, value, mask
    expected = x + picture_of(layer.out(plain(query, keys, values, there)), x)
    torch.testing.assert_close(layer(x, key, value, mask), expected)


@pytest.mark.parametrize("kind", [SelfAttention, CrossAttention])
def test_starts_as_nothing(kind, given):
    x, key, value, mask = given
    assert torch.equal(kind(CHANNELS, HEADS, HEAD).double()(x, key, value, mask), x)


def test_tokens_are_a_view_of_channels_last(given):
    x = given[0]
    tokens = tokens_of(x)
    assert tokens.data_ptr() == x.data_ptr()
    assert tokens.is_contiguous()
    assert torch.equal(picture_of(tokens, x), x)


def test_pooling_of_one_token_is_its_value():
    torch.manual_seed(0)
    pooling = AttentionPooling(CHANNELS, 128).double()
    tokens = torch.randn(1, LENGTH, CHANNELS, dtype=torch.float64)
    mask = torch.zeros(1, LENGTH, dtype=torch.bool)
    mask[0, 2] = True
    value = pooling.key_value(tokens[:, 2]).chunk(2, dim=-1)[1]
    torch.testing.assert_close(pooling(tokens, mask), pooling.out(value))


def test_pooling_by_the_mean_counts_what_is_there():
    torch.manual_seed(0)
    pooling = MeanPooling(CHANNELS, 32).double()
    tokens = torch.randn(1, LENGTH, CHANNELS, dtype=torch.float64)
    mask = torch.zeros(1, LENGTH, dtype=torch.bool)
    mask[0, 1:3] = True
    torch.testing.assert_close(pooling(tokens, mask), pooling.out(tokens[:, 1:3].mean(1)))


@pytest.mark.parametrize("conditioning", ["attention_pooling", "mean_pooling"])
def test_pooled_text_is_read_in_the_embedding_alone(conditioning):
    text = TextConditioner(CHANNELS, 32, [(HEADS, HEAD)], conditioning)
    context = text(torch.randn(2, LENGTH, CHANNELS), torch.ones(2, LENGTH, dtype=torch.bool))
    assert context.keys_values[0][0].shape == (2, HEADS, 0, HEAD)
    assert context.mask.shape == (2, 0)


def test_an_unknown_conditioning_is_named():
    with pytest.raises(ValueError, match="conditioning='max_pooling' is none of sequence"):
        TextConditioner(CHANNELS, 32, [], "max_pooling")  # pyright: ignore[reportArgumentType]


def test_text_is_normalised():
    torch.manual_seed(0)
    text = TextConditioner(CHANNELS, 32, [(HEADS, HEAD)])
    emb, mask = torch.randn(2, LENGTH, CHANNELS), torch.ones(2, LENGTH, dtype=torch.bool)
    context, louder = text(emb, mask), text(50 * emb + 3, mask)
    torch.testing.assert_close(louder.pooled, context.pooled, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(louder.keys_values, context.keys_values, rtol=1e-3, atol=1e-4)
    assert context.keys_values[0][0].shape == (2, HEADS, LENGTH, HEAD)
