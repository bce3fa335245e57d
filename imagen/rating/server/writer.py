"""All changes of the database go through one thread, which commits many at once: an answer is acknowledged when it is on the disk,
and 200 raters do not wait for 200 disks one after the other."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

Change = Callable[[Connection], Any]
MANY = 100  # changes of one transaction
TRIES = 20  # of one that meets what another server wrote meanwhile


class Writer:
    """The thread. `submit(change)` -> a future of what `change(connection)` returns, done when it is committed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asked: queue.SimpleQueue[tuple[Change, Future] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    def submit(self, change: Change) -> Future:
        """Soon; in the order of the calls."""
        future: Future = Future()
        future.set_running_or_notify_cancel()  # is done, though who asked may not wait for it
        self._asked.put((change, future))
        return future

    def __call__(self, change: Change) -> Any:
        """What `change` returns, committed. What it raises."""
        return self.submit(change).result()

    def close(self) -> None:
        """When all that was asked is done."""
        if self._thread.is_alive():
            self._asked.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (first := self._asked.get()) is not None:
            asked, end = [first], False
            while len(asked) < MANY and not self._asked.empty():
                if (more := self._asked.get()) is None:
                    end = True
                    break
                asked.append(more)
            self._together(asked)
            if end:
                return

    def _together(self, asked: list[tuple[Change, Future]], tries: int = TRIES) -> None:
        try:
            with self._engine.begin() as connection:
                found = [change(connection) for change, _ in asked]
        except Exception as error:
            if len(asked) == 1 and isinstance(error, IntegrityError) and tries > 1:
                self._together(asked, tries - 1)  # another server was first, which a second look sees
                return
            if len(asked) == 1:
                asked[0][1].set_exception(error)
                return
            for one in asked:  # whose fault it was shows when each has a transaction of its own
                self._together([one])
            return
        for (_, future), value in zip(asked, found):
            future.set_result(value)
