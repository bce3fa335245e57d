"""The mathematics of diffusion: schedule, denoiser, loss, guidance, thresholding, samplers. PyTorch only."""

from imagen.diffusion.denoiser import Denoise, Denoiser, Estimate
from imagen.diffusion.guidance import guide
from imagen.diffusion.loss import Loss, MinSNR, Simple, Truncated, by_noise_level
from imagen.diffusion.randomness import Randomness
from imagen.diffusion.samplers import DDIM, DDPM, DPMSolverPP2M, Heun, Sampler, logsnr_grid
from imagen.diffusion.schedule import CosineSchedule, LinearSchedule, Schedule, alpha_sigma
from imagen.diffusion.thresholding import Dynamic, NoThreshold, Static, Threshold

__all__ = [
    "DDIM",
    "DDPM",
    "CosineSchedule",
    "DPMSolverPP2M",
    "Denoise",
    "Denoiser",
    "Dynamic",
    "Estimate",
    "Heun",
    "LinearSchedule",
    "Loss",
    "MinSNR",
    "NoThreshold",
    "Randomness",
    "Sampler",
    "Schedule",
    "Simple",
    "Static",
    "Threshold",
    "Truncated",
    "alpha_sigma",
    "by_noise_level",
    "guide",
    "logsnr_grid",
]
