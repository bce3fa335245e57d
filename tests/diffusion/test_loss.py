"""The loss against one worked by hand, and its weights."""

import pytest
import torch
from torch import nn

from imagen.conditioning import Cond
from imagen.diffusion import (
    CosineSchedule,
    Denoiser,
    LinearSchedule,
    Loss,
    MinSNR,
    Simple,
    Truncated,
    alpha_sigma,
    by_noise_level,
)
from imagen.diffusion.denoiser import target
from imagen.diffusion.loss import log_error_ratio
from imagen.diffusion.schedule import expand

PREDICT = ["eps", "x", "v"]
predicts = pytest.mark.parametrize("predict", PREDICT)


class Net(nn.Module):
    """Says f(z), anything."""

    def __init__(self, f) -> None:
        super().__init__()
        self.f = f

    def text(self, text_emb, text_mask):
        return ()

    def forward(self, z, logsnr, context, lowres=None, lowres_logsnr=None):
        return self.f(z)


def batch(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x, eps, error = [torch.randn(5, 3, 4, 4, generator=generator, dtype=dtype) for _ in range(3)]
    cond = Cond(torch.ones(5, 1, 4), torch.ones(5, 1, dtype=torch.bool))
    return x, cond, torch.linspace(0.05, 0.95, 5, dtype=dtype), eps, error


@predicts
def test_simple_by_hand(predict):
    x, cond, t, eps, _ = batch()
    schedule = CosineSchedule()
    loss = Loss(schedule)(Denoiser(Net(torch.tanh), predict), x, cond, t, eps)
    for i in range(5):
        snr = schedule(t[i]).exp()
        alpha, sigma = (snr / (1 + snr)).sqrt(), (1 / (1 + snr)).sqrt()
        truth = {"eps": eps[i], "x": x[i], "v": alpha * eps[i] - sigma * x[i]}[predict]
        by_hand = ((torch.tanh(alpha * x[i] + sigma * eps[i]) - truth) ** 2).mean()
        torch.testing.assert_close(loss[i], by_hand)


def loss_of_error_in_x(weight, predict):
    """The loss of a network whose estimate of x is off by the same `error`, whatever it predicts."""
    x, cond, t, eps, error = batch()
    schedule = CosineSchedule()
    logsnr = schedule(t)
    alpha, sigma = alpha_sigma(expand(logsnr, x))
    z, wrong_x = alpha * x + sigma * eps, x + error
    says = target(predict, wrong_x, (z - alpha * wrong_x) / sigma, logsnr)
    loss = Loss(schedule, weight)(Denoiser(Net(lambda z: says), predict), x, cond, t, eps)
    return loss, logsnr.exp(), error.square().flatten(1).mean(1)


@predicts
@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_weighs_the_error_of_x_alike(predict, gamma):
    loss, snr, error = loss_of_error_in_x(MinSNR(gamma), predict)
    torch.testing.assert_close(loss, snr.clamp(max=gamma) * error)


@predicts
def test_truncated_weighs_the_error_of_x_alike(predict):
    loss, snr, error = loss_of_error_in_x(Truncated(), predict)
    torch.testing.assert_close(loss, snr.clamp(min=1) * error)


@predicts
def test_simple_weighs_the_error_of_what_is_predicted(predict):
    loss, snr, error = loss_of_error_in_x(Simple(), predict)
    torch.testing.assert_close(loss, {"eps": snr, "x": torch.ones_like(snr), "v": snr + 1}[predict] * error)


@pytest.mark.parametrize("gamma", [0, -5, float("nan"), float("inf")])
def test_gamma_is_a_positive_number(gamma):
    with pytest.raises(ValueError, match=f"gamma={gamma}: must be above 0"):
        MinSNR(gamma)


def test_published_forms_of_min_snr():
    """min(snr, 5) / snr for eps and / (snr + 1) for v (Hang et al., section 3.4)."""
    logsnr = torch.linspace(-15, 15, 31, dtype=torch.float64)
    snr = logsnr.exp()
    torch.testing.assert_close(MinSNR()(logsnr, "eps"), snr.clamp(max=5) / snr)
    torch.testing.assert_close(MinSNR()(logsnr, "v"), snr.clamp(max=5) / (snr + 1))


@predicts
@pytest.mark.parametrize("weight", [Simple(), MinSNR(), Truncated()])
@pytest.mark.parametrize("schedule", [CosineSchedule(), LinearSchedule()])
def test_the_ends_are_finite_in_float32(predict, weight, schedule):
    x, cond, _, eps, _ = batch(torch.float32)
    t = torch.tensor([0.0, 1e-7, 0.5, 1 - 1e-7, 1.0])
    loss = Loss(schedule, weight)(Denoiser(Net(torch.tanh), predict), x, cond, t, eps)
    assert loss.shape == (5,)
    assert loss.dtype == torch.float32
    assert loss.isfinite().all()
    assert (loss >= 0).all()
    assert log_error_ratio(schedule(t), predict).isfinite().all()


def test_the_error_is_taken_in_float32_when_the_network_is_in_half():
    x, cond, t, eps, _ = batch(torch.float32)
    loss = Loss(CosineSchedule())(Denoiser(Net(lambda z: z.bfloat16())), x, cond, t, eps)
    assert loss.dtype == torch.float32


def test_by_noise_level():
    logsnr = torch.tensor([-9.0, -5.0, -1.0, 0.0, 2.0, 20.0])
    loss = torch.tensor([1.0, 2.0, 4.0, 6.0, 8.0, 10.0])
    mean, count = by_noise_level(logsnr, loss, torch.tensor([-5.0, 0.0, 4.0, 15.0]))
    assert count.tolist() == [1, 2, 2, 0, 1]
    assert mean.tolist() == [1, 3, 7, 0, 10]


def test_by_noise_level_keeps_a_nan_in_its_bin():
    loss = torch.tensor([float("nan"), 2.0], requires_grad=True)
    mean, _ = by_noise_level(torch.tensor([-1.0, 1.0]), loss, torch.tensor([0.0]))
    assert mean[0].isnan()
    assert mean[1] == 2
    assert not mean.requires_grad
