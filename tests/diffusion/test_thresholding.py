"""Thresholding, at any resolution."""

import math

import pytest
import torch

from imagen.diffusion import Dynamic, NoThreshold, Static
from imagen.diffusion.thresholding import quantile


def test_no_threshold_does_nothing():
    x = torch.randn(2, 3, 4, 4)
    assert NoThreshold()(x) is x


def test_static_clips():
    assert Static()(torch.tensor([-3.0, -0.5, 0.5, 3.0])).tolist() == [-1, -0.5, 0.5, 1]


@pytest.mark.parametrize("q", [0.5, 0.9, 0.95, 0.995, 0.9999, 1.0])
@pytest.mark.parametrize("n", [1, 2, 7, 200, 201, 768])
def test_quantile_is_torch_s(q, n):
    values = torch.randn(5, n, dtype=torch.float64, generator=torch.Generator().manual_seed(n)).abs()
    torch.testing.assert_close(quantile(values, q), torch.quantile(values, q, dim=1), rtol=1e-12, atol=0)


def test_dynamic_is_the_paper_s_rule_for_each_picture():
    scale = torch.tensor([0.2, 1.0, 4.0, 30.0]).reshape(-1, 1, 1, 1)
    x = scale * torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    out = Dynamic(0.995)(x)
    for picture, thresholded in zip(x, out):
        s = torch.quantile(picture.abs().flatten(), 0.995).clamp(min=1)
        torch.testing.assert_close(thresholded, picture.clamp(-s, s) / s)
    assert torch.equal(out[0], x[0]), "a picture within [-1, 1] is left alone"
    assert out.abs().max() <= 1


def test_dynamic_at_a_percentile_of_one_or_below_is_static():
    x = torch.full((1, 3, 16, 16), 0.1)
    x[0, 0, 0, 0] = 9.0
    assert torch.equal(Dynamic(0.995)(x), Static()(x))


def test_a_picture_does_not_depend_on_its_batch():
    x = 3 * torch.randn(3, 3, 8, 8)
    assert torch.equal(Dynamic()(x)[1:2], Dynamic()(x[1:2]))


def test_sixteen_pictures_of_1024():
    """50 million elements, of which older releases' torch.quantile takes no more than 16."""
    x = torch.randn(16, 3, 1024, 1024, generator=torch.Generator().manual_seed(0))
    out = Dynamic(0.995)(x)
    assert out.shape == x.shape
    share = (out.abs() < 1).flatten(1).float().mean(1)
    torch.testing.assert_close(share, torch.full((16,), 0.995), rtol=0, atol=1e-6)
    s = x[3].abs().flatten().kthvalue(math.floor(0.995 * (x[3].numel() - 1)) + 1).values
    torch.testing.assert_close(out[3], (x[3] / s).clamp(-1, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("percentile", [0.0, -1.0, 99.5])
def test_a_percentile_is_a_share(percentile):
    with pytest.raises(ValueError, match=r"percentile=.*0\.995"):
        Dynamic(percentile)
