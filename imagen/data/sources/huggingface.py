"""A data set of the Hugging Face `datasets` library: of the hub, or a folder that it saved."""

import os
from pathlib import Path
from typing import Any

from imagen.data.pictures import storable
from imagen.data.sources.files import stripped, told
from imagen.data.sources.source import BadPair, Pair

INSTALL = "pip install 'imagen-cascade[huggingface]', or pip install datasets"


class HuggingFace:
    """All splits of a data set with a column of pictures and one of captions.

    `path`: a folder that `save_to_disk` wrote, or a data set's name on the hub, downloaded through the library's own
    cache; `name`: which of its configurations. `image_column`, `caption_column`: by default "image" and the first of
    "captions", "caption", "text" that is there; a cell may hold several captions. Other columns of numbers and short
    texts are kept as fields.

    Only data is read: data sets that come with code of their own are refused by the library.
    ValueError: the library is not installed, there is no such data set, or no such column."""

    def __init__(
        self,
        path: str,
        name: str | None = None,
        image_column: str = "image",
        caption_column: str | None = None,
    ) -> None:
        try:
            import datasets  # type: ignore[import-not-found]  (an extra)
        except ImportError:
            raise ValueError(f"source=huggingface needs the library `datasets`: {INSTALL}") from None
        try:
            loaded: Any = (
                datasets.load_from_disk(path) if Path(path).is_dir() else datasets.load_dataset(path, name)
            )
        except Exception as error:  # whatever the library, the hub or the network raise
            told = " ".join(str(error).split())[:200]
            raise ValueError(
                f"source.path={path}: no such data set ({type(error).__name__}: {told}); give a folder that save_to_disk "
                "wrote, or a name on the hub if it can be reached"
            ) from None
        splits = dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}
        columns = list(dict.fromkeys(column for data in splits.values() for column in data.column_names))
        caption_column = caption_column or next(
            (c for c in ("captions", "caption", "text") if c in columns), "caption"
        )
        for option, column in {"image_column": image_column, "caption_column": caption_column}.items():
            if any(column not in data.column_names for data in splits.values()):
                raise ValueError(
                    f"source.path={path} has no column {column!r} in every split; it has {', '.join(columns)}: give "
                    f"source.{option}=NAME"
                )
        self.image_column, self.caption_column = image_column, caption_column
        # the files' bytes, not decoded pictures
        raw = datasets.Image(decode=False)
        self._data = {split: data.cast_column(image_column, raw) for split, data in splits.items()}
        self.splits = {split: len(data) for split, data in splits.items()}
        stated = dict.fromkeys(str(data.info.license) for data in splits.values() if data.info.license)
        self.licence = "; ".join(stated) or None
        prints = {split: data._fingerprint for split, data in splits.items()}
        columns_used = [image_column, caption_column]
        self.identity = {"source": "huggingface", "fingerprints": prints, "columns": columns_used}

    def pair(self, split: str, row: int) -> Pair:
        """See `Source`."""
        values = self._data[split][row]
        cell, picture = values.pop(self.caption_column), values.pop(self.image_column) or {}
        captions = stripped(cell if isinstance(cell, list) else [cell or ""])
        if not captions:
            raise BadPair("empty caption", f"row {row}")
        data = picture.get("bytes")
        if data is None and picture.get("path"):
            if not os.path.isfile(picture["path"]):
                raise BadPair("missing image", f"{told(picture['path'])}: no such file")
            try:
                data = Path(picture["path"]).read_bytes()
            except OSError as error:
                raise BadPair("missing image", f"{told(picture['path'])}: {error.strerror}") from error
        if not data:
            raise BadPair("missing image", f"row {row} has no bytes")
        image, extension, size = storable(data)
        fields = {
            k: v
            for k, v in values.items()
            if isinstance(v, int | float | bool) or (isinstance(v, str) and len(v) < 1000)
        }
        return Pair(image, extension, size, captions, fields)
