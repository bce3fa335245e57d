"""Files that are the old one or the new one, never half of it."""

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """All of `text` or nothing: written beside `path`, whose folder is made, and moved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text)
    os.replace(beside, path)
