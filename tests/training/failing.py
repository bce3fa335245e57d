"""failing.py SETTINGS...: imagen-train of which one rank (FAILING_RANK) fails in step 4: raises, never comes back from it, or
is killed (FAILING_HOW=raises, hangs, reads, killed)."""

import os
import signal
import time
from typing import Any

from imagen.data.module import Shards
from imagen.programs import train
from imagen.training.stage import Stage

rank, how = int(os.environ["FAILING_RANK"]), os.environ["FAILING_HOW"]
training_step, finished = Stage.training_step, Shards.finished


def step(self: Stage, batch: Any, batch_idx: int) -> Any:
    if self.global_rank == rank and self.global_step == 3:
        if how == "raises":
            raise RuntimeError("the planned failure")
        if how == "told":
            raise ValueError("data.planned=failure: do not")
        if how == "hangs":
            time.sleep(600)
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
    return training_step(self, batch, batch_idx)


def reads(self: Shards, batch: Any) -> Any:
    if how == "reads" and self.trainer.global_rank == rank and self.trainer.global_step == 3:  # pyright: ignore
        time.sleep(600)
    return finished(self, batch)


if __name__ == "__main__":
    Stage.training_step, Shards.finished = step, reads
    train.main()
