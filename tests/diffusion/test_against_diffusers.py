"""Samplers against diffusers' schedulers: the same noise levels, the same noise, a fake model."""

import pytest
import torch

from imagen.diffusion import DDIM, DDPM, DPMSolverPP2M, Randomness

diffusers = pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
STEPS = 20
SCHEDULES = ["linear", "squaredcos_cap_v2"]


def denoise(z, logsnr):
    """Anything nonlinear that knows its level."""
    return torch.tanh(1.3 * z + 0.1 * logsnr.to(z.dtype)) + 0.2 * z


def grid_of(alphas_cumprod, timesteps):
    """Our levels for their timesteps; where the grid ends does not matter."""
    alpha2 = alphas_cumprod.double()[timesteps]
    return torch.cat([torch.log(alpha2 / (1 - alpha2)), torch.tensor([torch.inf])])


def exact(scheduler):
    """Their levels in float64: 1 - alpha^2 in float32 is too coarse near t = 0 to compare to 1e-5."""
    scheduler.alphas_cumprod = torch.cumprod(1 - scheduler.betas.double(), 0)
    return scheduler


def theirs(scheduler, z, **options):
    grid = grid_of(scheduler.alphas_cumprod, scheduler.timesteps)
    for timestep, level in zip(scheduler.timesteps, grid):
        z = scheduler.step(denoise(z, level), timestep, z, **options).prev_sample
    return grid, z


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("variance", "name"), [(0.0, "fixed_small"), (1.0, "fixed_large")])
def test_ddpm(schedule, variance, name):
    options = {"clip_sample": False, "prediction_type": "sample"}
    scheduler = exact(diffusers.DDPMScheduler(beta_schedule=schedule, variance_type=name, **options))
    scheduler.set_timesteps(STEPS)
    z = Randomness([0]).normal(3, 8, 8)
    grid, expected = theirs(scheduler, z, generator=Randomness([1]).generators[0])
    x = DDPM(variance)(denoise, z, grid, Randomness([1]))
    torch.testing.assert_close(x, expected.to(x.dtype), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("variance", "name"), [(0.0, "fixed_small"), (1.0, "fixed_large")])
def test_the_bounds_of_ddpm_s_variance(schedule, variance, name):
    scheduler = exact(diffusers.DDPMScheduler(beta_schedule=schedule, variance_type=name))
    scheduler.set_timesteps(STEPS)
    levels = grid_of(scheduler.alphas_cumprod, scheduler.timesteps).tolist()
    for i, timestep in enumerate(scheduler.timesteps[:-1]):
        deviation = DDPM(variance).step(levels[i], levels[i + 1])[2]
        assert deviation**2 == pytest.approx(scheduler._get_variance(timestep).item(), rel=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim(schedule, eta):
    options = {"clip_sample": False, "prediction_type": "sample"}
    scheduler = exact(diffusers.DDIMScheduler(beta_schedule=schedule, **options))
    scheduler.set_timesteps(STEPS)
    z = Randomness([0]).normal(3, 8, 8)
    grid, expected = theirs(scheduler, z, eta=eta, generator=Randomness([1]).generators[0])
    x = DDIM(eta)(denoise, z, grid, Randomness([1]))
    torch.testing.assert_close(x, expected.to(x.dtype), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [5, 20])
def test_dpm_solver(schedule, steps):
    scheduler = exact(
        diffusers.DPMSolverMultistepScheduler(
            beta_schedule=schedule,
            algorithm_type="dpmsolver++",
            solver_order=2,
            prediction_type="sample",
            timestep_spacing="leading",
        )
    )
    scheduler.set_timesteps(steps)
    z = Randomness([0]).normal(3, 8, 8)
    grid, expected = theirs(scheduler, z)
    x = DPMSolverPP2M()(denoise, z, grid, Randomness([1]))
    torch.testing.assert_close(x, expected, rtol=1e-5, atol=1e-5)
