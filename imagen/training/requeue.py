"""A job whose time is nearly up: SLURM says so by SIGUSR1 (--signal=USR1@300), submitit by SIGUSR2. The run saves and ends,
and the job goes back into the queue, to go on in the same run folder."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)


class Requeue:
    """`asked`: the signal that came, if one did."""

    def __init__(self) -> None:
        self.asked: signal.Signals | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """From now on a signal is remembered; at the end, if one came, the job is put back into the queue. Only the main
        thread can be told of signals; elsewhere nothing is done."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._handlers = {number: signal.signal(number, self._ask) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
        if self.asked is not None:
            self._back_into_the_queue(self.asked)

    def _ask(self, number: int, frame: Any) -> None:
        if self.asked is None:
            sys.stderr.write(f"\n{signal.Signals(number).name}: saving, then back into the queue\n")
        self.asked = signal.Signals(number)

    def _back_into_the_queue(self, asked: signal.Signals) -> None:
        handler = self._handlers[asked]
        if callable(handler):  # submitit's, which knows how to start the job again
            handler(asked, None)
        elif (job := job_id()) and int(os.environ.get("SLURM_PROCID", "0")) == 0:
            told = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
            said = told.stderr.strip() or "it goes on from there when its turn comes"
            sys.stderr.write(f"job {job} goes back into the queue: {said}\n")


def job_id() -> str | None:
    """The job that this process is of, as scontrol has it; None outside SLURM."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")
