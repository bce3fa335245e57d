"""Shared by tests of preparing: a small source that can fail, and where it goes."""

from pathlib import Path
from typing import Any

import pytest

from imagen.data.sources.source import BadPair, Pair


class Numbers:
    """11 + 3 pairs; rows in `bad` cannot be used, and reading row `fatal` raises."""

    def __init__(self, bad: tuple[int, ...] = (), fatal: int | None = None, name: str = "numbers") -> None:
        self.splits = {"train": 11, "test": 3}
        self.identity: dict[str, Any] = {"source": name, "size": [1, 2]}
        self.bad, self.fatal, self.read = bad, fatal, []

    def pair(self, split: str, row: int) -> Pair:
        self.read.append((split, row))
        if split == "train" and row == self.fatal:
            raise KeyboardInterrupt
        if split == "train" and row in self.bad:
            raise BadPair("unreadable image", f"row {row}")
        captions = tuple(f"caption {number} of {row} – {split}" for number in range(1 + row % 3))
        return Pair(bytes([row]) * (600 * row + 1), "png", (8, 8), captions, {"row": row, "word": "ä"})


@pytest.fixture
def numbers() -> type[Numbers]:
    """The source, to be made or derived from."""
    return Numbers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"
