"""Does a super-resolution stage's picture, brought down again, look like its low-resolution input? Numbers a picture.

B pictures, R their resolution, r that of the input. Beside `color_drift`, which is one number a stage.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from imagen.conditioning import downsample

BEST = 100.0  # dB: where nothing differs the ratio has no end, and a mean over pictures none either


@dataclass(frozen=True)
class Consistency:
    """Of B pictures against their inputs; all but `psnr` are shares of the full range, 0 = none, 1 = black became white.

    `mean_drift`, `spread_drift` (B, 3): how mean and standard deviation of each channel moved, with their sign: a
    tint, and contrast won or lost. `rmse` (B,): of the picture brought down against the input; `psnr` (B,): the same
    in dB, at most 100."""

    mean_drift: Tensor
    spread_drift: Tensor
    rmse: Tensor
    psnr: Tensor

    def summary(self) -> dict[str, float]:
        """Means over pictures and channels: of the drifts' absolute values, rmse and psnr."""
        return {
            "mean_drift": float(self.mean_drift.abs().mean()),
            "spread_drift": float(self.spread_drift.abs().mean()),
            "rmse": float(self.rmse.mean()),
            "psnr": float(self.psnr.mean()),
        }


def consistency(pictures: Tensor, lowres: Tensor, by: Literal["area", "training"] = "area") -> Consistency:
    """`pictures` (B, 3, R, R) against `lowres` (B, 3, r, r), both in [-1, 1], r <= R. The input is the one that was
    given, without its noise augmentation. `by`: how pictures are brought down, by area, or as training makes its inputs
    (antialiased bicubic), by which a real picture and the input made of it agree exactly. ValueError for shapes that do not fit, NaN, and values out of range."""
    for name, values in (("pictures", pictures), ("lowres", lowres)):
        if values.ndim != 4 or values.shape[1] != 3 or values.shape[2] != values.shape[3] or not len(values):
            raise ValueError(f"{name} must be (B, 3, R, R), found {tuple(values.shape)}")
        if not values.isfinite().all():
            raise ValueError(f"{name} hold NaN or infinite values: the sampling overflowed; draw them again")
        if values.abs().max() > 1.001:
            raise ValueError(f"{name} must be in [-1, 1], found {float(values.abs().max()):.3g}")
    if len(pictures) != len(lowres):
        raise ValueError(f"{len(pictures)} pictures and {len(lowres)} low-resolution inputs; give one each")
    if lowres.shape[-1] > pictures.shape[-1]:
        raise ValueError(
            f"lowres of {lowres.shape[-1]} pixels is larger than pictures of {pictures.shape[-1]}"
        )
    side = lowres.shape[-1]
    down = F.adaptive_avg_pool2d(pictures, side) if by == "area" else downsample(pictures, side)
    down, given = down.double(), lowres.double()
    rmse = ((down - given) / 2).square().mean((1, 2, 3)).sqrt()
    return Consistency(
        mean_drift=(down.mean((2, 3)) - given.mean((2, 3))) / 2,
        spread_drift=(_spread(down) - _spread(given)) / 2,
        rmse=rmse,
        psnr=(-20 * torch.log10(rmse)).clamp(max=BEST),
    )


def _spread(pictures: Tensor) -> Tensor:
    """(B, 3): standard deviation of each channel."""
    return pictures.flatten(2).std(2, correction=0)
