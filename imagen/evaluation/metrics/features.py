"""What set metrics are computed on: pictures -> features, by an extractor that is handed in; and the checks of features.

n pictures, D width of the features, B batch, H x W size of the pictures.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

Key = dict[str, Any]
"""What identifies an extractor, plain JSON: kind, weights (sha256), size, resize, normalization. Two numbers may be
compared only when their keys are equal."""


class Extractor(Protocol):
    """Pictures -> features. Deterministic, in inference mode, and batch-independent: a picture's features are the same
    in any batch (to the rounding of float32)."""

    @property
    def key(self) -> Key:
        """See `Key`."""
        ...

    @property
    def dim(self) -> int:
        """D."""
        ...

    def __call__(self, pictures: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) in 0..255 -> float32 (B, D)."""
        ...


class Pixels:
    """The picture's mean colours on a grid: no weights, no network. For tests and tiny studies.

    A Frechet distance over these is NOT the FID, and is not to be called so: it compares colours and layout only.
    `grid` x `grid` area averages of 3 channels in [0, 1] -> 3 * grid^2 numbers (8: 192).
    """

    def __init__(self, grid: int = 8):
        if grid < 1:
            raise ValueError(f"grid={grid}: give at least 1")
        self.grid, self.dim = grid, 3 * grid * grid

    @property
    def key(self) -> Key:
        """Names it as pixels, not as a network."""
        return {
            "kind": "pixels, no network: not an FID",
            "weights": None,
            "size": self.grid,
            "resize": "area",
            "normalization": "0..1",
        }

    @torch.inference_mode()
    def __call__(self, pictures: Tensor) -> Tensor:
        """See `Extractor`. Pictures smaller than the grid are refused."""
        check_pictures(pictures)
        if min(pictures.shape[2:]) < self.grid:
            raise ValueError(f"pictures of {_size(pictures)} are smaller than the grid={self.grid} of Pixels")
        return F.adaptive_avg_pool2d(pictures.float() / 255, self.grid).flatten(1)


def extract(extractor: Extractor, batches: Iterable[Tensor]) -> Tensor:
    """The features of all pictures in order: batches of uint8 (B, 3, H, W) -> float32 (n, D) on the CPU.

    ValueError for pictures that are not uint8, of more than one size, for none at all, and for an extractor that gives
    anything but (B, dim) finite numbers.
    """
    rows, size = [], None
    for pictures in batches:
        check_pictures(pictures)
        if size is not None and _size(pictures) != size:
            raise ValueError(
                f"pictures of {size} and of {_size(pictures)} in one set; bring them to one size first"
            )
        size = _size(pictures)
        rows.append(from_extractor(extractor(pictures), len(pictures), extractor))
    if not rows:
        raise ValueError("no pictures to extract features from; is the folder empty?")
    return torch.cat(rows)


def from_extractor(features: object, batch: int, extractor: Extractor) -> Tensor:
    """`features` as float32 (batch, dim) on the CPU; ValueError when the extractor gave anything else, or NaN."""
    name, wanted = type(extractor).__name__, (batch, extractor.dim)
    if not isinstance(features, Tensor) or tuple(features.shape) != wanted:
        found = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ValueError(f"extractor {name} gave {found}, not features of shape (B, dim) = {wanted}")
    if not features.isfinite().all():
        raise ValueError(f"extractor {name} gave features that are NaN or infinite; are its weights sound?")
    return features.detach().to("cpu", torch.float32)


def check_pictures(pictures: Tensor) -> None:
    """ValueError, one line, for anything but uint8 (B, 3, H, W) with B, H, W >= 1."""
    if not isinstance(pictures, Tensor):
        raise ValueError(f"pictures must be a tensor uint8 (B, 3, H, W), found {type(pictures).__name__}")
    if pictures.is_floating_point() and not pictures.isfinite().all():
        raise ValueError("pictures hold NaN or infinite values: the sampling overflowed; draw them again")
    if pictures.dtype != torch.uint8:
        raise ValueError(f"pictures must be uint8 0..255, found {pictures.dtype}; bring them there first")
    if pictures.ndim != 4 or pictures.shape[1] != 3 or 0 in pictures.shape:
        raise ValueError(f"pictures must be (B, 3, H, W), found {tuple(pictures.shape)}")


def check_features(features: Tensor, name: str, least: int = 2, most: float = float("inf")) -> Tensor:
    """(n, D) features -> the same in float64 on their device. `name` is for messages ("real", "made").

    ValueError for another shape, fewer than `least` rows, more than `most`, NaN or infinite values, and rows that are
    all equal (with two or more rows): one picture copied is no set.
    """
    if not isinstance(features, Tensor) or features.ndim != 2 or features.shape[1] == 0:
        found = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ValueError(f"{name}: features must be (n, D), found {found}")
    if len(features) < least:
        raise ValueError(f"{name}: {len(features)} pictures, but this needs at least {least}; draw more")
    if len(features) > most:
        raise ValueError(f"{name}: {len(features)} pictures, but this takes at most {most:.0f}; give fewer")
    if not features.isfinite().all():
        bad = int((~features.isfinite()).any(1).nonzero()[0])
        raise ValueError(f"{name}: the features of picture {bad} are NaN or infinite; extract them again")
    if len(features) > 1 and bool((features == features[:1]).all()):
        raise ValueError(
            f"{name}: all {len(features)} pictures have the same features (zero variance); is it one picture copied?"
        )
    return features.to(torch.float64)


def check_pair(real: Tensor, made: Tensor, least: int = 2) -> tuple[Tensor, Tensor]:
    """Features of two sets, (n, D) and (m, D), in float64; ValueError as `check_features`, and for other widths."""
    real, made = check_features(real, "real", least), check_features(made, "made", least)
    if real.shape[1] != made.shape[1]:
        raise ValueError(
            f"features of different width: real {real.shape[1]}, made {made.shape[1]}; use one extractor for both"
        )
    return real, made.to(real.device)


def exact_convolutions() -> AbstractContextManager[None]:
    """Within it a GPU's convolutions are those of float32 (not of TF32, which has 10 bits), and the same in every run."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def _size(pictures: Tensor) -> str:
    return f"{pictures.shape[-1]} x {pictures.shape[-2]}"
