"""Samplers: pure functions `(denoise, z, logsnr_grid, random) -> x`, from pure noise to a picture.

B batch, R resolution, N steps. `denoise`: (z, logsnr) -> x_hat. z (B, 3, R, R) standard normal, any floating
type. `logsnr_grid` (N + 1,) rising, from the noise of z to clean. `random` makes the noise of stochastic
samplers. A step goes from level t (grid[i]) to level s (grid[i + 1]). The last one returns x_hat: it goes to
logsnr = infinity, wherever the grid ends.

The coefficients are computed in float64 on the host before the loop, and `denoise` is given each level as a
0-dimensional host tensor, so the host never waits for the device."""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from imagen.diffusion.denoiser import Denoise
from imagen.diffusion.randomness import Randomness
from imagen.diffusion.schedule import Schedule

Sampler = Callable[[Denoise, Tensor, Tensor, Randomness], Tensor]


def logsnr_grid(schedule: Schedule, steps: int) -> Tensor:
    """(steps + 1,) float64 on the host: the schedule at t = 1 ... 0, equally spaced in t."""
    if steps < 1:
        raise ValueError(f"steps={steps}: sampling needs at least 1")
    return schedule(torch.linspace(1, 0, steps + 1, dtype=torch.float64))


def _levels(grid: Tensor) -> tuple[Tensor, list[float]]:
    grid = grid.detach().to("cpu", torch.float64)
    return grid, grid.tolist()


def _alpha(logsnr: float) -> float:
    return math.exp(-0.5 * _softplus(-logsnr))


def _sigma(logsnr: float) -> float:
    return math.exp(-0.5 * _softplus(logsnr))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _ancestral(
    denoise: Denoise,
    z: Tensor,
    grid: Tensor,
    coefficients: list[tuple[float, float, float]],
    random: Randomness,
) -> Tensor:
    """z_s = a z_t + b x_hat + c noise for each (a, b, c), then x_hat at the last level but one."""
    for level, (a, b, c) in zip(grid, coefficients):
        z = a * z + b * denoise(z, level)
        if c > 0:
            z = z + c * random.normal(*z.shape[1:]).to(z)
    return denoise(z, grid[-2])


class DDPM:
    """Ancestral sampling (Ho et al., arXiv 2006.11239, section 3.2): the posterior q(z_s | z_t, x_hat).

    Its variance is interpolated in log space between sigma_s^2 (1 - e^(l_t - l_s)), right for data of one
    picture, and sigma_t^2 (1 - e^(l_t - l_s)), right for standard normal data. `variance` in [0, 1] is the
    share of the second; our default is 0, the posterior's own.
    """

    def __init__(self, variance: float = 0.0) -> None:
        if not 0 <= variance <= 1:
            raise ValueError(f"variance={variance}: from 0 (the lower bound) to 1 (the upper bound)")
        self.variance = variance

    def __call__(self, denoise: Denoise, z: Tensor, logsnr_grid: Tensor, random: Randomness) -> Tensor:
        grid, levels = _levels(logsnr_grid)
        return _ancestral(denoise, z, grid, [self.step(t, s) for t, s in pairwise(levels[:-1])], random)

    def step(self, t: float, s: float) -> tuple[float, float, float]:
        """The factors of z_t, x_hat and the noise from logsnr t to logsnr s."""
        change = -math.expm1(t - s)
        deviation = _sigma(s) ** (1 - self.variance) * _sigma(t) ** self.variance * math.sqrt(change)
        return math.exp(t - s) * _alpha(s) / _alpha(t), _alpha(s) * change, deviation


class DDIM:
    """Song et al., arXiv 2010.02502, equation 12. `eta`: 0 is deterministic, 1 equals DDPM(variance=0)."""

    def __init__(self, eta: float = 0.0) -> None:
        if not 0 <= eta <= 1:
            raise ValueError(f"eta={eta}: from 0 (deterministic) to 1 (ancestral)")
        self.eta = eta

    def __call__(self, denoise: Denoise, z: Tensor, logsnr_grid: Tensor, random: Randomness) -> Tensor:
        grid, levels = _levels(logsnr_grid)
        return _ancestral(denoise, z, grid, [self.step(t, s) for t, s in pairwise(levels[:-1])], random)

    def step(self, t: float, s: float) -> tuple[float, float, float]:
        """The factors of z_t, x_hat and the noise from logsnr t to logsnr s."""
        renewed = -(self.eta**2) * math.expm1(t - s)
        kept = _sigma(s) / _sigma(t) * math.sqrt(1 - renewed)
        return kept, _alpha(s) - _alpha(t) * kept, _sigma(s) * math.sqrt(renewed)


class DPMSolverPP2M:
    """DPM-Solver++(2M), deterministic, second order, one evaluation a step: arXiv 2211.01095, algorithm 2."""

    def __call__(self, denoise: Denoise, z: Tensor, logsnr_grid: Tensor, random: Randomness) -> Tensor:
        grid, levels = _levels(logsnr_grid)
        before, h_before = None, math.inf
        for level, (t, s) in zip(grid, pairwise(levels[:-1])):
            x, h = denoise(z, level), (s - t) / 2
            slope = 0.0 if before is None else h / h_before / 2
            ahead = x if before is None else (1 + slope) * x - slope * before
            z = _sigma(s) / _sigma(t) * z - _alpha(s) * math.expm1(-h) * ahead
            before, h_before = x, h
        return denoise(z, grid[-2])


class Heun:
    """Heun's method on the probability-flow ODE: deterministic, second order, 2 N - 1 evaluations.

    Karras et al., arXiv 2206.00364, algorithm 1, with the scale s = cos(phi) and the noise sigma = tan(phi).
    In the angle phi = atan(sigma / alpha) the ODE is dz/dphi = v (arXiv 2202.00512, appendix D), bounded
    everywhere. EDM's own choice, z / alpha over sigma / alpha, needs EDM's grid: with one equally spaced in t
    from logsnr = -15, its first step would multiply the difference between two x_hat by 10 and more.
    """

    def __call__(self, denoise: Denoise, z: Tensor, logsnr_grid: Tensor, random: Randomness) -> Tensor:
        grid, levels = _levels(logsnr_grid)

        def velocity(z: Tensor, i: int) -> Tensor:
            return (_alpha(levels[i]) * z - denoise(z, grid[i])) / _sigma(levels[i])

        angles = [math.atan(math.exp(-level / 2)) for level in levels]
        for i, turn in enumerate(s - t for t, s in pairwise(angles[:-1])):
            v = velocity(z, i)
            z = z + turn / 2 * (v + velocity(z + turn * v, i + 1))
        return denoise(z, grid[-2])
