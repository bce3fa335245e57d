"""The Inception network of the FID, and features by it; its weights are a file that a person puts there."""

from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagen.evaluation.metrics.features import Key, check_pictures, exact_convolutions
from imagen.evaluation.metrics.weights import checked_file, load_strictly, read_tensors

SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
SOURCE = (
    "pt_inception-2015-12-05-6726825d.pth (github.com/mseitzer/pytorch-fid, release fid_weights; torch-fidelity's "
    "weights-inception-2015-12-05-6726825d.pth is the same file)"
)
SIDE = 299
Shape = int | tuple[int, int]
Resize = Literal["tensorflow", "antialias", "bicubic"]
RESIZES: dict[str, str] = {
    "tensorflow": "bilinear as in TensorFlow 1 (not antialiased), as torch-fidelity and the FIDs of papers",
    "antialias": "bilinear, antialiased, as torchmetrics",
    "bicubic": "bicubic, antialiased, not rounded, as clean-fid",
}


class Inception:
    """FID's features: 2048 numbers of the TensorFlow Inception-v3 of 2015 (Heusel et al. 2017), ported to PyTorch.

    `weights`: the file of `SOURCE`; its sha256 is checked, and none is fetched. `resize`: how pictures come to 299 x 299
    (`RESIZES`); numbers of different ones are not comparable, and neither are those of pictures stored as JPEG.

    The network is written out here, tensor names as in the file, since the package torch-fidelity imports torchvision as
    a whole. With random weights its features and logits are those of torch-fidelity 0.4.0 bit for bit, at 32 to 400
    pixels (measured; a test compares them where torch-fidelity imports). With the real weights it could not be run
    where this was written.
    """

    dim = 2048

    def __init__(
        self,
        weights: str | Path,
        resize: Resize = "tensorflow",
        sha256: str = SHA256,
        device: str | torch.device = "cpu",
    ):
        if resize not in RESIZES:
            raise ValueError(f"resize={resize} is none of {', '.join(RESIZES)}")
        file, self.sha256 = checked_file(weights, sha256, "weights.inception", SOURCE)
        with torch.device("meta"):
            self.net = Network()
        self.net.to_empty(device="cpu")
        load_strictly(self.net, read_tensors(file, "weights.inception"), f"weights.inception={weights}")
        self.net.eval().requires_grad_(False).to(device)
        self.resize: Resize = resize
        self.device = torch.device(device)

    @property
    def key(self) -> Key:
        """See `features.Key`."""
        return {
            "kind": "inception-v3 2015-12-05, pool 2048",
            "weights": self.sha256,
            "size": SIDE,
            "resize": RESIZES[self.resize],
            "normalization": "(x - 128) / 128",
        }

    @torch.inference_mode()
    def __call__(self, pictures: Tensor) -> Tensor:
        """See `Extractor`."""
        check_pictures(pictures)
        with exact_convolutions():
            x = resized(pictures.to(self.device), self.resize)
            return self.net((x - 128) / 128)

    @torch.inference_mode()
    def logits(self, features: Tensor) -> Tensor:
        """Features (n, 2048) -> logits (n, 1008) for the Inception Score: without the bias of the last layer, as
        torch-fidelity's "logits_unbiased" and the original. On the features' device."""
        return features @ self.net.fc.weight.T.to(features.device)


def resized(pictures: Tensor, resize: Resize = "tensorflow") -> Tensor:
    """uint8 (B, 3, H, W) -> float32 (B, 3, 299, 299) in 0..255, by one of `RESIZES`."""
    x = pictures.float()
    if resize == "antialias":
        return F.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True)
    if resize == "bicubic":
        return F.interpolate(x, (SIDE, SIDE), mode="bicubic", antialias=True)
    # TensorFlow 1: output pixel i is read at i * size / 299, not at pixel centres, between two neighbours
    for dim in (3, 2):
        size = x.shape[dim]
        at = torch.arange(SIDE, dtype=torch.float32, device=x.device) * (size / SIDE)
        low = at.long().clamp(max=size - 1)
        part = (at - low).reshape([-1 if d == dim else 1 for d in range(4)])
        first = x.index_select(dim, low)
        x = first + (x.index_select(dim, (low + 1).clamp(max=size - 1)) - first) * part
    return x


