"""A folder of pictures, each with a .txt of the same name beside it: a caption a line."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imagen.data.pictures import EXTENSIONS
from imagen.data.sources.files import inside, pair_of, stripped
from imagen.data.sources.source import BadPair, Pair

SPLITS = ("train", "val", "validation", "test")


class Folder:
    """All pictures below `path`, in the order of their names, and the captions beside them.

    If folders train, val, validation or test lie right below `path`, those are the splits, and what lies elsewhere is
    not looked at; else all is the split "train". Links to folders are not followed.

    ValueError: no such folder, or no picture in it."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise ValueError(f"source.path={path}: there is no such folder")
        splits = [name for name in SPLITS if (self.path / name).is_dir()]
        self._names = {split: list(_pictures(self.path, split)) for split in splits or [""]}
        if not any(self._names.values()):
            raise ValueError(
                f"source.path={path}: no pictures ({', '.join(EXTENSIONS)}) in it; captions stand beside them, in "
                "a.txt for a.jpg"
            )
        self._names = {split or "train": names for split, names in self._names.items() if names}
        self.splits = {split: len(names) for split, names in self._names.items()}
        listed = "\n".join(name for names in self._names.values() for name in names)
        names = hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()
        self.identity: dict[str, Any] = {"source": "folder", "names_sha256": names}

    def pair(self, split: str, row: int) -> Pair:
        """See `Source`. Its fields are {"path": name within the folder}."""
        name = self._names[split][row]
        return pair_of(self.path, name, self.captions(split, row), {"path": name})

    def captions(self, split: str, row: int) -> tuple[str, ...]:
        """See `Captioned`."""
        name = self._names[split][row]
        beside = inside(self.path, str(Path(name).with_suffix(".txt")), "missing caption")
        try:
            if beside.exists() and not beside.is_file():  # a pipe would be waited for without end
                raise BadPair("missing caption", f"{name}: {beside.name} is no file")
            # utf-8-sig: editors of one system begin every file with a mark
            return stripped(beside.read_text(encoding="utf-8-sig").splitlines())
        except FileNotFoundError:
            raise BadPair("missing caption", f"{name}: no {beside.name} beside it") from None
        except OSError as error:
            raise BadPair("missing caption", f"{beside.name}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise BadPair("unreadable text", f"{beside.name} is not UTF-8") from None

    def picture(self, split: str, row: int) -> Pair:
        """A picture that nothing need be said of."""
        name = self._names[split][row]
        return pair_of(self.path, name, ("",), {"path": name})


def _pictures(folder: Path, split: str) -> Iterator[str]:
    for root, folders, files in os.walk(folder / split):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.rpartition(".")[2].lower() in EXTENSIONS and not name.startswith("."):
                yield os.path.relpath(os.path.join(root, name), folder)
