"""The console programs. Ctrl-C while they are still importing libraries is no error either."""

import sys
from types import TracebackType


def _told(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("interrupted before it began\n")
    else:
        sys.__excepthook__(kind, error, where)


sys.excepthook = _told
