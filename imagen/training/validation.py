"""The loss on pictures that training never sees, by the averaged weights, always with the same noise."""

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from imagen.diffusion.loss import by_noise_level
from imagen.diffusion.randomness import Randomness, mix
from imagen.training.metrics import EDGES, Metrics, bin_names
from imagen.training.previews import averaged, untouched
from imagen.training.stage import Stage


class Validation(Callback):
    """Every `every` optimizer steps: val_loss, and val_loss by noise level, into the next line of `metrics`.

    It comes before `metrics` among the callbacks. Over the validation pairs that the data module gives, none of whose text
    is hidden; pair n has the noise of (seed, n), whatever the step and the number of ranks. Weights, random state and data order stay as they were."""

    def __init__(self, metrics: Metrics, every: int) -> None:
        self.metrics, self.every, self._step = metrics, every, -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.global_step > self._step and trainer.global_step % self.every == 0:
            assert isinstance(pl_module, Stage)
            began = time.perf_counter()
            with untouched(pl_module), averaged(trainer, pl_module):
                self.measure(trainer, pl_module)
            self.metrics.since += time.perf_counter() - began  # which is no time of training
        self._step = trainer.global_step

    def measure(self, trainer: Trainer, stage: Stage) -> None:
        """One pass over the validation pairs; every rank takes its batches, all as many."""
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        sums = torch.zeros(2, len(EDGES) + 1, dtype=torch.float64, device=stage.device)
        edges = torch.tensor(EDGES, device=stage.device)
        for number, batch in enumerate(data.val_dataloader()):
            here = {k: v.to(stage.device) if isinstance(v, Tensor) else v for k, v in batch.items()}
            here, count = data.finished(here), len(batch["key"])
            first = (number * trainer.world_size + trainer.global_rank) * count
            random = Randomness.for_step(
                mix("validation", stage.seed), 0, range(first, first + count), stage.device
            )
            losses, logsnr = stage.losses(here, random, text_drop=0.0)
            binned = by_noise_level(logsnr, losses.double(), edges)
            sums += torch.stack([binned.mean * binned.count, binned.count.double()])
        totals = trainer.strategy.reduce(sums, reduce_op="sum").tolist()
        if pairs := sum(totals[1]):
            levels = {name: total / n for name, total, n in zip(bin_names(), *totals) if n}
            self.metrics.more = {"val_loss": sum(totals[0]) / pairs, "val_loss_by_logsnr": levels}
