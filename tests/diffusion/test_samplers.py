"""Samplers against a Gaussian data distribution: every step is linear, and everything is known exactly."""

import math
from itertools import pairwise

import pytest
import torch

from imagen.diffusion import (
    DDIM,
    DDPM,
    CosineSchedule,
    DPMSolverPP2M,
    Heun,
    LinearSchedule,
    Randomness,
    Static,
    alpha_sigma,
    logsnr_grid,
)

MEAN, STD = 0.3, 0.5
DETERMINISTIC = {"DDIM": DDIM(), "DPM++2M": DPMSolverPP2M(), "Heun": Heun()}
STOCHASTIC = {
    "DDPM-lower": DDPM(0.0),
    "DDPM-middle": DDPM(0.4),
    "DDPM-upper": DDPM(1.0),
    "DDIM-half": DDIM(0.5),
    "DDIM-one": DDIM(1.0),
}
ALL = DETERMINISTIC | STOCHASTIC
deterministic = pytest.mark.parametrize("sampler", DETERMINISTIC.values(), ids=DETERMINISTIC)
stochastic = pytest.mark.parametrize("sampler", STOCHASTIC.values(), ids=STOCHASTIC)
every = pytest.mark.parametrize("sampler", ALL.values(), ids=ALL)


def denoise(z, logsnr):
    """E[x | z] for x ~ N(MEAN, STD^2)."""
    alpha, sigma = alpha_sigma(logsnr)
    return MEAN + STD**2 * alpha * (z - alpha * MEAN) / (alpha**2 * STD**2 + sigma**2)


class Basis:
    """Instead of noise: at draw i, 1 for image i and 0 for all others. A linear sampler then shows its factor
    of each noise, and so the exact deviation of its samples."""

    def __init__(self, size: int) -> None:
        self.size, self.drawn = size, 0

    def normal(self, *shape: int) -> torch.Tensor:
        self.drawn += 1
        draw = torch.zeros(self.size, *shape)
        draw[self.drawn] = 1
        return draw


def moments(sampler, grid):
    """Mean and standard deviation of the samples, exactly."""
    size = len(grid) + 1
    z = torch.zeros(size, 1, 1, 1, dtype=torch.float64)
    z[0] = 1
    x = sampler(denoise, z, grid, Basis(size)).flatten()
    mean = x[-1].item()  # the image without noise: no sampler draws that often
    return mean, math.sqrt((x - mean).square().sum().item())


@every
@pytest.mark.parametrize("schedule", [CosineSchedule(), LinearSchedule()], ids=["cosine", "linear"])
def test_samples_have_the_data_s_mean_and_deviation(sampler, schedule):
    errors = []
    for steps in (32, 128, 512):
        mean, std = moments(sampler, logsnr_grid(schedule, steps))
        errors.append(abs(mean - MEAN) + abs(std - STD))
    assert errors[2] < 0.01
    assert errors[2] < errors[1] < errors[0] or errors[1] < 0.005


@every
def test_real_noise_gives_those_moments_too(sampler):
    z = Randomness([1]).normal(3, 64, 64)
    x = sampler(denoise, z, logsnr_grid(CosineSchedule(), 64), Randomness([2]))
    assert x.dtype == torch.float32
    assert abs(x.mean() - MEAN) < 0.03
    assert abs(x.std() - STD) < 0.03


@deterministic
def test_order_of_convergence_to_the_exact_solution(sampler):
    """The probability-flow ODE keeps quantiles: (x - mu) / s = (z - alpha mu) / std(z).

    On a grid equally spaced in logsnr, so that all of its steps shrink, that ends where z is x.
    """
    z = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(9, 1, 1, 1)
    first, last = torch.tensor(-15.0, dtype=torch.float64), 30.0
    alpha, sigma = alpha_sigma(first)
    exact = MEAN + STD * (z - alpha * MEAN) / (alpha**2 * STD**2 + sigma**2).sqrt()
    errors = []
    for steps in (80, 160, 320):
        grid = torch.linspace(first.item(), last, steps + 1, dtype=torch.float64)
        x = sampler(denoise, z, grid, Randomness(range(9)))
        errors.append((x - exact).abs().max().item())
    orders = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
    expected = 1 if isinstance(sampler, DDIM) else 2
    assert orders[-1] == pytest.approx(expected, abs=0.05), (errors, orders)


