"""Exponential moving average of a network's weights: kept tensor by tensor, swapped in and always back.

It works on the local part of each parameter, so that sharded networks keep sharded averages, and exchanges
contents in place: no second copy of the weights is ever made.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from imagen.training.profiles import decay_at, gamma_of
from imagen.training.sharded import Rows, part_of, sharded_like

Weights = dict[str, Tensor]


def local(parameter: Tensor) -> Tensor:
    """The part of a parameter that lives here; all of it unless it is sharded."""
    return parameter.to_local() if hasattr(parameter, "to_local") else parameter.detach()  # pyright: ignore


class EMA(Callback):
    """average <- d average + (1 - d) weights after every optimizer step, d = min(`decay`, (1 + n) / (10 + n))
    at update n.

    The paper states no decay; 0.9999 is the field's custom. The warm-up (Abadi et al.'s, TensorFlow) keeps
    short runs from being an average with their own initial weights. Averages are float32, saved in a
    checkpoint under "ema" as {"decay", "updates", "weights": {name in the network: tensor}, "lengths": {length: weights}}.

    `lengths`: power-function averages beside it (profiles.py), shares of training, of which `keep` is given a copy every
    `keep_every` steps; of two of them, 0.05 and 0.1 say, imagen-export makes one of any length. Each is a further copy of the
    weights, cut as they are.
    """

    def __init__(self, decay: float = 0.9999, lengths: Sequence[float] = (), keep_every: int = 1000) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"stage.ema.decay={decay}: must be at least 0 and below 1")
        if keep_every < 1:
            raise ValueError(f"stage.ema.keep_every={keep_every}: must be at least 1")
        try:
            self.gammas = {length: gamma_of(length) for length in lengths}
        except (ValueError, TypeError) as error:
            raise ValueError(f"stage.ema.lengths={list(lengths)}: {error}") from None
        self.decay, self.keep_every, self.updates = decay, keep_every, 0
        self.weights: Weights = {}
        self.powers: dict[float, Weights] = {}
        self.keep: Callable[[int, dict[float, Weights]], None] = lambda step, averages: None
        self._loaded: dict[str, Any] = {}
        self._like: Mapping[str, Tensor] = {}
        self._step = -1

    def start(self, net: nn.Module) -> None:
        """Begin from the present weights of `net`, unless averages were loaded already."""
        own = dict(net.named_parameters())
        for what, weights in self._loaded.items():
            if differing := weights.keys() ^ own.keys():
                raise ValueError(
                    f"the checkpoint's EMA weights ({what}) are of another network: {min(differing)}"
                )
        here = {what: placed(weights, own) for what, weights in self._loaded.items()}
        if here or not self.weights:
            self.weights = here.get("weights") or copied(own)
            self.powers = {length: here.get(f"{length:g}") or copied(own) for length in self.gammas}
        self._loaded, self._like = {}, own

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """One step of the averages."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        now = [local(p).float() for p in net.parameters()]
        torch._foreach_lerp_(list(self.weights.values()), now, 1 - decay)  # pyright: ignore
        for length, gamma in self.gammas.items():
            share = 1 - decay_at(self.updates, gamma)
            torch._foreach_lerp_(list(self.powers[length].values()), now, share)  # pyright: ignore

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

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # not in on_fit_start: under FSDP what was saved is only restored after that
        self.start(pl_module.denoiser.net)  # pyright: ignore
        self._step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.global_step > self._step:  # not after each micro-batch of an accumulated step
            self._step = trainer.global_step
            self.update(pl_module.denoiser.net)  # pyright: ignore
            if self.powers and self._step % self.keep_every == 0:
                self.keep(self._step, {length: self._whole(w) for length, w in self.powers.items()})

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        ema = {"decay": self.decay, "updates": self.updates, "weights": self._whole(self.weights)}
        if self.powers:
            ema["lengths"] = {f"{length:g}": self._whole(w) for length, w in self.powers.items()}
        checkpoint["ema"] = ema

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        ema = checkpoint["ema"]
        self.updates = ema["updates"]
        self._loaded = {"weights": dict(ema["weights"]), **ema.get("lengths", {})}

    def _whole(self, weights: Weights) -> Weights:
        """Averages as the tensors that the parameters are: sharded where they are."""
        return {name: sharded_like(average, self._like[name]) for name, average in weights.items()}


def copied(own: Mapping[str, Tensor]) -> Weights:
    """Averages that begin as the weights themselves."""
    return {name: local(p).float().clone() for name, p in own.items()}


def placed(weights: Mapping[str, "Tensor | Rows"], own: Mapping[str, Tensor]) -> Weights:
    """What of loaded averages lives here."""
    return {name: local(part_of(weights[name], p)) for name, p in own.items()}
