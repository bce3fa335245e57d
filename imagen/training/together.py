"""Processes that train together end together: what one fails of, all say; and a step that never ends, since one of them does
not come, is told with that step and that rank."""

import contextlib
import itertools
import json
import os
import re
import sys
import threading
import time
from typing import Any, NamedTuple

import torch.distributed as dist
from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.distributed.distributed_c10d import PrefixStore, _get_default_store

from imagen.training.orphans import outlive_parent

LOOK_EVERY = 1.0  # seconds
GRACE = 3.0  # seconds in which a process that hears of a failure may end by itself
PHASES = (
    "reads its batch",
    "is in its forward pass",
    "is in its backward pass",
    "is done and saves or draws",
)


class Place(NamedTuple):
    """How far a process is: in optimizer step `step` (from 1), and what it does there (`PHASES`)."""

    step: int
    phase: int

    def __str__(self) -> str:
        return f"{PHASES[self.phase]} (step {self.step})"


class Together(Callback):
    """A thread in each process of several tells where the process is, and hears where the others are, through the store that they
    met by. `timeout`: minutes of one pass before the run is given up: it waits for one that does not come.

    The first of the callbacks, `reading` the last. A process that fails tells the others by its `on_exception`; these end by themselves, or are
    ended after `GRACE` seconds, since who waits for another process can do nothing else.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.place, self.since = Place(0, 0), time.monotonic()
        self.failure: str | None = None  # of another process, as it was said here
        self.store: Any = None
        self.rank, self.world = 0, 1
        self._heard: str | None = None
        self._over = threading.Event()
        self.reading = Reading(self)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if trainer.world_size == 1 or self.store is not None:
            return
        self.rank, self.world = trainer.global_rank, trainer.world_size
        self.store = PrefixStore("together", _get_default_store())
        for (
            thread
        ) in threading.enumerate():  # Lightning's watch kills the first process before it can say why
            if isinstance(thread, _ChildProcessObserver):
                thread._child_processes = []
        outlive_parent()
        threading.Thread(target=self._watch, name="together", daemon=True).start()

    def at(self, step: int, phase: int) -> None:
        """This process is there now."""
        self.place, self.since = Place(step, phase), time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.at(trainer.global_step + 1, 0)

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self.at(trainer.global_step + 1, 1)

    def on_before_backward(self, trainer: Trainer, *_: Any) -> None:
        self.at(self.place.step, 2)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.at(self.place.step, 3)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._over.set()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Tell the others; or, when what was raised comes of another's failure, say that one."""
        if self.store is None or self._over.is_set():
            return
        words = " ".join(str(exception).split()) or type(exception).__name__
        if isinstance(exception, dist.DistError) or re.search(r"gloo|NCCL|c10d|[Cc]onnection", words):
            self._say(self._who_has_gone() or f"{self._where()}; rank {self.rank} heard: {words:.300}")
        else:
            self._tell(f"rank {self.rank}, which {self.place}, failed: {words:.1000}")
            if self.rank == 0:  # which has the store
                self._wait_until_heard()
        self._over.set()

    def _watch(self) -> None:
        try:
            for beat in itertools.count():
                self.store.set(f"at/{self.rank}", json.dumps([beat, *self.place]))
                if self._over.wait(LOOK_EVERY):
                    return None
                if (failure := self._told()) is not None:
                    return self._end(failure)
                waited = time.monotonic() - self.since
                if self.place.phase in (1, 2) and waited > self.timeout * 60:
                    text = f"no process went on for {waited:.0f} seconds (trainer.timeout={self.timeout:g} minutes): {self._where()}"
                    self._tell(text)
                    return self._end(text)
        except RuntimeError:  # the store is gone, and rank 0 with it
            if not self._over.wait(GRACE):
                self._end(self._without_the_first())

    def _told(self) -> str | None:
        """The failure of the run, if there is one; says that this process knows of it."""
        with contextlib.suppress(RuntimeError):  # the store has gone since
            if self._heard is None and self.store.check(["failed"]):
                self._heard = self.store.get("failed").decode()
                self.store.set(f"heard/{self.rank}", "1")
        return self._heard

    def _tell(self, failure: str) -> None:
        with contextlib.suppress(RuntimeError):  # nobody is there to be told
            self.store.compare_set("failed", "", failure)  # the first one counts

    def _beats(self) -> dict[int, list[int]]:
        """What the others told last: {rank: [beat, *place]}."""
        return {
            rank: json.loads(self.store.get(f"at/{rank}"))
            for rank in range(self.world)
            if rank != self.rank and self.store.check([f"at/{rank}"])
        }

    def _who_has_gone(self) -> str | None:
        """Why a connection broke: what failed, or who tells nothing any more."""
        try:
            before = self._beats()
            for _ in range(3):
                time.sleep(LOOK_EVERY)
                if (failure := self._told()) is not None:
                    return failure
            now = self._beats()
        except RuntimeError:
            return self._told() or self._without_the_first()
        gone = [rank for rank, told in now.items() if told == before.get(rank)]
        if not gone:
            return None
        named = f"rank {_listed(gone)} has" if len(gone) == 1 else f"ranks {_listed(gone)} have"
        return f"{named} gone without a word (killed, or out of memory), while rank {self.rank} {self.place}"

    def _without_the_first(self) -> str:
        return (
            f"rank 0 has gone without a word (killed, or out of memory), while rank {self.rank} {self.place}"
        )

    def _where(self) -> str:
        """Where all are, those first that the others wait for."""
        try:
            places = {self.rank: self.place} | {rank: Place(*at[1:]) for rank, at in self._beats().items()}
        except RuntimeError:
            return self._without_the_first()
        first = min(places.values())
        behind = [rank for rank, place in places.items() if place == first]
        if len(behind) == self.world:
            return f"every rank {first}: a collective operation does not complete"
        waiting = self.world - len(behind)
        return f"rank {_listed(behind)} {first}, while {waiting} wait in step {max(places.values()).step}"

    def _wait_until_heard(self) -> None:
        end = time.monotonic() + GRACE
        others = [f"heard/{rank}" for rank in range(1, self.world)]
        while time.monotonic() < end:
            try:
                if self.store.check(others):
                    return
            except RuntimeError:
                return
            time.sleep(0.1)

    def _end(self, failure: str) -> None:
        """Leave the main thread time to hear of it, and end the process when it does not."""
        if self._over.wait(GRACE):
            return
        if self.rank == 0:
            self._wait_until_heard()
        self._say(failure)
        os._exit(2)

    def _say(self, failure: str) -> None:
        """At once: whoever started this process may end it any moment."""
        if self.failure is None:
            self.failure = failure
            sys.stderr.write(f"error: {failure}\n")
            sys.stderr.flush()


def _listed(ranks: list[int]) -> str:
    return ", ".join(str(rank) for rank in sorted(ranks)[:8]) + (", ..." if len(ranks) > 8 else "")


class Reading(Callback):
    """When all other callbacks have done what they do after a step, the next batch is read."""

    def __init__(self, together: Together) -> None:
        self.together = together

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.together.at(trainer.global_step + 1, 0)
