"""The low-resolution input of a super-resolution stage, made on the device from the high-resolution picture.

B batch, R the stage's resolution, r the resolution of the stage below, C side of a crop (R without crops).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from imagen.conditioning import augment, downsample, upsample
from imagen.diffusion.randomness import Randomness
from imagen.diffusion.schedule import Schedule


class Inputs(NamedTuple):
    """The picture (B, 3, C, C), the noised enlarged low-resolution picture (B, 3, C, C) and its logsnr
    (B,)."""

    image: Tensor
    lowres: Tensor
    logsnr: Tensor


class LowRes:
    """Downsample, enlarge, crop, and noise at a level of each image's own, U(0, `max_level`) (section 2.5 and
    appendix A.1).

    `resolution`: r, that of the stage below. `schedule`: of the noise. `crop`: side C of the crops to train
    on, in pixels of this stage, None for whole images (the paper: 64 -> 256 crops of 1024 images). Crops
    begin on a pixel of the small picture, so a crop's input is the crop of the whole input.
    """

    def __init__(
        self, resolution: int, schedule: Schedule, max_level: float = 1.0, crop: int | None = None
    ) -> None:
        if not 0 <= max_level <= 1:
            raise ValueError(f"stage.lowres.max_level={max_level}: a noise level lies between 0 and 1")
        for name, value in (("resolution", resolution), ("crop", crop)):
            if value is not None and value < 1:
                raise ValueError(f"stage.lowres.{name}={value}: must be at least 1")
        self.resolution, self.schedule, self.max_level, self.crop = resolution, schedule, max_level, crop

    def check(self, resolution: int) -> None:
        """ValueError unless a stage of `resolution` can stand on this."""
        if self.resolution >= resolution:
            raise ValueError(
                f"stage.lowres.resolution={self.resolution}: must be below stage.resolution={resolution}"
            )
        if self.crop is None:
            return
        if (
            self.crop > resolution
            or (self.crop * self.resolution) % resolution
            or resolution % self.resolution
        ):
            raise ValueError(
                f"stage.lowres.crop={self.crop}: must be at most stage.resolution={resolution} and cover "
                f"whole pixels of the {self.resolution} x {self.resolution} picture below"
            )

    def enlarged(self, image: Tensor, resolution: int) -> Tensor:
        """(B, 3, R, R), or crops of such pictures (B, 3, C, C) -> the same seen at r x r, of their size. `resolution`:
        R."""
        side = image.shape[-1]
        return upsample(downsample(image, side * self.resolution // resolution), side)

    def __call__(self, image: Tensor, random: Randomness, resolution: int) -> Inputs:
        """(B, 3, R, R) in [-1, 1], or (B, 3, C, C) if the data has cropped it already -> what a training step sees.
        `resolution`: R."""
        lowres = self.enlarged(image, resolution)
        if self.crop is not None and self.crop < image.shape[-1]:
            image, lowres = self._cropped(image, lowres, self.crop, random)
        level = self.max_level * random.uniform()
        noised, logsnr = augment(lowres, level, self.schedule, random.normal(*lowres.shape[1:]))
        return Inputs(image, noised, logsnr)

    def _cropped(self, image: Tensor, lowres: Tensor, crop: int, random: Randomness) -> tuple[Tensor, Tensor]:
        side = image.shape[-1]
        pixel = side // self.resolution
        places = torch.full((len(image),), (side - crop) // pixel + 1, device=image.device)
        # The places are compared on the device (no wait of the host): each crop is gathered by its row and
        # column numbers.
        rows, columns = (
            random.integers(places)[:, None] * pixel + torch.arange(crop, device=image.device) for _ in "yx"
        )
        batch = torch.arange(len(image), device=image.device)[:, None, None]
        pairs = torch.stack([image, lowres]).permute(
            1, 3, 4, 0, 2
        )  # (B, R, R, 2, 3): gathered dimensions first
        cut = pairs[batch, rows[:, :, None], columns[:, None, :]].permute(3, 0, 4, 1, 2)
        return cut[0], cut[1]
