"""Files that are the old one or the new one, never half of it; one writer at a time; JSON that is read with words when it
is damaged; text that any file holds."""

import fcntl
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
"""A plain name: of a run, a stage, and so of their files and folders."""


@contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """The lock file `path`, made if need be, for this process alone; ValueError(`busy`) when another one has it.
    Whatever lies there under that name is neither cut nor followed nor waited for; OSError when it cannot be a lock."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(busy) from None
        yield
    finally:
        os.close(file)


def write_text(path: Path, text: str) -> None:
    """All of `text` or nothing: written beside `path`, whose folder is made, and moved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    finally:  # a full disk leaves half of it
        beside.unlink(missing_ok=True)


def shared(path: Path) -> None:
    """Give `path` the permissions that a new file has here: safetensors makes its files its owner's alone, and
    clusters share data and releases."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def read_json(path: str | Path, remedy: str) -> dict[str, Any]:
    """The object in a JSON file. ValueError naming the file and the `remedy` when it is not there, cannot be read,
    or holds anything but an object."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}; {remedy}") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, numbers or brackets without end
        raise ValueError(f"{path} is damaged ({str(error)[:80]}); {remedy}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged (no object, but {type(content).__name__}); {remedy}")
    return content


def size_in_words(size: float) -> str:
    """Bytes for people: "17 bytes", "3.4 MB", "1.2 TB"."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:.0f} bytes"


def printable(text: object, most: int = 200) -> str:
    """Text that any file, page and terminal can hold: no half characters, no control characters, `most` characters."""
    cut = str(text)[:most]
    whole = cut.encode("utf-8", "backslashreplace").decode()
    return re.sub(r"[\0-\x08\x0b-\x1f\x7f-\x9f]", "\ufffd", whole) + ("…" if len(str(text)) > most else "")