class Network(nn.Module):
    """(B, 3, 299, 299) in [-1, 1] -> (B, 2048): Inception-v3 as TensorFlow's graph of 2015 has it, its quirks included
    (average pooling that does not count the border, a maximum where the last block's average should be, 1008
    classes). Module names are those of the weights file."""

    def __init__(self):
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = Grid35(192, 32), Grid35(256, 64), Grid35(288, 64)
        self.Mixed_6a = Reduce17(288)
        self.Mixed_6b, self.Mixed_6c = Grid17(128), Grid17(160)
        self.Mixed_6d, self.Mixed_6e = Grid17(160), Grid17(192)
        self.Mixed_7a = Reduce8(768)
        self.Mixed_7b, self.Mixed_7c = Grid8(1280, maximum=False), Grid8(2048, maximum=True)
        self.fc = nn.Linear(2048, 1008)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, 2))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        return self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean((2, 3))


class Conv(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, width: int, out: int, kernel: Shape, stride: int = 1, padding: Shape = 0):
        super().__init__()
        self.conv = nn.Conv2d(width, out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> (B, out, H', W')."""
        return F.relu(self.bn(self.conv(x)))


class Grid35(nn.Module):
    """The block of the 35 x 35 grid."""

    def __init__(self, width: int, pooled: int):
        super().__init__()
        self.branch1x1 = Conv(width, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = Conv(width, 48, 1), Conv(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = Conv(width, 64, 1)
        self.branch3x3dbl_2, self.branch3x3dbl_3 = Conv(64, 96, 3, padding=1), Conv(96, 96, 3, padding=1)
        self.branch_pool = Conv(width, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, 35, 35) -> (B, 224 + pooled, 35, 35)."""
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool(_average(x))], 1)


class Reduce17(nn.Module):
    """From 35 x 35 to 17 x 17."""

    def __init__(self, width: int):
        super().__init__()
        self.branch3x3 = Conv(width, 384, 3, stride=2)
        self.branch3x3dbl_1 = Conv(width, 64, 1)
        self.branch3x3dbl_2, self.branch3x3dbl_3 = Conv(64, 96, 3, padding=1), Conv(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, 35, 35) -> (B, 480 + width, 17, 17)."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], 1)


class Grid17(nn.Module):
    """The block of the 17 x 17 grid, with 7 x 1 and 1 x 7 convolutions; 768 channels in and out."""

    def __init__(self, c: int):
        super().__init__()
        row: dict = {"kernel": (1, 7), "padding": (0, 3)}
        column: dict = {"kernel": (7, 1), "padding": (3, 0)}
        self.branch1x1 = Conv(768, 192, 1)
        self.branch7x7_1, self.branch7x7_2 = Conv(768, c, 1), Conv(c, c, **row)
        self.branch7x7_3 = Conv(c, 192, **column)
        self.branch7x7dbl_1, self.branch7x7dbl_2 = Conv(768, c, 1), Conv(c, c, **column)
        self.branch7x7dbl_3, self.branch7x7dbl_4 = Conv(c, c, **row), Conv(c, c, **column)
        self.branch7x7dbl_5 = Conv(c, 192, **row)
        self.branch_pool = Conv(768, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 768, 17, 17) -> the same shape."""
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(_average(x))], 1)


class Reduce8(nn.Module):
    """From 17 x 17 to 8 x 8."""

    def __init__(self, width: int):
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = Conv(width, 192, 1), Conv(192, 320, 3, stride=2)
        self.branch7x7x3_1 = Conv(width, 192, 1)
        self.branch7x7x3_2 = Conv(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = Conv(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = Conv(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, 17, 17) -> (B, 512 + width, 8, 8)."""
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), seven, F.max_pool2d(x, 3, 2)], 1)


class Grid8(nn.Module):
    """The block of the 8 x 8 grid; the last one pools by `maximum`."""

    def __init__(self, width: int, maximum: bool):
        super().__init__()
        self.maximum = maximum
        self.branch1x1 = Conv(width, 320, 1)
        self.branch3x3_1 = Conv(width, 384, 1)
        self.branch3x3_2a = Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Conv(width, 448, 1), Conv(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = Conv(width, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, 8, 8) -> (B, 2048, 8, 8)."""
        three, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, 1, 1) if self.maximum else _average(x)
        wide = [self.branch3x3_2a(three), self.branch3x3_2b(three)]
        wide += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        return torch.cat([self.branch1x1(x), *wide, self.branch_pool(pooled)], 1)


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
