"""Conditioning: text dropped row by row, low resolution made and noised picture by picture."""

import math

import pytest
import torch

from imagen.conditioning import Cond, augment, downsample, drop_text, null_text, upsample
from imagen.diffusion import CosineSchedule, Randomness


def text(batch: int = 3):
    emb = torch.randn(batch, 5, 4, generator=torch.Generator().manual_seed(0))
    return emb, torch.arange(5) < torch.tensor([5, 3, 1] * batch)[:batch, None]


def test_null_text_is_one_token_of_zeros():
    emb, mask = null_text(*text())
    assert emb.shape == (3, 5, 4)
    assert not emb.any()
    assert mask.tolist() == [[True, False, False, False, False]] * 3


def test_null_text_of_some_rows_leaves_the_others():
    emb, mask = text()
    null_emb, null_mask = null_text(emb, mask, torch.tensor([False, True, False]))
    assert not null_emb[1].any()
    assert null_mask[1].tolist() == [True, False, False, False, False]
    assert torch.equal(null_emb[[0, 2]], emb[[0, 2]])
    assert torch.equal(null_mask[[0, 2]], mask[[0, 2]])


def test_null_text_does_not_touch_its_input():
    emb, mask = text()
    before = emb.clone(), mask.clone()
    null_text(emb, mask)
    assert torch.equal(emb, before[0])
    assert torch.equal(mask, before[1])


def dropped(seeds, probability: float) -> list[bool]:
    emb, _ = drop_text(*text(len(seeds)), probability, Randomness(seeds))
    return (emb == 0).all(2).all(1).tolist()


def test_text_is_dropped_at_its_rate():
    assert sum(dropped(range(4000), 0.1)) == pytest.approx(400, abs=60)
    assert not any(dropped(range(100), 0.0))
    assert all(dropped(range(100), 1.0))


def test_a_picture_s_text_is_dropped_whatever_its_batch():
    whole = dropped(range(20), 0.5)
    assert True in whole
    assert False in whole
    assert dropped(range(7, 20), 0.5) == whole[7:]


def test_augment_preserves_variance():
    random = Randomness(range(5))
    x, eps = random.normal(3, 64, 64), random.normal(3, 64, 64)
    noised, _ = augment(x, torch.linspace(0, 1, 5), CosineSchedule(), eps)
    torch.testing.assert_close(noised.flatten(1).std(1), torch.ones(5), rtol=0, atol=0.03)


def test_augment_has_a_level_for_each_picture():
    schedule, level = CosineSchedule(), torch.tensor([0.0, 0.3, 1.0])
    x, eps = torch.ones(3, 3, 8, 8), torch.full((3, 3, 8, 8), 2.0)
    noised, logsnr = augment(x, level, schedule, eps)
    torch.testing.assert_close(logsnr, schedule(level))
    for i, t in enumerate(level.tolist()):
        alone, told = augment(x[i : i + 1], level[i : i + 1], schedule, eps[i : i + 1])
        torch.testing.assert_close(noised[i : i + 1], alone)
        torch.testing.assert_close(told, logsnr[i : i + 1])
        by_hand = math.cos(math.pi / 2 * t) + 2 * math.sin(math.pi / 2 * t)
        torch.testing.assert_close(alone, torch.full_like(alone, by_hand), rtol=0, atol=2e-3)


def smooth(resolution: int) -> torch.Tensor:
    """A picture that hardly changes between neighbours or across its border: (1, 3, R, R)."""
    at = (torch.arange(resolution) + 0.5) / resolution
    rows = torch.cos(math.pi * at)[:, None] * torch.cos(3 * math.pi * at)[None, :]
    return rows.expand(1, 3, resolution, resolution) * torch.tensor([0.9, 0.5, -0.7]).reshape(1, 3, 1, 1)


def test_down_then_up_keeps_a_smooth_picture():
    x = smooth(128)
    low = downsample(x, 32)
    assert low.shape == (1, 3, 32, 32)
    torch.testing.assert_close(low, smooth(32), rtol=0, atol=0.02)
    torch.testing.assert_close(upsample(low, 128), x, rtol=0, atol=0.03)


def test_down_and_up_do_not_shift_or_tint():
    """Half-pixel shifts and changed means are how super-resolution stages come to drift."""
    x = smooth(64)
    assert torch.allclose(downsample(x.flip(-1), 16), downsample(x, 16).flip(-1), atol=1e-5)
    assert torch.allclose(upsample(x.flip(-2), 256), upsample(x, 256).flip(-2), atol=1e-5)
    for value in (-1.0, 0.3, 1.0):
        flat = torch.full((1, 3, 32, 32), value)
        torch.testing.assert_close(downsample(flat, 8), torch.full((1, 3, 8, 8), value))
        torch.testing.assert_close(upsample(flat, 64), torch.full((1, 3, 64, 64), value))


def test_downsampling_is_antialiased_and_stays_in_range():
    stripes = (torch.arange(64) % 2 * 2.0 - 1).expand(1, 3, 64, 64)
    assert downsample(stripes, 16).abs().max() < 0.2, "the finest stripes become grey, not other stripes"
    edge = (torch.arange(64) // 30 % 2 * 2.0 - 1).expand(1, 3, 64, 64)
    assert downsample(edge, 16).abs().max() <= 1, "bicubic overshoot is clipped"


def test_downsample_to_the_same_resolution_is_the_picture():
    x = smooth(16)
    assert downsample(x, 16) is x


def cond(lowres: bool) -> Cond:
    emb, mask = text()
    return (
        Cond(emb, mask, torch.randn(3, 3, 8, 8), torch.tensor([1.0, 2.0, 3.0])) if lowres else Cond(emb, mask)
    )


@pytest.mark.parametrize("lowres", [True, False])
def test_unconditional_keeps_the_pictures_and_drops_the_text(lowres):
    full = cond(lowres)
    null = full.unconditional()
    assert not null.text_emb.any()
    assert len(null) == len(full) == 3
    assert null.lowres is full.lowres
    assert null.lowres_logsnr is full.lowres_logsnr
    assert null.context is None


@pytest.mark.parametrize("lowres", [True, False])
def test_joined_puts_one_batch_after_the_other(lowres):
    full = cond(lowres)
    both = full.joined(full.unconditional())
    assert len(both) == 6
    assert torch.equal(both.text_emb[:3], full.text_emb)
    assert not both.text_emb[3:].any()
    assert torch.equal(both.text_mask[:3], full.text_mask)
    if both.lowres is None or both.lowres_logsnr is None:
        assert not lowres
    else:
        assert torch.equal(both.lowres[:3], both.lowres[3:])
        assert both.lowres_logsnr.tolist() == [1, 2, 3, 1, 2, 3]


def test_joining_after_reading_is_refused():
    emb, mask = text()
    read = Cond(emb, mask, context=())
    with pytest.raises(ValueError, match="before a network reads"):
        read.joined(Cond(emb, mask))
