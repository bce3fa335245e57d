"""The denoiser: a network and what it predicts (eps, x or v), read as an estimate of both x and eps.

B batch, R resolution. z = alpha x + sigma eps; v = alpha eps - sigma x
(Salimans & Ho, arXiv 2202.00512, appendix D).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, NamedTuple, get_args

from torch import Tensor, nn

from imagen.diffusion.schedule import alpha_sigma, expand

Predict = Literal["eps", "x", "v"]
Denoise = Callable[[Tensor, Tensor], Tensor]
"""What a sampler calls: (z (B, 3, R, R), logsnr 0-dimensional) -> x_hat (B, 3, R, R)."""


class Estimate(NamedTuple):
    """Both (B, 3, R, R), with z = alpha x + sigma eps."""

    x: Tensor
    eps: Tensor


def target(predict: Predict, x: Tensor, eps: Tensor, logsnr: Tensor) -> Tensor:
    """What a network that predicts eps, x or v should have said; x, eps (B, 3, R, R), logsnr (B,)."""
    if predict == "eps":
        return eps
    if predict == "x":
        return x
    alpha, sigma = alpha_sigma(expand(logsnr, x))
    return alpha * eps - sigma * x


def estimate(predict: Predict, output: Tensor, z: Tensor, logsnr: Tensor) -> Estimate:
    """A network's output (B, 3, R, R) at z and logsnr (B,) as x and eps.

    v needs no division. eps divides by alpha, x by sigma: 1 / 1800 at logsnr = -15 and 15, where what is
    predicted hardly tells of the other. Finite for |logsnr| <= 80 in float32.
    """
    alpha, sigma = alpha_sigma(expand(logsnr, z))
    if predict == "eps":
        return Estimate((z - sigma * output) / alpha, output)
    if predict == "x":
        return Estimate(output, (z - alpha * output) / sigma)
    return Estimate(alpha * z - sigma * output, sigma * z + alpha * output)


class Denoiser(nn.Module):
    """A network that predicts "eps" (the paper), "x" or "v".

    `net.text(text_emb, text_mask) -> context`, anything; and
    `net(z, logsnr (B,), context, lowres, lowres_logsnr) -> (B, 3, R, R)`.
    """

    def __init__(self, net: nn.Module, predict: Predict = "v") -> None:
        super().__init__()
        if predict not in get_args(Predict):
            raise ValueError(f"predict={predict!r}: a network predicts one of {', '.join(get_args(Predict))}")
        self.net: Any = net
        self.predict: Predict = predict

    def read(self, cond: Any) -> Any:
        """`cond` with `context`, what the network makes of its text: once a sampling run, not once a step."""
        return _read(self.net, cond)

    def forward(self, z: Tensor, logsnr: Tensor, cond: Any) -> Tensor:
        """What the network says, (B, 3, R, R) in z's type whatever precision it computes in.

        `logsnr` (B,), or 0-dimensional for one level of the whole batch, on any device.
        """
        if cond.context is None:
            cond = _read(self.net, cond)
        levels = _on_device(logsnr, z).expand(len(z))
        return self.net(z, levels, cond.context, cond.lowres, cond.lowres_logsnr).to(z.dtype)

    def estimate(self, z: Tensor, logsnr: Tensor, cond: Any) -> Estimate:
        """z (B, 3, R, R), `logsnr` (B,) or 0-dimensional -> the estimates of x and eps, each (B, 3, R, R)."""
        return estimate(self.predict, self(z, logsnr, cond), z, _on_device(logsnr, z))


def _read(net: Any, cond: Any) -> Any:
    return replace(cond, context=net.text(cond.text_emb, cond.text_mask))


def _on_device(logsnr: Tensor, z: Tensor) -> Tensor:
    """Samplers hold their levels on the host; this copy does not make the host wait for the device."""
    return logsnr.to(z.device, z.dtype, non_blocking=True)
