"""One stage of the cascade, sampled: its noise, its low-resolution input, guidance, thresholding, sampler.

B pictures, R resolution, L text tokens, D text width, N sampling steps. Pictures are (B, 3, R, R) in [-1, 1].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from imagen.checkpoint import Table, restore
from imagen.conditioning import Cond, augment, downsample, upsample
from imagen.diffusion import (
    DDIM,
    DDPM,
    Denoise,
    Denoiser,
    DPMSolverPP2M,
    Dynamic,
    NoThreshold,
    Randomness,
    Sampler,
    Schedule,
    Static,
    Threshold,
    guide,
    logsnr_grid,
)
from imagen.diffusion.randomness import mix
from imagen.diffusion.samplers import Heun

SAMPLERS: Table = {"DDPM": DDPM, "DDIM": DDIM, "DPMSolverPP2M": DPMSolverPP2M, "Heun": Heun}
THRESHOLDS: Table = {"NoThreshold": NoThreshold, "Static": Static, "Dynamic": Dynamic}


@dataclass(frozen=True)
class LowRes:
    """The low-resolution input of a super-resolution stage: its resolution, and the schedule of its noise
    augmentation."""

    resolution: int
    schedule: Schedule


@dataclass(frozen=True)
class CascadeStage:
    """One stage, ready to sample: `name` seeds its noise, `resolution` is of its pictures, `lowres` None for
    a base stage."""

    name: str
    resolution: int
    denoiser: Denoiser
    schedule: Schedule
    lowres: LowRes | None = None


@dataclass(frozen=True)
class Settings:
    """How to sample one stage.

    `guidance`: weight w of classifier-free guidance, 1 = off (section 2.2; the paper's pictures: about 5).
    `steps`: N. `noise_augmentation`: level in [0, 1] of the noise on the low-resolution picture (section 2.5;
    0 gives the best FID, 0.1-0.3 the best samples); a base stage has no use for it. `threshold`: section 2.3.
    `interval`: (low, high) in t where guidance acts, None for everywhere; `rescale`: see
    `imagen.diffusion.guide`."""

    guidance: float = 5.0
    steps: int = 50
    noise_augmentation: float = 0.1
    threshold: Threshold = Dynamic(0.995)  # noqa: RUF009  (has no state)
    sampler: Sampler = DDIM()  # noqa: RUF009
    interval: tuple[float, float] | None = None
    rescale: float = 0.0

    def __post_init__(self) -> None:
        for name, (low, high, words) in RANGES.items():
            value = getattr(self, name)
            if not _is_number(value) or not low <= value <= high:
                raise ValueError(f"{name}={value!s:.80}: must be a number, {words}")
        if self.steps != int(self.steps):
            raise ValueError(f"steps={self.steps}: must be a whole number")
        ends = self.interval
        if ends is not None and not (
            isinstance(ends, tuple)
            and len(ends) == 2
            and all(_is_number(end) for end in ends)
            and 0 <= ends[0] <= ends[1] <= 1
        ):
            raise ValueError(f"interval={ends!s:.80}: two ends in t, 0 <= low <= high <= 1")


RANGES = {
    "guidance": (0, 1e4, "at least 0 (1 is off) and at most 10000"),
    "steps": (1, 10_000, "at least 1 and at most 10000"),
    "noise_augmentation": (0, 1, "a level in [0, 1]; 0.1-0.3 are usual"),
    "rescale": (0, 1, "a share in [0, 1]"),
}
"""Of `Settings`: the lowest and the highest value of each, and what to say."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def sample_stage(
    stage: CascadeStage,
    text: tuple[Tensor, Tensor],
    seeds: Sequence[int],
    below: Tensor | None,
    how: Settings,
    report: Callable[[float], None] | None = None,
) -> Tensor:
    """One batch through one stage -> (B, 3, R, R) in [-1, 1].

    `text`: embeddings (B, L, D) and mask (B, L), on the stage's device. `below` (B, 3, r, r), pictures of any
    resolution for a super-resolution stage, None for a base stage. `report(share of the steps done)` at each
    step. The noise is of (seed, stage name), so that stages of one seed draw apart and a stage can be swapped
    without changing the others' noise."""
    emb, mask = text
    random = Randomness([mix(seed, stage.name) for seed in seeds], emb.device)
    shape = (3, stage.resolution, stage.resolution)
    lowres = lowres_logsnr = None
    if stage.lowres:
        assert below is not None
        if below.shape[-1] < stage.lowres.resolution:
            below = upsample(below, stage.lowres.resolution)
        lowres = upsample(downsample(below, stage.lowres.resolution), stage.resolution)
        level = torch.full((len(emb),), how.noise_augmentation, device=emb.device)
        lowres, lowres_logsnr = augment(lowres, level, stage.lowres.schedule, random.normal(*shape))
        lowres = lowres.contiguous(memory_format=torch.channels_last)
    # Falling in t, rising in logsnr: the ends change places.
    interval = how.interval and [float(stage.schedule(torch.tensor(t))) for t in reversed(how.interval)]
    denoise = guide(
        stage.denoiser,
        Cond(emb, mask, lowres, lowres_logsnr),
        how.guidance,
        threshold=how.threshold,
        interval=(interval[0], interval[1]) if interval else None,
        rescale=how.rescale,
    )
    grid = logsnr_grid(stage.schedule, how.steps)
    if report is not None:
        denoise = _reporting(denoise, grid, report)
    z = random.normal(*shape).contiguous(memory_format=torch.channels_last)
    return how.sampler(denoise, z, grid, random).clamp(-1, 1)


def read_settings(sampling: dict[str, Any], where: str) -> dict[str, Any]:
    """Settings written as plain JSON (samplers and thresholds as descriptions) -> settings for `Cascade`.
    Lists stay lists."""
    tables = {"sampler": SAMPLERS, "threshold": THRESHOLDS}
    if unknown := set(sampling) - set(Settings.__dataclass_fields__):
        raise ValueError(f"{where}: unknown settings: {', '.join(sorted(unknown))}")

    def is_interval(key: str, value: list[Any]) -> bool:
        return key == "interval" and all(isinstance(end, int | float) for end in value)

    def read(key: str, value: Any) -> Any:
        if key in tables:
            return restore(value, tables[key], f"{where}: {key}")
        return tuple(value) if isinstance(value, list) else value

    return {
        k: [read(k, v) for v in value]
        if isinstance(value, list) and not is_interval(k, value)
        else read(k, value)
        for k, value in sampling.items()
    }


def _reporting(denoise: Denoise, grid: Tensor, report: Callable[[float], None]) -> Denoise:
    """`denoise`, telling after each call how far down the noise levels it is. Both levels are on the host."""

    def counted(z: Tensor, logsnr: Tensor) -> Tensor:
        x = denoise(z, logsnr)
        report(min(1.0, int((grid <= logsnr).sum()) / (len(grid) - 1)))
        return x

    return counted
