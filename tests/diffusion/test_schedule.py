"""Schedules: their ends, their inverses, and DDPM's discrete schedule as the linear one's limit."""

import math

import pytest
import torch

from imagen.diffusion import CosineSchedule, LinearSchedule, alpha_sigma
from imagen.diffusion.schedule import expand

SCHEDULES = {
    "cosine": CosineSchedule(),
    "shifted": CosineSchedule(shift=2 * math.log(64 / 256)),
    "wide": CosineSchedule(logsnr_min=-40, logsnr_max=40),
    "linear": LinearSchedule(),
}
schedules = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)


@schedules
def test_the_inverse_inverts(schedule):
    t = torch.linspace(0, 1, 1001, dtype=torch.float64)
    torch.testing.assert_close(schedule.inverse(schedule(t)), t, rtol=0, atol=1e-13)


@schedules
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logsnr_falls_and_its_ends_are_finite(schedule, dtype):
    logsnr = schedule(torch.linspace(0, 1, 1001, dtype=dtype))
    assert logsnr.isfinite().all()
    assert (logsnr.diff() < 0).all()
    assert logsnr.dtype == dtype


@schedules
def test_float32_is_as_good_as_its_input(schedule):
    t = torch.linspace(0, 1, 1001, dtype=torch.float32)
    torch.testing.assert_close(schedule(t), schedule(t.double()).float(), rtol=1e-6, atol=1e-5)


@schedules
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_variance_is_preserved(schedule, dtype):
    alpha, sigma = alpha_sigma(schedule(torch.linspace(0, 1, 1001, dtype=dtype)))
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(alpha))
    torch.testing.assert_close(
        2 * (alpha.log() - sigma.log()), schedule(torch.linspace(0, 1, 1001, dtype=dtype))
    )


@pytest.mark.parametrize("shift", [0.0, -3.0, 2.0])
def test_cosine_runs_between_its_limits(shift):
    schedule = CosineSchedule(shift, logsnr_min=-12, logsnr_max=14)
    ends = schedule(torch.tensor([0.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(ends, torch.tensor([14.0, -12.0], dtype=torch.float64))


def test_cosine_is_a_cosine():
    t = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    alpha, _ = alpha_sigma(CosineSchedule(logsnr_min=-60, logsnr_max=60)(t))
    torch.testing.assert_close(alpha, torch.cos(math.pi / 2 * t), rtol=1e-9, atol=0)


def test_a_shift_is_a_shift():
    t = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    wide = {"logsnr_min": -60, "logsnr_max": 60}
    plain, shifted = CosineSchedule(**wide)(t), CosineSchedule(shift=-2.0, **wide)(t)
    torch.testing.assert_close(shifted, plain - 2, rtol=1e-9, atol=1e-9)


def test_linear_is_the_limit_of_ddpm():
    """alpha^2 of the 1000 steps (Ho et al.) against the integral: equal but for the steps' coarseness."""
    discrete = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    alpha, _ = alpha_sigma(LinearSchedule(t_min=1e-12)(t))
    torch.testing.assert_close(alpha**2, discrete, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("make", "values", "words"),
    [
        (CosineSchedule, {"shift": math.nan}, "shift=nan"),
        (CosineSchedule, {"shift": 20}, "shift=20"),
        (CosineSchedule, {"logsnr_min": 15, "logsnr_max": -15}, "must rise"),
        (CosineSchedule, {"logsnr_max": math.inf}, "logsnr_max=inf"),
        (CosineSchedule, {"logsnr_min": -2000}, "logsnr_min=-2000"),
        (LinearSchedule, {"beta_min": 0}, "beta_min=0"),
        (LinearSchedule, {"beta_max": 0.1}, "must rise"),
        (LinearSchedule, {"t_min": 0}, "t_min=0"),
        (LinearSchedule, {"t_min": math.nan}, "t_min=nan"),
    ],
)
def test_a_schedule_that_does_not_fall_is_refused(make, values, words):
    with pytest.raises(ValueError, match=words):
        make(**values)


def test_expand():
    x = torch.zeros(2, 3, 4, 4)
    assert expand(torch.zeros(2), x).shape == (2, 1, 1, 1)
    assert expand(torch.tensor(0.0), x).shape == ()
