"""What a run reports: loss, loss by noise level, gradient norm, learning rate, how fast it is and what it waits for; and the
stop at a loss that is not finite. One look at the device each `every` steps, on a CPU at each step.
"""

import json
import math
import time
from itertools import pairwise
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from tqdm import tqdm

from imagen.diffusion.loss import by_noise_level
from imagen.files import write_text
from imagen.memory import memory_gb
from imagen.progress import bar
from imagen.training.run_folder import RunFolder, flat
from imagen.training.speed import Arithmetic, Waiting

EDGES = (-8.0, -4.0, -2.0, 0.0, 2.0, 4.0, 8.0)
"""Bounds of the bins in logsnr."""
SUMS = (2, len(EDGES) + 1)  # of losses and of images, in each bin


def bin_names(edges: tuple[float, ...] = EDGES) -> list[str]:
    """ "<-8", "-8..-4", ..., ">8"."""
    inner = [f"{a:g}..{b:g}" for a, b in pairwise(edges)]
    return [f"<{edges[0]:g}", *inner, f">{edges[-1]:g}"]


class NonFiniteLoss(ValueError):
    """A loss was infinite or not a number."""


class Metrics(Callback):
    """`folder` gets metrics.jsonl, the trainer's loggers the same values, the terminal a bar when
    `progress`. `arithmetic`: of a picture, for FLOPs."""

    def __init__(
        self,
        folder: RunFolder,
        every: int = 50,
        progress: bool = True,
        arithmetic: Arithmetic | None = None,
    ) -> None:
        if every < 1:
            raise ValueError(f"trainer.log_every={every}: must be at least 1")
        self.folder, self.every, self.progress, self.arithmetic = folder, every, progress, arithmetic
        self.waiting_for_data = Waiting()
        self.more: dict[str, Any] = {}  # what else there is to report, such as val_loss
        self.resumed: Tensor | None = (
            None  # sums of steps that were trained before a stop and not yet reported
        )
        self.waiting: list[tuple[int, Tensor, Tensor, list[str]]] = []
        self.mark = Mark(self)
        self.since, self.left, self.step = 0.0, 0.0, 0
        self.bar: tqdm | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.step = trainer.global_step
        self.sums = torch.zeros(SUMS, dtype=torch.float64, device=pl_module.device)
        self.earlier = 0.0  # images among the sums that another process trained on
        if self.resumed is not None:
            self.earlier = float(self.resumed[1].sum())
            if trainer.is_global_zero:  # they are of all ranks
                self.sums += self.resumed.to(self.sums.device)
            self.resumed = None
        if trainer.is_global_zero:
            self.folder.forget_after(self.step)
            if self.progress:
                name, total = str(pl_module.name), int(trainer.max_steps)
                self.bar = bar(desc=name, total=total, initial=self.step, unit="step")
        self.since = time.perf_counter()
        self.waiting_for_data.begin()

    def on_train_batch_start(self, *_: Any) -> None:
        self.waiting_for_data.end()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        stepped, self.step = trainer.global_step > self.step, trainer.global_step
        # A micro-batch before the optimizer's step belongs to the step to come.
        number = self.step if stepped else self.step + 1
        self.waiting.append((number, outputs["losses"], outputs["logsnr"], list(batch.get("key", []))))
        if stepped and self.bar is not None:
            self.bar.update()
        due = stepped and self.step % self.every == 0
        if due or (pl_module.device.type == "cpu" and trainer.world_size == 1):
            self.settle(trainer)
        if due:
            self.report(trainer, pl_module)
        self.left = time.perf_counter()

    def settle(self, trainer: Trainer) -> None:
        """Count the losses that wait; NonFiniteLoss on every rank when one of any rank is not finite."""
        if not self.waiting:
            return
        losses, logsnr = (
            torch.cat([row[1] for row in self.waiting]),
            torch.cat([row[2] for row in self.waiting]),
        )
        edges = torch.tensor(EDGES, device=losses.device)
        binned = by_noise_level(logsnr, losses.double(), edges)
        self.sums += torch.stack([binned.mean * binned.count, binned.count.double()])
        bad = trainer.strategy.reduce((~losses.isfinite()).sum().double(), reduce_op="sum")
        if bad:
            self._stop(trainer)
        self.waiting.clear()

    def _stop(self, trainer: Trainer) -> None:
        file = self.folder.path / (
            "nonfinite.json" if trainer.world_size == 1 else f"nonfinite-{trainer.global_rank}.json"
        )
        steps = [row for row in self.waiting if not row[1].isfinite().all()]
        step, losses, logsnr, keys = (steps or self.waiting)[0]
        rows = [
            {"key": key, "logsnr": level, "loss": loss if math.isfinite(loss) else str(loss)}
            for key, level, loss in zip(keys or [None] * len(losses), logsnr.tolist(), losses.tolist())
        ]
        write_text(file, json.dumps({"step": step, "images": rows}, indent=1))
        count = sum(not isinstance(row["loss"], float) for row in rows)
        raise NonFiniteLoss(
            f"the loss was not finite at step {step} ({count} of {len(rows)} images; their keys and noise "
            f"levels are in {file}). The last checkpoint is of step {self.folder.step}; try a lower "
            "stage.optimizer.lr, trainer.gradient_clip=1 or trainer.precision=32-true"
        )

    def report(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what gathered since the last report."""
        sums = self._of_all_ranks(trainer).tolist()
        self.sums.zero_()
        now = time.perf_counter()
        elapsed, self.since, images = now - self.since, now, sum(sums[1])
        loss, speed = sum(sums[0]) / images, (images - self.earlier) / elapsed
        self.earlier = 0.0
        levels = {name: total / n for name, total, n in zip(bin_names(), *sums) if n}
        group = trainer.optimizers[0].param_groups[0]
        values = {
            "loss": loss,
            "grad_norm": float(pl_module.gradient_norm),  # pyright: ignore
            "lr": group["initial_lr"] * pl_module.rate(self.step - 1),  # pyright: ignore
            "images_per_second": speed,
            "data_wait": self.waiting_for_data.share(elapsed),
            "memory_gb": memory_gb(pl_module.device),
        }
        if self.arithmetic is not None:
            each, half = speed / trainer.world_size, "16" in str(trainer.precision)
            values |= self.arithmetic.of(each, pl_module.device, half)
        if not trainer.is_global_zero:
            return
        values |= {"loss_by_logsnr": levels, **self.more}
        self.more = {}
        self.folder.add_metrics({"step": self.step, **values})
        for logger in trainer.loggers:
            logger.log_metrics({k.replace(".", "/", 1): v for k, v in flat(values).items()}, step=self.step)
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss {loss:.4f}, {speed:.1f} images/s", refresh=False)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.settle(trainer)  # nothing is saved that a lost loss has spoilt
        checkpoint["metrics"] = {"sums": self._of_all_ranks(trainer).cpu(), "more": dict(self.more)}

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        saved = checkpoint.get("metrics", {})  # none in older checkpoints
        if not saved:
            return
        sums, more = (saved.get("sums"), saved.get("more")) if isinstance(saved, dict) else (None, None)
        if not _are_sums(sums) or not isinstance(more, dict) or not _are_losses(more):
            raise ValueError(
                f"{self.folder.checkpoint}: its metrics are no sums of losses: damaged; put a whole copy of it back, or train anew "
                "under another name="
            )
        self.resumed, self.more = sums, dict(more)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.settle(trainer)
        # a run that was stopped keeps them for the line that it will write when it has gone on
        if self.step == trainer.max_steps and self.step % self.every and bool(self.sums[1].any()):
            self.report(trainer, pl_module)

    def _of_all_ranks(self, trainer: Trainer) -> Tensor:
        return trainer.strategy.reduce(self.sums.clone(), reduce_op="sum")  # pyright: ignore[reportReturnType]

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.teardown(trainer, pl_module, "fit")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def _are_sums(sums: Any) -> bool:
    if not isinstance(sums, Tensor) or sums.shape != SUMS or sums.dtype != torch.float64:
        return False
    return sums.device.type == "cpu" and bool(sums.isfinite().all()) and bool((sums[1] >= 0).all())


def _are_losses(more: dict[str, Any]) -> bool:
    told = flat(more) if more else {}
    return all(key.startswith("val_") and isinstance(value, float) for key, value in told.items())


class Mark(Callback):
    """Last of the callbacks: what they did since `metrics` (previews, checkpoints) does not count as training
    time."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.metrics.since += time.perf_counter() - self.metrics.left
        self.metrics.waiting_for_data.begin()
