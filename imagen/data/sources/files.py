"""A picture's file on disk -> the pair of it and its captions: what several sources share."""

import os
from pathlib import Path
from typing import Any

from imagen.data.pictures import storable
from imagen.data.sources.source import BadPair, Pair

TOLD = 80  # characters of a file's name that are told


def pair_of(folder: Path, name: str, captions: tuple[str, ...], fields: dict[str, Any]) -> Pair:
    """The picture `name` of `folder` and its captions; one that is neither jpg nor png becomes png. BadPair naming
    the file when it has no caption or cannot be read to its end."""
    if not captions:
        raise BadPair("empty caption", told(name))
    file = inside(folder, name)
    # a folder, or a pipe, which would be waited for without end; or a name that no file can have
    if not os.path.isfile(file):
        raise BadPair("missing image", f"{told(name) or 'no path'}: no such file")
    try:
        image, extension, size = storable(file.read_bytes())
    except OSError as error:
        raise BadPair("missing image", f"{told(name)}: {error.strerror}") from error
    except BadPair as error:
        raise BadPair(error.kind, f"{told(name)}: {error.reason}") from error
    return Pair(image, extension, size, captions, fields, told(name))


def inside(folder: Path, name: str, missing: str = "missing image") -> Path:
    """The file `name` of `folder`. BadPair when a link on the way leads out of the folder: data that came from elsewhere
    may not say which files of this machine are read. BadPair of the kind `missing` when no file can be called that."""
    file = folder / name
    try:
        end = file.resolve()
    except (OSError, ValueError, RuntimeError):  # a NUL, half a character; a link that leads to itself
        raise BadPair(missing, f"{told(name)}: no such file") from None
    if not end.is_relative_to(folder.resolve()):
        raise BadPair("outside the folder", f"{told(name)} leads to {end}: name the folder that holds it")
    return file


def told(name: str) -> str:
    """A file's name for people."""
    return name if len(name) <= TOLD else name[:TOLD] + "..."


def stripped(captions: list[Any]) -> tuple[str, ...]:
    """Those that are text and more than blanks."""
    return tuple(text for caption in captions if isinstance(caption, str) and (text := caption.strip()))
