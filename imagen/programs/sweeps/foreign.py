"""Files that anyone may have written: plain ones alone are opened, no more is read than fits, and nothing that they say is
obeyed by a terminal."""

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import yaml

from imagen.training.run_folder import check_plain

MOST = 1_000_000  # bytes of a file that is read whole
# control characters, and those that turn the direction of writing
OBEYED = re.compile("[\0-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def harmless(text: object) -> str:
    """One line that any file, page and terminal can hold."""
    return OBEYED.sub("\ufffd", str(text).encode("utf-8", "backslashreplace").decode())


def text_of(file: Path, most: int = MOST) -> str:
    """What is in a file; ValueError that says why it cannot be."""
    size, content = _end_of(file, most + 1)
    if size > most:
        raise ValueError(f"{file.name}: of {size:,} bytes, and more than {most:,} are not read")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{file.name}: not UTF-8") from None


def tail(file: Path, most: int) -> str:
    """The last `most` bytes of a file, whatever they are; ValueError that says why they cannot be read."""
    return _end_of(file, most)[1].decode("utf-8", "replace")


def object_of(file: Path) -> dict[str, Any]:
    """The object in a JSON file; ValueError that says why there is none."""
    text = text_of(file)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{file.name}: not JSON") from None
    if not isinstance(found, dict):
        raise ValueError(f"{file.name}: no object, but {type(found).__name__}")
    return found


def yaml_of(file: Path) -> dict[str, Any]:
    """The mapping in a YAML file of plain values; ValueError that says why there is none."""
    text = text_of(file)
    try:
        check_plain(text)
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ValueError(f"{file.name}: not YAML of plain values") from None
    if not isinstance(found, dict):
        raise ValueError(f"{file.name}: no mapping, but {type(found).__name__}")
    return found


def _end_of(file: Path, most: int) -> tuple[int, bytes]:
    """The size of a file, and the last `most` bytes of it."""
    try:
        # a pipe of that name would be waited for
        opened = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(opened, "rb") as stream:
            status = os.fstat(opened)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError(f"{file.name}: no plain file")
            stream.seek(max(0, status.st_size - most))
            return status.st_size, stream.read(most)
    except OSError as error:
        raise ValueError(f"{file.name}: {error.strerror or error}") from None
