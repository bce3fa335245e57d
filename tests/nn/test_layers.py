"""Convolutions, normalisation with scale and shift, the noise-level embedding, and the blocks."""

import math

import pytest
import torch
import torch.nn.functional as F

from imagen.nn.blocks import DBlock, ResBlock, ResNetBlock, UBlock, add_skip
from imagen.nn.embeddings import NoiseEmbedding
from imagen.nn.layers import Norm, conv, groups_of


@pytest.mark.parametrize(
    "channels", [4, 8, 12, 16, 20, 24, 32, 48, 64, 96, 128, 160, 224, 480, 512, 1024, 2048]
)
def test_groups_divide_and_hold_four_channels(channels):
    groups = groups_of(channels)
    assert channels % groups == 0
    assert channels // groups >= 4
    assert groups <= 32
    if channels % 128 == 0:
        assert groups == 32


def reference(norm: Norm, x, modulation):
    y = F.group_norm(x, norm.groups, norm.weight, norm.bias)
    if modulation is not None:
        scale, shift = modulation.chunk(2, dim=1)
        y = y * (1 + scale[:, :, None, None]) + shift[:, :, None, None]
    return y * torch.sigmoid(y) if norm.silu else y


@pytest.mark.parametrize("silu", [True, False])
@pytest.mark.parametrize("modulated", [True, False])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_norm_is_its_definition(silu, modulated, layout):
    torch.manual_seed(0)
    norm = Norm(16, silu).double()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = (3 + torch.randn(2, 16, 4, 6, dtype=torch.float64)).contiguous(memory_format=layout).requires_grad_()
    modulation = torch.randn(2, 32, dtype=torch.float64, requires_grad=True) if modulated else None
    inputs = [x, norm.weight, norm.bias] + ([modulation] if modulated else [])
    direction = torch.randn_like(x)
    out, expected = norm(x, modulation), reference(norm, x, modulation)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(
        torch.autograd.grad(out, inputs, direction), torch.autograd.grad(expected, inputs, direction)
    )


def test_convolution_keeps_variance():
    torch.manual_seed(0)
    x = torch.randn(4, 64, 16, 16)
    assert conv(64, 96)(x)[..., 1:-1, 1:-1].std().item() == pytest.approx(1, abs=0.1)


def test_noise_embedding_tells_levels_apart():
    torch.manual_seed(0)
    embedding = NoiseEmbedding(16, 32)
    levels = torch.linspace(-15, 15, 61)
    distance = torch.cdist(embedding(levels), embedding(levels)) + 1e3 * torch.eye(61)
    assert distance.min() > 1e-2
    near = embedding(torch.tensor([2.0, 2.01]))
    assert (near[0] - near[1]).norm() < 0.1 * distance[distance < 1e3].mean()


@pytest.mark.parametrize(("resample", "size"), [(None, (8, 12)), ("down", (4, 6)), ("up", (16, 24))])
def test_res_block_resamples_inside_and_starts_as_the_shortcut(resample, size):
    x = torch.randn(2, 8, 8, 12)
    out = ResBlock(8, 8, 32, resample)(x, torch.randn(2, 32))
    assert out.shape == (2, 8, *size)
    torch.testing.assert_close(out, x if resample is None else F.interpolate(x, size, mode="area"))


def test_efficient_blocks_start_as_the_identity():
    x, modulation = torch.randn(2, 8, 8, 12), torch.randn(2, 16)
    torch.testing.assert_close(ResNetBlock(8)(x, modulation), x)


def test_down_before_and_up_after_the_convolutions():
    x, emb = torch.randn(2, 8, 8, 12), torch.randn(2, 32)
    down, up = DBlock(8, 16, 2, 32), UBlock(16, 8, 2, 32)
    seen = []
    for block in [*down.blocks, *up.blocks]:
        block.register_forward_hook(lambda module, args, out: seen.append(out.shape[2:]))
    h = down(x, emb)
    assert h.shape == (2, 16, 4, 6)
    assert up(h, emb, h).shape == (2, 8, 8, 12)
    assert set(seen) == {(4, 6)}


def test_skips_are_scaled():
    x, skip = torch.randn(2, 2, 8, 4, 4)
    torch.testing.assert_close(add_skip(x, skip), x + skip / math.sqrt(2))
