"""Denoiser: eps, x and v say the same, at any noise level."""

import math

import pytest
import torch
from torch import nn

from imagen.conditioning import Cond
from imagen.diffusion import CosineSchedule, Denoiser, LinearSchedule, alpha_sigma
from imagen.diffusion.denoiser import estimate, target
from imagen.diffusion.schedule import expand

PREDICT = ["eps", "x", "v"]


class Says(nn.Module):
    """A network that says `output` and remembers what it was asked."""

    def __init__(self, output: torch.Tensor) -> None:
        super().__init__()
        self.says, self.reads = output, 0

    def text(self, text_emb, text_mask):
        self.reads += 1
        return text_emb.sum((1, 2))

    def forward(self, z, logsnr, context, lowres=None, lowres_logsnr=None):
        self.asked = (z, logsnr, context, lowres, lowres_logsnr)
        return self.says


def pair(dtype=torch.float64, batch=31):
    generator = torch.Generator().manual_seed(0)
    shape = (batch, 3, 4, 4)
    return [torch.randn(shape, generator=generator, dtype=dtype) for _ in range(2)]


@pytest.mark.parametrize("predict", PREDICT)
def test_the_true_output_gives_back_x_and_eps(predict):
    x, eps = pair()
    logsnr = torch.linspace(-15, 15, len(x), dtype=torch.float64)
    alpha, sigma = alpha_sigma(expand(logsnr, x))
    read = estimate(predict, target(predict, x, eps, logsnr), alpha * x + sigma * eps, logsnr)
    torch.testing.assert_close(read.x, x, rtol=0, atol=1e-11)
    torch.testing.assert_close(read.eps, eps, rtol=0, atol=1e-11)


@pytest.mark.parametrize("predict", PREDICT)
def test_x_and_eps_add_up_to_z_whatever_the_network_says(predict):
    output, z = pair()
    logsnr = torch.linspace(-15, 15, len(z), dtype=torch.float64)
    alpha, sigma = alpha_sigma(expand(logsnr, z))
    read = estimate(predict, output, z, logsnr)
    torch.testing.assert_close(alpha * read.x + sigma * read.eps, z, rtol=0, atol=1e-11)


@pytest.mark.parametrize("says", PREDICT)
@pytest.mark.parametrize("told", PREDICT)
def test_conversions_are_each_other_s_inverse(says, told):
    output, z = pair()
    logsnr = torch.linspace(-10, 10, len(z), dtype=torch.float64)
    read = estimate(says, output, z, logsnr)
    again = estimate(told, target(told, *read, logsnr), z, logsnr)
    torch.testing.assert_close(target(says, *again, logsnr), output, rtol=0, atol=1e-8)


@pytest.mark.parametrize("predict", PREDICT)
@pytest.mark.parametrize("schedule", [CosineSchedule(), LinearSchedule()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ends_are_finite_and_right(predict, schedule, dtype):
    """At t = 1 z tells eps, at t = 0 it tells x; the other comes from the network."""
    x, eps = pair(dtype, batch=2)
    logsnr = schedule(torch.tensor([0.0, 1.0], dtype=dtype))
    alpha, sigma = alpha_sigma(expand(logsnr, x))
    read = estimate(predict, target(predict, x, eps, logsnr), alpha * x + sigma * eps, logsnr)
    for t, known in [(0, "x"), (1, "eps")]:
        torch.testing.assert_close(getattr(read, known)[t], locals()[known][t], rtol=0, atol=1e-5)
    assert read.x.isfinite().all()
    assert read.eps.isfinite().all()


@pytest.mark.parametrize("predict", PREDICT)
@pytest.mark.parametrize("logsnr", [-80.0, 80.0])
def test_far_beyond_the_ends_nothing_is_infinite(predict, logsnr):
    output, z = pair(torch.float32)
    read = estimate(predict, output, z, torch.tensor(logsnr))
    assert read.x.isfinite().all()
    assert read.eps.isfinite().all()


def test_v_is_exact_at_both_ends():
    """v turns into x and eps by a rotation, so float32 loses nothing anywhere."""
    x, eps = pair(torch.float32)
    for logsnr in torch.tensor([-15.0, -5.0, 0.0, 5.0, 15.0]):
        alpha, sigma = alpha_sigma(logsnr)
        read = estimate("v", target("v", x, eps, logsnr), alpha * x + sigma * eps, logsnr)
        torch.testing.assert_close(read.x, x, rtol=0, atol=2e-6)
        torch.testing.assert_close(read.eps, eps, rtol=0, atol=2e-6)


def test_the_network_is_told_everything_and_reads_the_text_once():
    z, lowres = pair(torch.float32, batch=2)
    net = Says(torch.zeros_like(z))
    cond = Cond(torch.ones(2, 5, 4), torch.ones(2, 5, dtype=torch.bool), lowres, torch.tensor([1.0, 2.0]))
    denoiser = Denoiser(net)
    read = denoiser.read(cond)
    denoiser(z, torch.tensor(0.5, dtype=torch.float64), read)
    denoiser(z, torch.tensor([0.5, 0.5]), read)
    assert net.reads == 1
    asked_z, asked_logsnr, context, asked_lowres, asked_level = net.asked
    assert asked_z is z
    assert asked_lowres is lowres
    assert asked_logsnr.tolist() == [0.5, 0.5]
    assert context.tolist() == [20, 20]
    assert asked_level is cond.lowres_logsnr
    denoiser(z, torch.tensor(0.5), cond)
    assert net.reads == 2


def test_one_level_for_all_equals_a_level_for_each():
    output, z = pair(batch=3)
    net = Says(output)
    cond = Cond(torch.ones(3, 1, 4), torch.ones(3, 1, dtype=torch.bool))
    one = Denoiser(net, "v").estimate(z, torch.tensor(0.7, dtype=torch.float64), cond)
    each = Denoiser(net, "v").estimate(z, torch.full((3,), 0.7, dtype=torch.float64), cond)
    assert torch.equal(one.x, each.x)
    assert torch.equal(one.eps, each.eps)


def test_half_precision_of_the_network_stays_inside_it():
    output, z = pair(torch.float32, batch=2)
    cond = Cond(torch.ones(2, 1, 4), torch.ones(2, 1, dtype=torch.bool))
    read = Denoiser(Says(output.bfloat16()), "eps").estimate(z, torch.tensor(0.0), cond)
    assert read.x.dtype == read.eps.dtype == torch.float32
    torch.testing.assert_close(read.x, (z - math.sqrt(0.5) * output.bfloat16().float()) / math.sqrt(0.5))


def test_an_unknown_prediction_is_refused():
    with pytest.raises(ValueError, match=r"predict='noise'.*eps, x, v"):
        Denoiser(nn.Identity(), "noise")  # type: ignore[arg-type]
