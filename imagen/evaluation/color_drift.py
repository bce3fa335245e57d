"""Does a super-resolution stage keep the colours of its low-resolution input? One number a stage."""

from torch import Tensor

from imagen.conditioning import downsample


def color_drift(pictures: Tensor, lowres: Tensor) -> float:
    """How far the mean colour moved from the low-resolution input to the stage's picture.

    `pictures` (B, 3, R, R) and `lowres` (B, 3, r, r) in [-1, 1], r <= R. The pictures are brought down to r,
    and the mean of each channel of each picture is compared: the mean absolute difference, as a share of the
    full range (0 = none, 1 = black became white). Users of other implementations see this as tinted
    super-resolution."""
    down = downsample(pictures, lowres.shape[-1])
    return float((down.mean((2, 3)) - lowres.mean((2, 3))).abs().mean() / 2)
