"""Kernel distances between sets of features: KID (polynomial kernel) and CMMD (Gaussian kernel over CLIP's).

n, m pictures, D width of the features. In float64, by blocks of rows: memory does not grow with n * m.
"""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchmetrics.image.kid import KernelInceptionDistance

from imagen.evaluation.metrics.features import check_pair

BLOCK = 4096  # rows of a block of the kernel matrix
CMMD_SIGMA, CMMD_SCALE = 10.0, 1000.0


class Identity(nn.Module):
    """The extractor that torchmetrics is given where features are there already: (n, D) -> the same."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        """The features themselves."""
        return features


def kid(
    real: Tensor, made: Tensor, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Kernel Inception Distance (Binkowski et al. 2018, https://arxiv.org/abs/1801.01401): features (n, D), (m, D) ->
    mean and standard deviation over `subsets` random subsets of `subset_size`, by torchmetrics, drawn from `seed`.

    The kernel is (x.y / D + 1)^3. Unbiased: also of few pictures it is right on average, and may be negative. The
    standard deviation is that of a subset, no error of the mean. ValueError when a set is smaller than a subset.
    """
    real, made = check_pair(real, made)
    if subsets < 1 or subset_size < 2:
        raise ValueError(f"subsets={subsets}, subset_size={subset_size}: give at least 1 and 2")
    if min(len(real), len(made)) < subset_size:
        raise ValueError(
            f"subset_size={subset_size}, but there are {len(real)} real and {len(made)} made pictures; "
            "draw more, or give a smaller subset_size"
        )
    with warnings.catch_warnings():  # that it keeps the features, which are here already
        warnings.simplefilter("ignore")
        metric = KernelInceptionDistance(Identity(real.shape[1]), subsets=subsets, subset_size=subset_size)
    metric.set_dtype(torch.float64).to(real.device)
    with torch.random.fork_rng(devices=[]):  # torchmetrics draws from the global generator
        torch.manual_seed(seed)
        metric.update(real, real=True)
        metric.update(made, real=False)
        mean, deviation = metric.compute()
    return float(mean), float(deviation)


def kernel_distance(real: Tensor, made: Tensor) -> float:
    """The KID of all pairs at once, without subsets and chance: the unbiased MMD^2 of (n, D) and (m, D) features under
    (x.y / D + 1)^3. The same number on average as `kid`, with less noise."""
    real, made = check_pair(real, made)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    return mmd(real, made, kernel, unbiased=True)


def cmmd(real: Tensor, made: Tensor, sigma: float = CMMD_SIGMA, scale: float = CMMD_SCALE) -> float:
    """CMMD (Jayasumana et al. 2024, https://arxiv.org/abs/2401.09603): `scale` times MMD^2 under a Gaussian kernel of
    width `sigma`, of CLIP image features (n, D), (m, D), which are brought to length 1 here.

    As in the authors' code each picture is a pair with itself too, which adds about scale / n * (1 - mean kernel), less
    than 1 / n of the scale, for each set. The authors use CLIP ViT-L/14 at 336 pixels; of another network the numbers
    are not comparable.
    """
    real, made = check_pair(real, made)
    if not sigma > 0:
        raise ValueError(f"sigma={sigma}: give more than 0")
    for name, features in (("real", real), ("made", made)):
        if not features.norm(dim=1).min() > 0:
            raise ValueError(f"{name}: a picture's features are all 0; they have no direction")
    real, made = real / real.norm(dim=1, keepdim=True), made / made.norm(dim=1, keepdim=True)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        # |a - b|^2 = 2 - 2 a.b of vectors of length 1
        return torch.exp((a @ b.T - 1) / sigma**2)

    return scale * mmd(real, made, kernel, unbiased=False)


def mmd(real: Tensor, made: Tensor, kernel: Callable[[Tensor, Tensor], Tensor], unbiased: bool) -> float:
    """Squared maximum mean discrepancy (Gretton et al. 2012) of (n, D) and (m, D): mean k(x, x') + mean k(y, y') -
    2 mean k(x, y). `kernel`: (a, D), (b, D) -> (a, b). `unbiased` leaves out each row's pair with itself."""

    def mean(a: Tensor, b: Tensor, own: bool) -> Tensor:
        total = a.new_zeros(())
        for i, part in enumerate(a.split(BLOCK)):
            for j, other in enumerate(b.split(BLOCK)):
                block = kernel(part, other)
                total += block.sum() - (block.diagonal().sum() if own and i == j else 0)
        return total / (len(a) * (len(b) - own))

    return float(mean(real, real, unbiased) + mean(made, made, unbiased) - 2 * mean(real, made, False))
