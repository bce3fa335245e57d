"""Colour drift is zero for a faithful enlargement and measures a tint exactly."""

import pytest
import torch

from imagen.conditioning import downsample
from imagen.evaluation.color_drift import color_drift


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) - 0.5


def test_no_drift_where_the_picture_comes_down_to_its_input(pictures: torch.Tensor) -> None:
    assert color_drift(pictures, downsample(pictures, 16)) == 0


def test_a_tint_is_measured_as_a_share_of_the_range(pictures: torch.Tensor) -> None:
    tinted = pictures + torch.tensor([0.2, 0.0, -0.1])[:, None, None]
    assert color_drift(tinted, downsample(pictures, 16)) == pytest.approx((0.1 + 0 + 0.05) / 3, abs=1e-6)


def test_opposite_tints_of_two_pictures_do_not_cancel(pictures: torch.Tensor) -> None:
    tint = torch.tensor([0.2, -0.2, 0.2, -0.2])[:, None, None, None]
    assert color_drift(pictures + tint, downsample(pictures, 16)) == pytest.approx(0.1, abs=1e-6)
