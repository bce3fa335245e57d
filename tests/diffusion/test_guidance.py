"""Guidance: what it computes, and how many forward passes that takes."""

import pytest
import torch
from torch import nn

from imagen.conditioning import Cond
from imagen.diffusion import DDIM, CosineSchedule, Denoiser, Dynamic, Randomness, Static, guide, logsnr_grid
from imagen.diffusion.denoiser import Predict
from imagen.diffusion.guidance import rescaled

HOST_LEVEL = torch.tensor(0.3, dtype=torch.float64)


class Net(nn.Module):
    """Depends on everything it is told; counts."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))
        self.batches: list[int] = []
        self.reads: list[int] = []

    def text(self, text_emb, text_mask):
        self.reads.append(len(text_emb))
        return (text_emb * text_mask[..., None]).sum((1, 2)).double()

    def forward(self, z, logsnr, context, lowres=None, lowres_logsnr=None):
        self.batches.append(len(z))
        told = (context + logsnr).reshape(-1, 1, 1, 1)
        if lowres is not None and lowres_logsnr is not None:
            told = told + lowres + lowres_logsnr.reshape(-1, 1, 1, 1)
        return self.gain * torch.tanh(z + told)


@pytest.fixture
def net():
    return Net()


def batch(lowres=True):
    generator = torch.Generator().manual_seed(0)
    z, low = torch.randn(2, 4, 3, 4, 4, generator=generator, dtype=torch.float64)
    emb = torch.randn(4, 5, 6, generator=generator)
    mask = torch.ones(4, 5, dtype=torch.bool)
    return z, Cond(emb, mask, low, torch.linspace(-1, 2, 4, dtype=torch.float64)) if lowres else Cond(
        emb, mask
    )


def halves(net, z, cond, predict: Predict = "v"):
    denoiser = Denoiser(net, predict)
    return (
        denoiser.estimate(z, HOST_LEVEL, cond),
        denoiser.estimate(z, HOST_LEVEL, cond.unconditional()),
    )


@pytest.mark.parametrize("lowres", [True, False])
@pytest.mark.parametrize("weight", [1.0, 1, torch.tensor(1.0), torch.ones(4)])
def test_weight_1_is_the_conditional_half_at_half_the_cost(net, weight, lowres):
    z, cond = batch(lowres)
    x = guide(Denoiser(net), cond, weight)(z, HOST_LEVEL)
    assert net.batches == [4]
    assert net.reads == [4]
    assert torch.equal(x, halves(net, z, cond)[0].x)


def test_weight_0_is_the_unconditional_half(net):
    z, cond = batch()
    x = guide(Denoiser(net), cond, 0.0)(z, HOST_LEVEL)
    torch.testing.assert_close(x, halves(net, z, cond)[1].x, rtol=1e-14, atol=0)


@pytest.mark.parametrize("predict", ["eps", "x", "v"])
def test_guidance_is_the_paper_s_on_eps(net, predict):
    """eps~ = w eps(z, c) + (1 - w) eps(z) (section 2.2), read as x; both halves in one forward pass."""
    z, cond = batch()
    x = guide(Denoiser(net, predict), cond, 4.0)(z, HOST_LEVEL)
    assert net.batches == [8]
    (_, eps), (_, eps_null) = halves(net, z, cond, predict)
    alpha, sigma = torch.sigmoid(HOST_LEVEL).sqrt(), torch.sigmoid(-HOST_LEVEL).sqrt()
    torch.testing.assert_close(x, (z - sigma * (4 * eps - 3 * eps_null)) / alpha)


def test_a_weight_for_each_picture_equals_separate_runs(net):
    z, cond = batch()
    weights = torch.tensor([1.0, 0.0, 3.0, 7.5])
    together = guide(Denoiser(net), cond, weights)(z, HOST_LEVEL)
    assert net.batches == [8]
    for i, weight in enumerate(weights.tolist()):
        alone = guide(Denoiser(net), cond, weight)(z, HOST_LEVEL)
        torch.testing.assert_close(together[i], alone[i], rtol=1e-14, atol=1e-14)


def test_guidance_only_within_the_interval(net):
    z, cond = batch()
    denoise = guide(Denoiser(net), cond, 4.0, interval=(-1.0, 1.0))
    always, never = guide(Denoiser(net), cond, 4.0), guide(Denoiser(net), cond)
    net.batches.clear()
    for logsnr, on in [(-1.5, False), (-1.0, True), (0.0, True), (1.0, True), (1.5, False)]:
        level = torch.tensor(logsnr, dtype=torch.float64)
        assert torch.equal(denoise(z, level), (always if on else never)(z, level))
    assert net.batches == [4, 4, 8, 8, 8, 8, 8, 8, 4, 4]


@pytest.mark.parametrize(
    ("weight", "interval", "reads"), [(1.0, None, [4]), (3.0, None, [8]), (3.0, (-2.0, 2.0), [8, 4])]
)
def test_text_is_read_once_a_run(net, weight, interval, reads):
    """Once, not once a step; an interval needs it for the doubled and for the single batch."""
    z, cond = batch()
    denoise = guide(Denoiser(net), cond, weight, interval=interval)
    DDIM()(denoise, z, logsnr_grid(CosineSchedule(), 10), Randomness(range(4)))
    assert net.reads == reads
    assert len(net.batches) == 10


def test_conditioning_that_was_read_is_not_read_again(net):
    z, cond = batch()
    denoiser = Denoiser(net)
    guide(denoiser, denoiser.read(cond))(z, HOST_LEVEL)
    assert net.reads == [4]
    with pytest.raises(ValueError, match="before a network reads it"):
        guide(denoiser, denoiser.read(cond), 2.0)


def test_rescale_moves_the_deviation_to_the_conditional_one(net):
    z, cond = batch()
    x = halves(net, z, cond)[0].x
    plain, half, full = [
        guide(Denoiser(net), cond, 6.0, rescale=phi)(z, HOST_LEVEL) for phi in (0.0, 0.5, 1.0)
    ]
    deviations = [picture.std((1, 2, 3)) for picture in (plain, half, full)]
    torch.testing.assert_close(deviations[2], x.std((1, 2, 3)))
    torch.testing.assert_close(deviations[1], (deviations[0] + deviations[2]) / 2)
    torch.testing.assert_close(half, (plain + full) / 2)


def test_rescale_of_a_flat_picture_is_finite():
    assert rescaled(torch.ones(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), 0.7).isfinite().all()


@pytest.mark.parametrize("threshold", [Static(), Dynamic()])
@pytest.mark.parametrize("weight", [1.0, 8.0])
def test_thresholding_comes_after_guidance(net, threshold, weight):
    z, cond = batch()
    plain = guide(Denoiser(net), cond, weight)(z, HOST_LEVEL)
    assert torch.equal(guide(Denoiser(net), cond, weight, threshold)(z, HOST_LEVEL), threshold(plain))


def test_sampling_records_no_gradients(net):
    z, cond = batch()
    assert not guide(Denoiser(net), cond, 3.0)(z, HOST_LEVEL).requires_grad
