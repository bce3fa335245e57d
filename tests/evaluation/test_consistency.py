"""Drift of mean and spread, RMSE and PSNR of a super-resolution stage, by hand."""

import math

import pytest
import torch

from imagen.conditioning import downsample
from imagen.evaluation.color_drift import color_drift
from imagen.evaluation.consistency import consistency


def low(n: int = 2) -> torch.Tensor:
    return torch.rand(n, 3, 16, 16, generator=torch.manual_seed(0)) * 1.2 - 0.6


def up(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.repeat_interleave(4, 2).repeat_interleave(4, 3)


def test_a_picture_that_keeps_its_input_is_perfect() -> None:
    found = consistency(up(low()), low()).summary()
    assert found == pytest.approx({"mean_drift": 0, "spread_drift": 0, "rmse": 0, "psnr": 100}, abs=1e-6)


def test_a_tint_is_mean_drift_of_its_channel_and_its_sign() -> None:
    tint = torch.tensor([0.2, 0, -0.1])[:, None, None]
    found = consistency(up(low()) + tint, low())
    assert found.mean_drift[1].tolist() == pytest.approx([0.1, 0, -0.05], abs=1e-6)
    assert found.spread_drift.abs().max().item() < 1e-6
    rmse = math.sqrt((0.1**2 + 0.05**2) / 3)
    assert found.rmse.tolist() == pytest.approx([rmse] * 2, rel=1e-5)
    assert found.psnr.tolist() == pytest.approx([-20 * math.log10(rmse)] * 2, rel=1e-5)
    assert found.summary()["mean_drift"] == pytest.approx(color_drift(up(low()) + tint, low()), rel=1e-2)


def test_contrast_is_spread_drift() -> None:
    mean = low().mean((2, 3), keepdim=True)
    found = consistency(mean + (up(low()) - mean) * 1.25, low())
    expected = low().double().flatten(2).std(2, correction=0) / 2 * 0.25
    torch.testing.assert_close(found.spread_drift, expected, rtol=1e-4, atol=1e-6)
    assert found.mean_drift.abs().max().item() < 1e-6


def test_detail_that_averages_out_is_consistent() -> None:
    detail = torch.ones(64, 64)
    detail[::2] = -1
    found = consistency(up(low()) + 0.3 * detail, low())
    assert found.rmse.max().item() < 1e-6


def test_a_real_picture_agrees_with_the_input_that_training_makes_of_it() -> None:
    real = torch.rand(2, 3, 64, 64, generator=torch.manual_seed(1)) * 2 - 1
    made = downsample(real, 16)
    assert consistency(real, made, by="training").psnr.tolist() == [100, 100]
    assert consistency(real, made).rmse.min().item() > 0.01


def test_refusals() -> None:
    with pytest.raises(ValueError, match="pictures hold NaN"):
        consistency(torch.full((1, 3, 8, 8), torch.nan), low(1))
    with pytest.raises(ValueError, match=r"lowres must be in \[-1, 1\], found 255"):
        consistency(up(low()), low() * 0 + 255)
    with pytest.raises(ValueError, match=r"pictures must be \(B, 3, R, R\)"):
        consistency(torch.zeros(3, 8, 8), low())
    with pytest.raises(ValueError, match="2 pictures and 1 low-resolution"):
        consistency(up(low()), low(1))
    with pytest.raises(ValueError, match="larger than pictures of 8"):
        consistency(torch.zeros(2, 3, 8, 8), low())
