"""Optimizers and learning rates: Adafactor as optax has it (the paper's base model), AdamW, warm-up, cosine
decay.

`adafactor(...)` and `adamw(...)` give a function from parameters to an optimizer, so that settings are
checked before there are parameters. A rate is a function from the step (0 = the first) to the factor of the
learning rate.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate
from torch.optim import Optimizer

MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]
Rate = Callable[[int], float]


def adafactor(lr: float = 1e-4) -> MakeOptimizer:
    """Adafactor with optax's defaults and weight decay 0, the paper's for the base model (appendix F.1)."""
    _positive(lr=lr)
    return lambda parameters: Adafactor(parameters, lr)


def adamw(
    lr: float = 1e-4, betas: Sequence[float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0
) -> MakeOptimizer:
    """AdamW; with weight decay 0 it is Adam, the paper's for super-resolution (appendix F.2). Decay is for
    matrices and kernels; biases and norms have none."""
    _positive(lr=lr, eps=eps)
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"stage.optimizer.betas={list(betas)}: two numbers, at least 0 and below 1")
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"stage.optimizer.weight_decay={weight_decay}: must be at least 0 and finite")

    def make(parameters: Iterable[nn.Parameter]) -> Optimizer:
        parameters = list(parameters)
        groups: list[dict[str, Any]] = [
            {"params": [p for p in parameters if p.ndim >= 2]},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        beta1, beta2 = betas
        return torch.optim.AdamW(groups, lr, (beta1, beta2), eps, weight_decay, fused=True)

    return make


class Adafactor(Optimizer):
    """Adafactor (Shazeer & Stern, arXiv 1804.04235) as `optax.adafactor` with its defaults.

    The second moment of a tensor is kept as the means over rows and over columns of its two largest
    dimensions, where both have at least `min_dim_size_to_factor` entries, and whole elsewhere; so a kernel
    (out, in, 3, 3) is factored over out and in (torch.optim.Adafactor takes the last two, 3 x 3, and bounds
    the rate by 1 / sqrt(step)). Updates are clipped at a root mean square of `clipping_threshold` and scaled
    by that of the parameter, at least 1e-3.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        decay_rate: float = 0.8,
        clipping_threshold: float = 1.0,
        min_dim_size_to_factor: int = 128,
        eps: float = 1e-30,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "decay_rate": decay_rate,
                "clipping_threshold": clipping_threshold,
                "min_dim_size_to_factor": min_dim_size_to_factor,
                "eps": eps,
            },
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, p.grad.float(), group)
        return loss

    def _update(self, p: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        dims = factored_dims(p.shape, group["min_dim_size_to_factor"])
        if not state:
            state["step"] = 0
            if dims:
                state["row"], state["column"] = (
                    everywhere(torch.zeros_like(grad).mean(d)) for d in reversed(dims)
                )
            else:
                state["square"] = torch.zeros_like(grad)
        state["step"] += 1
        share = state["step"] ** -group["decay_rate"]  # 1 - beta2
        square = grad.square().add_(group["eps"])
        if dims:
            d1, d0 = dims
            row = state["row"].lerp_(everywhere(square.mean(d0)), share)
            column = state["column"].lerp_(everywhere(square.mean(d1)), share)
            mean = row.mean(d1 - 1 if d1 > d0 else d1, keepdim=True)
            update = grad * (row / mean).rsqrt_().unsqueeze(d0)
            update.mul_(column.rsqrt().unsqueeze(d1))
        else:
            update = grad * state["square"].lerp_(square, share).rsqrt()
        update.div_((rms(update) / group["clipping_threshold"]).clamp_(min=1))
        p.sub_(update.mul_(rms(p).clamp_(min=1e-3)), alpha=group["lr"])


def factored_dims(shape: Sequence[int], smallest: int) -> tuple[int, int] | None:
    """The second largest and the largest dimension of a tensor, or None when the former is below
    `smallest`."""
    if len(shape) < 2:
        return None
    order = sorted(range(len(shape)), key=lambda d: shape[d])
    return (order[-2], order[-1]) if shape[order[-2]] >= smallest else None


def everywhere(x: Tensor) -> Tensor:
    """What was reduced over shards, whole on each of them (FSDP); other tensors as they are."""
    return x.redistribute(placements=[Replicate()] * x.device_mesh.ndim) if isinstance(x, DTensor) else x


def rms(x: Tensor) -> Tensor:
    """Root mean square, 0-dimensional."""
    return everywhere(x.square().mean()).sqrt_()


class Constant:
    """Linear warm-up over `warmup` steps (the paper: 10,000), then constant."""

    def __init__(self, warmup: int = 10_000) -> None:
        if warmup < 0:
            raise ValueError(f"stage.rate.warmup={warmup}: must be at least 0")
        self.warmup = warmup

    def __call__(self, step: int) -> float:
        return min(1.0, (step + 1) / max(self.warmup, 1))


class Cosine:
    """Linear warm-up over `warmup` steps, then a cosine down to the factor `floor` at step `steps`, and
    constant."""

    def __init__(self, steps: int, warmup: int = 10_000, floor: float = 0.0) -> None:
        if not 0 <= warmup < steps:
            raise ValueError(
                f"stage.rate.warmup={warmup}: must be at least 0 and below stage.rate.steps={steps}"
            )
        if not 0 <= floor <= 1:
            raise ValueError(f"stage.rate.floor={floor}: a factor of the learning rate, from 0 to 1")
        self.steps, self.warmup, self.floor = steps, warmup, floor

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = min(1.0, (step - self.warmup) / (self.steps - self.warmup))
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * done))


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"stage.optimizer.{name}={value}: must be above 0 and finite")
