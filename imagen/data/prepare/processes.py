"""The same work on many tasks, by several processes that can be killed at any time."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")
Tick = Callable[[int], object]  # so many more of what a task consists of are done
LOOK = 0.2  # seconds between looks at how far the processes are


def each(
    tasks: Sequence[Task], work: Callable[[Task, Tick], Result], workers: int, show: Callable[[int], object]
) -> Iterator[tuple[Task, Result]]:
    """(task, work(task, tick)) of each, as they get done: with one worker in this process and in order, with more in so
    many others. `show(n)` is called now and then with the sum of all ticks so far. An error of a task ends all.
    ValueError when a process was killed."""
    if min(workers, len(tasks)) <= 1:
        done = 0

        def tick(count: int) -> None:
            nonlocal done
            done += count
            show(done)

        for task in tasks:
            yield task, work(task, tick)
        return
    # forked, where that is safe: what `work` knows, a table of millions of rows perhaps, is not copied to each
    context = multiprocessing.get_context("fork" if sys.platform.startswith("linux") else "spawn")
    ticks, stop = context.Value("q", 0), context.Event()
    pool = ProcessPoolExecutor(min(workers, len(tasks)), context, _begin, (work, ticks, stop, os.getpid()))
    try:
        running = {pool.submit(_work, task): task for task in tasks}
        while running:
            done_now, _ = wait(running, LOOK, FIRST_COMPLETED)
            show(ticks.value)
            for future in done_now:
                yield running.pop(future), future.result()
    except BrokenProcessPool:
        raise ValueError(
            f"one of workers={workers} processes was killed, for want of memory perhaps: give fewer workers=; what is "
            "written stays, and the same command goes on"
        ) from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


_OURS: dict[str, Any] = {}  # of a process that works


def _begin(work: Callable, ticks: Any, stop: Any, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process says when to stop
    _OURS.update(work=work, ticks=ticks, stop=stop)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """A process whose parent was killed would wait for work for ever, and hold its locks."""
    while os.getppid() == parent:
        time.sleep(LOOK)
    os._exit(1)


def _work(task: Any) -> Any:
    return _OURS["work"](task, _tick)


def _tick(count: int) -> None:
    if _OURS["stop"].is_set():
        raise KeyboardInterrupt  # nobody waits for this any more
    with _OURS["ticks"].get_lock():
        _OURS["ticks"].value += count
