"""Classifier-free guidance (section 2.2): from a denoiser and its conditioning to what samplers call."""

from typing import Any

import torch
from torch import Tensor

from imagen.diffusion.denoiser import Denoise, Denoiser
from imagen.diffusion.schedule import expand
from imagen.diffusion.thresholding import NoThreshold, Threshold


@torch.no_grad()
def guide(
    denoiser: Denoiser,
    cond: Any,
    weight: float | Tensor = 1.0,
    threshold: Threshold = NoThreshold(),  # noqa: B008  (has no state)
    interval: tuple[float, float] | None = None,
    rescale: float = 0.0,
) -> Denoise:
    """`(z (B, 3, R, R), logsnr 0-dimensional) -> x_hat (B, 3, R, R)`, guided, then thresholded; no gradients.

    `weight`: w of eps~ = w eps(z, c) + (1 - w) eps(z), one for all or (B,); 1 is off, 0 unconditional. x is
    linear in eps, so x~ = w x(z, c) + (1 - w) x(z) is the same guidance, and that is what is computed: it
    divides by no alpha. `interval`: guidance only where low <= logsnr <= high (Kynkaanniemi et al., arXiv
    2404.07724, there in sigma); for limits in t, ask the schedule. `rescale` phi in [0, 1]: x~ is moved that
    far to the standard deviation, over each picture, of the conditional x (Lin et al., arXiv 2305.08891,
    section 3.4; 0 is off, theirs is 0.7).

    Both halves go through the network as one batch of 2 B where guidance is on, and only the conditional
    half where it is off (w = 1 everywhere, or outside the interval). The text is read here, once, and once
    more for the undoubled batch when an interval asks for both. `cond` must not have been read
    (`Denoiser.read`) when guidance is on.
    """
    w = weight if isinstance(weight, Tensor) else torch.tensor(weight, dtype=torch.float64)
    assert w.ndim == 0 or len(w) == len(cond), "one guidance weight for each picture, or one for all"
    if w.ndim:
        w = w.to(cond.text_emb.device)
    guided = bool((w != 1).any())
    both = denoiser.read(cond.joined(cond.unconditional())) if guided else None
    alone = None
    if not guided or interval is not None:
        alone = denoiser.read(cond) if cond.context is None else cond

    @torch.no_grad()
    def denoise(z: Tensor, logsnr: Tensor) -> Tensor:
        # Samplers hold the level on the host, so comparing it costs no wait for the device.
        if not guided or not (interval is None or interval[0] <= float(logsnr) <= interval[1]):
            return threshold(denoiser.estimate(z, logsnr, alone).x)
        x, x_null = denoiser.estimate(torch.cat([z, z]), logsnr, both).x.chunk(2)
        share = expand(w.to(z.dtype), z)
        return threshold(rescaled(share * x + (1 - share) * x_null, x, rescale))

    return denoise


def rescaled(x: Tensor, like: Tensor, phi: float) -> Tensor:
    """phi x std(like) / std(x) + (1 - phi) x of each picture, (B, 3, R, R); arXiv 2305.08891, section 3.4."""
    if phi == 0:
        return x
    dims = tuple(range(1, x.ndim))
    ratio = like.std(dims, keepdim=True) / x.std(dims, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    return (phi * ratio + (1 - phi)) * x
