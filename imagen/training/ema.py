"""Exponential moving average of a network's weights: kept tensor by tensor, swapped in and always back.

It works on the local part of each parameter, so that sharded networks keep sharded averages, and exchanges
contents in place: no second copy of the weights is ever made.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from imagen.training.sharded import Rows, part_of, sharded_like


def local(parameter: Tensor) -> Tensor:
    """The part of a parameter that lives here; all of it unless it is sharded."""
    return parameter.to_local() if hasattr(parameter, "to_local") else parameter.detach()  # pyright: ignore


class EMA(Callback):
    """average <- d average + (1 - d) weights after every optimizer step, d = min(`decay`, (1 + n) / (10 + n))
    at update n.

    The paper states no decay; 0.9999 is the field's custom. The warm-up (Abadi et al.'s, TensorFlow) keeps
    short runs from being an average with their own initial weights. Averages are float32, saved in a
    checkpoint under "ema" as {"decay", "updates", "weights": {name in the network: tensor}}.
    """

    def __init__(self, decay: float = 0.9999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"stage.ema.decay={decay}: must be at least 0 and below 1")
        self.decay, self.updates = decay, 0
        self.weights: dict[str, Tensor] = {}
        self._loaded: dict[str, Tensor | Rows] = {}
        self._like: Mapping[str, Tensor] = {}
        self._step = -1

    def start(self, net: nn.Module) -> None:
        """Begin from the present weights of `net`, unless averages were loaded already."""
        own = dict(net.named_parameters())
        if self._loaded.keys() - own.keys() or (self._loaded and own.keys() - self._loaded.keys()):
            raise ValueError("the checkpoint's EMA weights are of another network")
        if self._loaded:
            self.weights = {name: local(part_of(self._loaded[name], p)) for name, p in own.items()}
        elif not self.weights:
            self.weights = {name: local(p).float().clone() for name, p in own.items()}
        self._loaded, self._like = {}, own

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """One step of the average."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        now = [local(p).float() for p in net.parameters()]
        torch._foreach_lerp_(list(self.weights.values()), now, 1 - decay)  # pyright: ignore

    @contextmanager
    def swapped(self, net: nn.Module) -> Iterator[None]:
        """`net` with the averaged weights; the trained ones are back afterwards, bit by bit, whatever
        happens."""
        self._exchange(net)
        try:
            yield
        finally:
            self._exchange(net)

    @torch.no_grad()
    def _exchange(self, net: nn.Module) -> None:
        for p, average in zip(net.parameters(), self.weights.values()):
            p = local(p)
            assert p.dtype == average.dtype, (
                "an exchange would round: train with float32 weights (mixed precision)"
            )
            kept = p.clone()
            p.copy_(average)
            average.copy_(kept)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.start(pl_module.denoiser.net)  # pyright: ignore
        self._step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.global_step > self._step:  # not after each micro-batch of an accumulated step
            self._step = trainer.global_step
            self.update(pl_module.denoiser.net)  # pyright: ignore

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        weights = {name: sharded_like(average, self._like[name]) for name, average in self.weights.items()}
        checkpoint["ema"] = {"decay": self.decay, "updates": self.updates, "weights": weights}

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.updates, self._loaded = checkpoint["ema"]["updates"], dict(checkpoint["ema"]["weights"])
