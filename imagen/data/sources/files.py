"""A picture's file on disk -> the pair of it and its captions: what several sources share."""

from pathlib import Path
from typing import Any

from imagen.data.pictures import storable
from imagen.data.sources.source import BadPair, Pair


def pair_of(folder: Path, name: str, captions: tuple[str, ...], fields: dict[str, Any]) -> Pair:
    """The picture `name` of `folder` and its captions; one that is neither jpg nor png becomes png. BadPair naming
    the file when it has no caption or cannot be read to its end."""
    if not captions:
        raise BadPair("empty caption", name)
    file = inside(folder, name)
    if not file.is_file():  # a folder, or a pipe, which would be waited for without end
        raise BadPair("missing image", f"{name or 'no path'}: no such file")
    try:
        image, extension, size = storable(file.read_bytes())
    except OSError as error:
        raise BadPair("missing image", f"{name}: {error.strerror}") from error
    except BadPair as error:
        raise BadPair(error.kind, f"{name}: {error.reason}") from error
    return Pair(image, extension, size, captions, fields)


def inside(folder: Path, name: str) -> Path:
    """The file `name` of `folder`. BadPair when a link on the way leads out of the folder: data that came from elsewhere
    may not say which files of this machine are read."""
    file = folder / name
    if not file.resolve().is_relative_to(folder.resolve()):
        raise BadPair(
            "outside the folder", f"{name} leads to {file.resolve()}: name the folder that holds it"
        )
    return file


def stripped(captions: list[Any]) -> tuple[str, ...]:
    """Those that are more than blanks."""
    return tuple(text for caption in captions if (text := str(caption).strip()))
