"""Pictures while training, from the averaged weights, which must not change training by a bit.

n pictures of this rank, R resolution, L text tokens, D text width.
"""

import json
import math
import random as python_random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from imagen.cascade import Cascade
from imagen.conditioning import Cond, augment, upsample
from imagen.diffusion.guidance import guide
from imagen.diffusion.randomness import Randomness, mix
from imagen.diffusion.samplers import logsnr_grid
from imagen.files import write_text
from imagen.grid import captioned_grid, to_uint8
from imagen.progress import bar
from imagen.training.loggers import log_previews
from imagen.training.run_folder import RunFolder
from imagen.training.stage import Stage
from imagen.training.strategies import gathered_once

Sampler = Callable[..., Tensor]


class Given(NamedTuple):
    """`emb` (n, L, D), `mask` (n, L); of a super-resolution stage its `lowres` (n, 3, R, R): what it enlarges, at its own
    size, without noise; and `shown` (n, 3, R, R), what that was made of."""

    captions: list[str]
    emb: Tensor
    mask: Tensor
    lowres: Tensor | None = None
    shown: Tensor | None = None


class Previews(Callback):
    """Every `every` steps a grid in the run folder and the loggers: a row a prompt, a column a guidance
    weight and threshold.

    A base stage draws `prompts`; a super-resolution stage enlarges the first `pictures` of the validation
    split (of the training split where there is none), with their captions, from their true low-resolution
    pictures at noise level `noise_augmentation`; they are the first column. With `before`, the release folder of the
    stages below, it goes on with `prompts`, as these draw them: the cascade as a whole. Each prompt has its own fixed
    noise, of (`seed`, its number). `thresholds`: name -> threshold.

    The prompts are shared out over the ranks: every rank draws the same number, wrapping around (so that
    sharded networks step together), and rank 0 gathers them. Weights, random state and data order stay as
    they were. A bar says how far they are (`progress`); in a run of one process they are given up when `stopped` says
    that the run is to end.
    """

    progress = True

    def __init__(
        self,
        prompts: Sequence[str],
        thresholds: Mapping[str, Callable[[Tensor], Tensor]],
        sampler: Sampler,
        every: int = 5000,
        guidance: Sequence[float] = (1, 3, 8),
        steps: int = 24,
        pictures: int = 4,
        noise_augmentation: float = 0.1,
        seed: int = 0,
        before: str | Path | None = None,
    ) -> None:
        for name, value in (("every", every), ("steps", steps), ("pictures", pictures)):
            if value < 1:
                raise ValueError(f"previews.{name}={value}: must be at least 1")
        if not (prompts and thresholds and guidance):
            raise ValueError("previews: give prompts, thresholds and guidance, or previews=none")
        if not all(prompt.strip() for prompt in prompts):
            raise ValueError(
                f"previews.prompts={list(prompts)}: one is empty; every picture needs a description"
            )
        if not all(math.isfinite(weight) for weight in guidance):
            raise ValueError(f"previews.guidance={list(guidance)}: must be finite numbers")
        if not 0 <= noise_augmentation <= 1:
            raise ValueError(
                f"previews.noise_augmentation={noise_augmentation}: a noise level lies between 0 and 1"
            )
        self.prompts, self.thresholds, self.sampler = list(prompts), dict(thresholds), sampler
        self.every, self.guidance, self.steps = every, list(guidance), steps
        self.pictures, self.noise_augmentation, self.seed = pictures, noise_augmentation, seed
        self.before = before
        self.folder: RunFolder | None = None
        self.stopped: Callable[[], bool] = lambda: False
        self._given: Given | None = None
        self._step = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._step = trainer.global_step
        assert isinstance(pl_module, Stage)
        if self.before is not None:  # a folder that does not fit is told now, and not at the first preview
            with untouched(pl_module):
                self._given = self.given(trainer, pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.global_step > self._step and trainer.global_step % self.every == 0:
            assert isinstance(pl_module, Stage)
            with untouched(pl_module):
                self.show(trainer, pl_module)
        self._step = trainer.global_step

    def show(self, trainer: Trainer, stage: Stage) -> None:
        """Draw this rank's share, gather, write."""
        if self._given is None:
            self._given = self.given(trainer, stage)
        began = time.perf_counter()
        captions, emb, mask, lowres, shown = self._given
        share = -(-len(captions) // trainer.world_size)
        mine = [(trainer.global_rank * share + i) % len(captions) for i in range(share)]
        own = None if lowres is None else lowres[mine]
        with averaged(trainer, stage):
            drawn = self.draw(stage, emb[mine], mask[mine], own, mine)
        if drawn is None:
            return
        drawn = stage.all_gather(drawn) if trainer.world_size > 1 else drawn
        assert isinstance(drawn, Tensor)
        drawn = drawn.reshape(-1, *drawn.shape[-4:])[: len(captions)]
        if trainer.is_global_zero:
            drawn = drawn if shown is None else torch.cat([shown[:, None], drawn], 1)
            pictures = to_uint8(drawn)  # waits for the device
            self.write(trainer, captions, pictures, shown is not None, time.perf_counter() - began)

    def draw(
        self, stage: Stage, emb: Tensor, mask: Tensor, lowres: Tensor | None, numbers: Sequence[int]
    ) -> Tensor | None:
        """emb (n, L, D), mask (n, L), lowres (n, 3, R, R) or None -> (n, columns, 3, R, R) in [-1, 1]; None when given
        up."""
        side = stage.resolution
        columns = []
        settings = [(threshold, weight) for threshold in self.thresholds.values() for weight in self.guidance]
        shown = self.progress and stage.global_rank == 0
        with bar(settings, desc="previews", unit="column", leave=False, disable=not shown) as columns_to_draw:
            for threshold, weight in columns_to_draw:
                if self.stopped() and stage.trainer.world_size == 1:
                    return None
                random = Randomness([mix("preview", self.seed, number) for number in numbers], stage.device)
                z, cond = random.normal(3, side, side), Cond(emb, mask)
                if lowres is not None:
                    assert stage.lowres is not None
                    level = torch.full((len(z),), self.noise_augmentation, device=stage.device)
                    noised, logsnr = augment(
                        lowres, level, stage.lowres.schedule, random.normal(*lowres.shape[1:])
                    )
                    cond = Cond(emb, mask, noised, logsnr)
                denoise = guide(stage.denoiser, cond, weight, threshold)
                columns.append(
                    self.sampler(denoise, z, logsnr_grid(stage.schedule, self.steps), random).float()
                )
        return torch.stack(columns, 1)

    def given(self, trainer: Trainer, stage: Stage) -> Given:
        """What is drawn, the same on every rank: rank 0 reads it."""
        given = self._read(trainer, stage) if trainer.is_global_zero else None
        given = trainer.strategy.broadcast(given)
        assert given is not None
        lowres, shown = (t if t is None else t.to(stage.device) for t in (given.lowres, given.shown))
        return Given(given.captions, given.emb.to(stage.device), given.mask.to(stage.device), lowres, shown)

    def _read(self, trainer: Trainer, stage: Stage) -> Given:
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        if stage.lowres is None:
            emb, mask = data.encoder(self.prompts)
            if self.before is not None:
                raise ValueError(
                    f"previews.before={self.before}: this stage draws from text alone, no stage comes before it; leave it out"
                )
            return Given(self.prompts, emb, mask)
        captions, images = [], []
        loader = data.val_dataloader()
        for batch in data.train_dataloader(whole=True) if loader == [] else loader:
            captions += batch["caption"]
            images.append(data.finished(batch)["image"])
            if len(captions) >= self.pictures:
                break
        captions, shown = captions[: self.pictures], torch.cat(images)[: self.pictures].to(stage.device)
        lowres = stage.lowres.enlarged(shown, stage.resolution)
        if self.before is not None:
            drawn = self._drawn_before(stage, data.encoder)
            captions, lowres, shown = (
                captions + self.prompts,
                torch.cat([lowres, drawn]),
                torch.cat([shown, drawn]),
            )
        emb, mask = data.encoder(captions)
        return Given(captions, emb, mask, lowres, shown)

    def _drawn_before(self, stage: Stage, encoder: Any) -> Tensor:
        """The prompts as the stages below draw them, enlarged: (n, 3, R, R)."""
        assert self.before is not None
        assert stage.lowres is not None
        try:
            cascade = Cascade.load(self.before, stage.device, encoder)
        except ValueError as error:
            raise ValueError(f"previews.before={self.before}: {error}") from None
        made = cascade.stages[-1].resolution
        if made != stage.lowres.resolution:
            raise ValueError(
                f"previews.before={self.before}: it draws {made} x {made}, and this stage enlarges pictures of "
                f"{stage.lowres.resolution} (stage.lowres.resolution)"
            )
        seeds = [self.seed + number for number in range(len(self.prompts))]
        return upsample(cascade.sample(self.prompts, seeds)[-1].to(stage.device), stage.resolution)

    def write(
        self,
        trainer: Trainer,
        captions: Sequence[str],
        pictures: np.ndarray,
        with_real: bool,
        seconds: float,
    ) -> None:
        """`pictures` (n, columns, R, R, 3) uint8, drawn in `seconds` -> previews/step-N.png, and the loggers."""
        assert self.folder is not None
        settings = [f"{name} w={weight:g}" for name in self.thresholds for weight in self.guidance]
        given = ["real" if self.before is None else "given"] if with_real else []
        columns = [*given, *settings]
        sheet = {"rows": list(captions), "columns": columns, "seconds": round(seconds, 3)}
        stem = self.folder.path / "previews" / f"step-{trainer.global_step:08d}"
        write_text(stem.with_suffix(".json"), json.dumps(sheet))
        grid = captioned_grid(pictures, captions, columns)
        grid.save(stem.with_suffix(".png"))
        for logger in trainer.loggers:
            log_previews(logger, trainer.global_step, grid, captions, columns, pictures)


@contextmanager
def averaged(trainer: Trainer, stage: Stage) -> Iterator[None]:
    """The network with its averaged weights, in the precision of training, without gradients."""
    with (
        torch.no_grad(),
        trainer.precision_plugin.forward_context(),
        stage.ema.swapped(stage.denoiser.net),
        gathered_once(stage.denoiser),
    ):
        yield


@contextmanager
def untouched(stage: Stage) -> Iterator[None]:
    """The random state of torch (every device), numpy and Python, and the network's mode, are afterwards as
    before."""
    devices = [stage.device.index or 0] if stage.device.type == "cuda" else []
    python, numpy, training = python_random.getstate(), np.random.get_state(), stage.denoiser.training  # noqa: NPY002
    with torch.random.fork_rng(devices):
        stage.denoiser.eval()
        try:
            yield
        finally:
            stage.denoiser.train(training)
            python_random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
