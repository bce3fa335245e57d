"""The training loss: the squared error of what the network predicts, weighted and recorded by noise level.

B batch, R resolution. A weight is a function (logsnr (B,), predict) -> (B,), the factor of the mean squared
error *of what the network predicts*. MinSNR and Truncated are defined on the error of x: they mean the same
for eps, x, v.
"""

import math
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from imagen.diffusion.denoiser import Denoiser, Predict, target
from imagen.diffusion.schedule import Schedule, alpha_sigma, expand


class Weight(Protocol):
    """(logsnr (B,), what the network predicts) -> the factor (B,) of its mean squared error."""

    def __call__(self, logsnr: Tensor, predict: Predict) -> Tensor: ...


def log_error_ratio(logsnr: Tensor, predict: Predict) -> Tensor:
    """log(squared error of what is predicted / squared error of x), any shape: snr for eps, snr + 1 for v
    (Salimans & Ho, arXiv 2202.00512, section 4)."""
    if predict == "eps":
        return logsnr
    if predict == "v":
        return F.softplus(logsnr)
    return torch.zeros_like(logsnr)


class Simple:
    """Weight 1 (section 2.1, equation 1; Ho et al.'s L_simple)."""

    def __call__(self, logsnr: Tensor, predict: Predict) -> Tensor:
        return torch.ones_like(logsnr)


class MinSNR:
    """min(snr, gamma) on the error of x (Hang et al., arXiv 2303.09556, section 3.4; gamma = 5 is theirs)."""

    def __init__(self, gamma: float = 5.0) -> None:
        if not 0 < gamma < math.inf:
            raise ValueError(f"gamma={gamma}: must be above 0 and finite; 5 is usual")
        self.gamma = gamma

    def __call__(self, logsnr: Tensor, predict: Predict) -> Tensor:
        return torch.exp(logsnr.clamp(max=math.log(self.gamma)) - log_error_ratio(logsnr, predict))


class Truncated:
    """max(snr, 1) on the error of x: the larger of the errors of x and of eps (Salimans & Ho, section 4)."""

    def __call__(self, logsnr: Tensor, predict: Predict) -> Tensor:
        return torch.exp(logsnr.clamp(min=0) - log_error_ratio(logsnr, predict))


class Loss:
    """w(t) ||prediction - target||^2 / (3 R R) of each picture: section 2.1, equation 1."""

    def __init__(self, schedule: Schedule, weight: Weight | None = None) -> None:
        self.schedule, self.weight = schedule, weight or Simple()

    def __call__(self, denoiser: Denoiser, x: Tensor, cond: Any, t: Tensor, eps: Tensor) -> Tensor:
        """x (B, 3, R, R) in [-1, 1], t (B,) in [0, 1], eps standard normal like x -> (B,), x's type."""
        logsnr = self.schedule(t)
        alpha, sigma = alpha_sigma(expand(logsnr, x))
        output = denoiser(alpha * x + sigma * eps, logsnr, cond)
        error = (output - target(denoiser.predict, x, eps, logsnr)).square().flatten(1).mean(1)
        return self.weight(logsnr, denoiser.predict) * error


class ByNoiseLevel(NamedTuple):
    """Mean loss and number of images of each bin, (K,) both; the mean of an empty bin is 0."""

    mean: Tensor
    count: Tensor


def by_noise_level(logsnr: Tensor, loss: Tensor, edges: Tensor) -> ByNoiseLevel:
    """`logsnr`, `loss` (B,), `edges` (K - 1,) ascending -> K bins: below edges[0], ..., from edges[-1] up."""
    bins = torch.bucketize(logsnr, edges.to(logsnr), right=True)
    inside = bins[:, None] == torch.arange(len(edges) + 1, device=bins.device)
    count = inside.sum(0)
    total = torch.where(inside, loss.detach()[:, None], 0).sum(0)
    return ByNoiseLevel(total / count.clamp(min=1), count)
