"""A disk that is full, in words."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagen.files import size_in_words


@contextmanager
def room(folder: Path, option: str) -> Iterator[None]:
    """ValueError, naming `option`, when `folder` has no room for what is written meanwhile; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = size_in_words(shutil.disk_usage(folder).free)
        raise ValueError(
            f"{option}={folder}: the disk is full ({free} free): make room, or move the folder to a larger one; what is "
            "written stays, and the same command goes on"
        ) from None