@every
def test_a_single_step_returns_x_hat(sampler):
    z = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    grid = logsnr_grid(CosineSchedule(), 1)
    assert torch.equal(sampler(denoise, z, grid, Randomness([0, 1])), denoise(z, grid[0]))


@every
def test_the_last_step_returns_x_hat_so_samples_keep_the_threshold(sampler):
    def thresholded(z, logsnr):
        return Static()(5 * denoise(z, logsnr))

    z = Randomness([0, 1]).normal(3, 8, 8)
    for steps in (2, 5, 30):
        x = sampler(thresholded, z, logsnr_grid(CosineSchedule(), steps), Randomness([0, 1]))
        assert x.abs().max() <= 1


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_type_goes_through(sampler, dtype):
    z = Randomness([0]).normal(3, 4, 4).to(dtype)
    x = sampler(denoise, z, logsnr_grid(CosineSchedule(), 10), Randomness([0]))
    assert x.dtype == dtype
    assert x.isfinite().all()


@every
def test_samplers_are_pure_and_an_image_does_not_depend_on_its_batch(sampler):
    grid = logsnr_grid(CosineSchedule(), 8)
    z = Randomness([5, 6, 7]).normal(3, 4, 4)
    before = z.clone()
    batch = sampler(denoise, z, grid, Randomness([5, 6, 7]))
    assert torch.equal(z, before)
    assert torch.equal(batch, sampler(denoise, z, grid, Randomness([5, 6, 7])))
    assert torch.equal(batch[1:2], sampler(denoise, z[1:2], grid, Randomness([6])))


@pytest.mark.parametrize(("sampler", "calls"), [(DDPM(), 8), (DDIM(), 8), (DPMSolverPP2M(), 8), (Heun(), 15)])
def test_evaluations(sampler, calls):
    """Of N steps; each level is asked for on the host, so that nobody waits for a device."""
    grid = logsnr_grid(CosineSchedule(), 8)
    asked = []

    def counted(z, logsnr):
        asked.append(logsnr)
        return denoise(z, logsnr)

    sampler(counted, torch.randn(1, 3, 4, 4), grid, Randomness([0]))
    assert len(asked) == calls
    assert {level.item() for level in asked} == set(grid[:-1].tolist())
    assert all(level.device.type == "cpu" and level.ndim == 0 for level in asked)


def test_ddim_with_eta_1_is_ddpm_with_the_lower_variance():
    for t, s in pairwise(logsnr_grid(CosineSchedule(), 10).tolist()):
        assert DDIM(1.0).step(t, s) == pytest.approx(DDPM(0.0).step(t, s), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("t", "s"), [(-15.0, -14.0), (-15.0, 15.0), (0.0, 0.1), (3.0, 9.0)])
def test_ddpm_s_mean_and_variance_are_the_posterior_s(t, s):
    """Bayes' rule: z_s | x ~ N(alpha_s x, sigma_s^2), z_t | z_s ~ N(a z_s, sigma_t^2 - a^2 sigma_s^2)."""
    (alpha_t, sigma_t), (alpha_s, sigma_s) = (
        [value.item() for value in alpha_sigma(torch.tensor(level, dtype=torch.float64))] for level in (t, s)
    )
    a = alpha_t / alpha_s
    spread = sigma_t**2 - a**2 * sigma_s**2
    precision = 1 / sigma_s**2 + a**2 / spread
    by_z, by_x, noise = DDPM(0.0).step(t, s)
    assert by_z == pytest.approx(a / spread / precision, rel=1e-7)
    assert by_x == pytest.approx(alpha_s / sigma_s**2 / precision, rel=1e-7)
    assert noise**2 == pytest.approx(1 / precision, rel=1e-7)
    assert DDPM(1.0).step(t, s)[2] ** 2 == pytest.approx(spread, rel=1e-7)
    assert DDPM(0.3).step(t, s)[2] == pytest.approx(noise**0.7 * math.sqrt(spread) ** 0.3, rel=1e-7)


def test_the_grid():
    grid = logsnr_grid(CosineSchedule(), 4)
    t = torch.tensor([1, 0.75, 0.5, 0.25, 0], dtype=torch.float64)
    torch.testing.assert_close(grid, CosineSchedule()(t))


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="steps=0"):
        logsnr_grid(CosineSchedule(), 0)
    with pytest.raises(ValueError, match=r"variance=1\.5"):
        DDPM(1.5)
    with pytest.raises(ValueError, match="eta=-1"):
        DDIM(-1)
