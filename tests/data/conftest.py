"""Shared by tests of data: tars of any members."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

TarOf = Callable[..., Path]


@pytest.fixture(scope="session")
def tar_of() -> TarOf:
    """tar_of(path, *members): a tar of (name, bytes) each, at `path`, whose folder is made."""

    def made(path: Path, *members: tuple[str, bytes]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w") as tar:
            for name, data in members:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return path

    return made
