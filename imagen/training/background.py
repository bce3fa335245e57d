"""One thread that writes while training goes on."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Background:
    """`start` queues jobs, done one after another. What a job raised is raised by the next `check` or `wait`, and the jobs
    that were queued behind it are not begun."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None  # made when needed: a process may fork before
        self._jobs: list[Future[None]] = []

    def start(self, job: Callable[[], None]) -> None:
        """Queue a job."""
        self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="writing")
        self._jobs.append(self._thread.submit(self._after, list(self._jobs), job))

    def check(self) -> None:
        """Raise what a job raised that is over; wait for none."""
        while self._jobs and self._jobs[0].done():
            self._jobs.pop(0).result()

    def wait(self) -> None:
        """Until all jobs are over."""
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            job.result()

    @staticmethod
    def _after(before: list[Future[None]], job: Callable[[], None]) -> None:
        if all(earlier.exception() is None for earlier in before):
            job()
