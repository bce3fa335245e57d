"""Noise schedules in continuous time: t in [0, 1], 0 is clean, 1 is noise; logsnr = log(alpha^2 / sigma^2).

z = alpha x + sigma eps with alpha^2 + sigma^2 = 1 (variance preserving), section 2.1.
"""

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Schedule(Protocol):
    """t of any shape in [0, 1] -> logsnr of the same shape, falling in t; and back."""

    def __call__(self, t: Tensor) -> Tensor: ...

    def inverse(self, logsnr: Tensor) -> Tensor: ...


def alpha_sigma(logsnr: Tensor) -> tuple[Tensor, Tensor]:
    """alpha = sqrt(sigmoid(logsnr)), sigma = sqrt(sigmoid(-logsnr)); any shape."""
    return torch.sqrt(torch.sigmoid(logsnr)), torch.sqrt(torch.sigmoid(-logsnr))


def expand(level: Tensor, like: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, 1), as many ones as `like` has further dimensions; a 0-dimensional level stays so."""
    return level if level.ndim == 0 else level.reshape(-1, *[1] * (like.ndim - 1))


class CosineSchedule:
    """alpha = cos(pi t / 2) (Nichol & Dhariwal, arXiv 2102.09672, without their offset), the paper's for base
    and 64 -> 256. The angle's range is cut so that logsnr runs from logsnr_max to logsnr_min (our choice).

    `shift` is added to logsnr: 2 log(64 / R) keeps the signal-to-noise ratio of a 64 x 64 picture at
    resolution R (simple diffusion, arXiv 2301.11093); 0 is the plain schedule. The limits hold for the sum.
    """

    def __init__(self, shift: float = 0.0, logsnr_min: float = -15.0, logsnr_max: float = 15.0) -> None:
        if not -100 <= logsnr_min < shift < logsnr_max <= 100:  # beyond, float32 has no such angles
            raise ValueError(
                f"logsnr_min={logsnr_min}, shift={shift}, logsnr_max={logsnr_max}: must rise, within -100 and 100"
            )
        self.shift, self.logsnr_min, self.logsnr_max = shift, logsnr_min, logsnr_max
        self.angle_min = math.atan(math.exp(-0.5 * (logsnr_max - shift)))
        self.complement_min = math.atan(math.exp(0.5 * (logsnr_min - shift)))
        self.span = math.pi / 2 - self.angle_min - self.complement_min

    def __call__(self, t: Tensor) -> Tensor:
        # cos(angle) as the sine of its complement: in float32, tan loses all precision near pi / 2.
        angle, complement = self.angle_min + t * self.span, self.complement_min + (1 - t) * self.span
        return 2 * (torch.log(torch.sin(complement)) - torch.log(torch.sin(angle))) + self.shift

    def inverse(self, logsnr: Tensor) -> Tensor:
        return (torch.atan(torch.exp(-0.5 * (logsnr - self.shift))) - self.angle_min) / self.span


class LinearSchedule:
    """alpha^2 = exp(-integral of beta), beta(t) linear from 1000 x 1e-4 to 1000 x 0.02: the continuous limit
    of DDPM's 1000 steps (Ho et al., arXiv 2006.11239), the paper's for 256 -> 1024. t = 0 stands for `t_min`
    of it, a tenth of DDPM's first step (our choice), which keeps logsnr finite: 11.5 there, -10 at t = 1.
    """

    def __init__(self, beta_min: float = 0.1, beta_max: float = 20.0, t_min: float = 1e-4) -> None:
        if not 0 < beta_min < beta_max < math.inf:
            raise ValueError(
                f"beta_min={beta_min}, beta_max={beta_max}: must rise, from above 0, and be finite"
            )
        if not 0 < t_min < 1:
            raise ValueError(f"t_min={t_min}: must be above 0 and below 1; 0 would be infinite logsnr")
        self.beta_min, self.beta_max, self.t_min = beta_min, beta_max, t_min

    def __call__(self, t: Tensor) -> Tensor:
        s = self.t_min + t * (1 - self.t_min)
        integral = self.beta_min * s + 0.5 * (self.beta_max - self.beta_min) * s**2
        return -torch.log(torch.expm1(integral))

    def inverse(self, logsnr: Tensor) -> Tensor:
        integral = F.softplus(-logsnr)
        root = torch.sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * integral)
        return (2 * integral / (self.beta_min + root) - self.t_min) / (1 - self.t_min)
