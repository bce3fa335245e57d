"""Numbers and lines of files that anybody may have written, read without trust."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LINE = 1_000_000  # characters of a line


def number(value: Any) -> float | None:
    """A finite number as a float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def whole_lines(file: Path) -> Iterator[str]:
    """Lines that are not empty; one longer than `LINE` is told as damaged, without being held."""
    with file.open(encoding="utf-8", errors="replace", newline="\n") as text:
        while line := text.readline(LINE):
            if len(line) == LINE and not line.endswith("\n"):
                while (rest := text.readline(LINE)) and not rest.endswith("\n"):
                    pass
                line = "too long\n"
            if line.strip():
                yield line
