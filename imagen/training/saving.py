"""Checkpoints of a run: every so many steps, at the end, and at the end of the step in which a stop was asked
for. They are copied in memory and written while training goes on."""

import errno
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from imagen.training.background import Background
from imagen.training.metrics import NonFiniteLoss
from imagen.training.requeue import Requeue
from imagen.training.run_folder import RunFolder
from imagen.training.sharded import finished
from imagen.training.strategies import Sharded

STOPS = (signal.SIGTERM, signal.SIGINT)
AGREE_EVERY = 16


class Saving(Callback):
    """checkpoints/last.ckpt of `folder`, replaced as a whole, after every `every` optimizer steps and at the
    end.

    SIGTERM and the first Ctrl-C let the step finish, save, and end training (`stopped` says so), and so does a job whose
    time is nearly up (`requeue`); a second SIGTERM or Ctrl-C ends it at once. `background`: what the strategies write with.
    """

    def __init__(
        self,
        folder: RunFolder,
        every: int = 1000,
        requeue: Requeue | None = None,
        background: Background | None = None,
    ) -> None:
        if every < 1:
            raise ValueError(f"trainer.save_every={every}: must be at least 1")
        self.folder, self.every, self.requeue = folder, every, requeue or Requeue()
        self.background = background or Background()
        self.stopped: signal.Signals | None = None
        self.saved, self.began, self.seconds = -1, 0.0, 0.0
        self.between_steps = True
        self.over = threading.Event()
        self._handlers: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.folder.keep_settings()  # not before: what cannot start leaves the run's settings as they were
        self.saved, self.began = trainer.global_step, time.perf_counter()
        self.seconds = float(self.folder.progress.get("seconds", 0)) if trainer.global_step else 0.0
        if threading.current_thread() is threading.main_thread():
            self._handlers = {s: signal.signal(s, self._stop) for s in STOPS}

    def _stop(self, number: int, frame: Any) -> None:
        if self.stopped is not None:
            raise KeyboardInterrupt
        self.stopped = signal.Signals(number)
        sys.stderr.write(
            f"\n{self.stopped.name}: saving after this step; the same command goes on from there\n"
        )

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.between_steps = False

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        step = trainer.global_step
        self.between_steps = not trainer.fit_loop._should_accumulate()
        with self._told():
            self.background.check()
        if step == self.saved or trainer.fit_loop._should_accumulate():
            return
        self.stopped = self.stopped or self.requeue.asked
        asked = self.stopped is not None
        if (
            trainer.world_size > 1
        ):  # the ranks agree, now and then: agreeing makes the host wait for the device
            asked = step % AGREE_EVERY == 0 and trainer.strategy.reduce_boolean_decision(asked, all=False)
        if asked or step % self.every == 0:
            self.save(trainer)
        if asked:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step != self.saved:
            self.save(trainer)
        with self._told():
            self.background.wait()
        trainer.strategy.barrier("saved")

    def save(self, trainer: Trainer) -> None:
        """Copy what is to be saved; it is written beside the last checkpoint while training goes on, and then takes its place: a
        kill in the middle leaves the last good one."""
        path, step = self.folder.checkpoint, trainer.global_step
        sharded = isinstance(trainer.strategy, Sharded)
        beside = path.with_name(f"step-{step:08d}" if sharded else "saving.ckpt")
        with self._told():
            self.background.wait()  # for the checkpoint before
            self.saved = step
            path.parent.mkdir(parents=True, exist_ok=True)
            if sharded:  # files of a run that was killed while it wrote this one would pass for ours
                if trainer.is_global_zero:
                    shutil.rmtree(beside, ignore_errors=True)
                trainer.strategy.barrier("room")
            trainer.save_checkpoint(beside)
            if trainer.is_global_zero:
                seconds = self.seconds + time.perf_counter() - self.began
                world = trainer.world_size if sharded else 0
                self.background.start(partial(self._put_in_place, beside, step, seconds, world))

    def _put_in_place(self, beside: Path, step: int, seconds: float, world: int) -> None:
        """Of a whole checkpoint make the last one. `world`: of a folder, the ranks that write into it."""
        path = self.folder.checkpoint
        if world:
            while not finished(
                beside, world
            ):  # other ranks write at their own pace; none waits for another in training
                if self.over.wait(0.05):
                    return
            beside = link_to(beside)  # nothing can replace a folder at once as a link can be replaced
        os.replace(beside, path)
        prune(path)
        self.folder.record_progress(step, seconds)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """A full disk, and whatever else keeps a file from being written, as one line."""
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
            remedy = "make room" if full else "make the folder writable"
            raise ValueError(
                f"{self.folder.checkpoint}: step {self.saved} could not be saved ({error.strerror or error}); {remedy}, and the same "
                "command goes on from the last checkpoint"
            ) from None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        lost = trainer.global_step > self.saved >= 0
        told = isinstance(exception, ValueError) and not isinstance(exception, NonFiniteLoss)
        if told and lost and self.between_steps and trainer.world_size == 1:
            self.save(trainer)  # data that could not be had; in a step, that step's would be lost
        self.over.set()  # ranks that have failed write nothing more
        try:
            with self._told():
                self.background.wait()
        finally:
            self.teardown(trainer, pl_module, "fit")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}


def link_to(folder: Path) -> Path:
    """A link beside a checkpoint's folder, to it."""
    link = folder.with_name(".last")
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name)
    return link


def prune(last: Path) -> None:
    """Removes the folders of checkpoints beside `last` but the one that it leads to."""
    for folder in last.parent.glob("step-*"):
        if folder.name != last.resolve().name:
            shutil.rmtree(folder, ignore_errors=True)
