"""A folder of shards has one writer at a time, and holds shards of one source and size only."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from imagen.files import locked, read_json, write_text


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """`folder`, made if need be, for this process alone. ValueError when another process writes there, or when
    it holds anything but shards of ours.

    Two writers of one shard would cut each other's file short, and the folder would count as finished."""
    if folder.exists() and (not folder.is_dir() or _foreign(folder)):
        raise ValueError(f"out={folder} is there and holds no shards of ours: choose another out=")
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / ".lock"
    for name in (lock, folder / "index", folder / "text", *folder.glob("text/*")):
        if name.is_symlink():  # what is written there would land elsewhere
            raise ValueError(f"{name} is a link: delete it, or put what it leads to in its place")
    with locked(lock, f"out={folder}: another imagen-prepare is at work there; wait for it"):
        yield


def claim(folder: Path, settings: dict[str, Any]) -> None:
    """`folder` for shards of these settings; ValueError naming the key that differs when it holds others. A try
    that failed before its first shard binds nobody."""
    settings, path = json.loads(json.dumps(settings)), folder / "settings.json"
    if all(map(_mark, os.listdir(folder))):
        for part in folder.glob(".*.tar.part"):
            part.unlink()
        write_text(path, json.dumps(settings, indent=1, ensure_ascii=False) + "\n")
        return
    there = read_json(path, f"choose another out=, or delete {folder}, and prepare again")
    unlike = [k for k in {**there, **settings} if there.get(k) != settings.get(k)]
    if unlike:
        named = "; ".join(f"{k} is {there.get(k)} there, {settings.get(k)} here" for k in unlike)
        raise ValueError(
            f"out={folder} holds shards of other settings ({named}): choose another out=, or delete it"
        )


def _foreign(folder: Path) -> bool:
    names = set(os.listdir(folder))
    return "settings.json" not in names and not all(
        fnmatchcase(n, ".settings.json.*") for n in names - {".lock"}
    )


def _mark(name: str) -> bool:
    """Whether a file of ours is no work done: the claim, or what a kill left of a write."""
    return name in (".lock", "settings.json") or any(
        fnmatchcase(name, pattern) for pattern in (".settings.json.*", ".*.tar.part")
    )
