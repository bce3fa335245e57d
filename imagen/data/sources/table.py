"""A table (csv, tsv, jsonl or parquet) of picture paths and captions, beside the folder of pictures."""

import csv
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imagen.data.sources.files import pair_of, stripped, told
from imagen.data.sources.source import BadPair, Pair, plain

DELIMITERS = {".csv": ",", ".tsv": "\t"}
LOOKED_FOR = 1000  # so many pictures are looked for before any work


class Table:
    """Each row a picture and its captions; the other columns are kept in the shard's json. Rows of the same picture
    and split are one pair, with the captions of all and the other columns of the first.

    `path`: the table, UTF-8, its first line naming the columns (csv, tsv) or each line an object (jsonl); or parquet.
    `images`: the folder that the paths are relative to; the table's own by default. `image_column`: "path" by
    default. `caption_column`: by default "captions" or "caption", whichever is there. Several captions stand
    in one cell with `separator` between them, or as a list in jsonl and parquet. `split_column`: train, test, ... by
    default "split" where there is such a column; without it every row is of the split "train".

    ValueError: no table, not UTF-8, a column missing or there twice, no rows, a path that leads out of the
    folder, no picture there."""

    def __init__(
        self,
        path: str | Path,
        images: str | Path | None = None,
        image_column: str = "path",
        caption_column: str | None = None,
        split_column: str = "split",
        separator: str = " ||| ",
    ) -> None:
        self.path, self.separator = Path(path), separator
        if not separator:
            raise ValueError(
                "source.separator is empty: give what stands between several captions in one cell"
            )
        if not self.path.is_file():
            raise ValueError(f"source.path={path}: there is no such table")
        if images is not None and not Path(images).is_dir():
            raise ValueError(f"source.images={images}: there is no such folder")
        self.folder = Path(os.path.abspath(self.path.parent if images is None else images))
        rows = list(_rows(self.path))
        if not rows:
            raise ValueError(f"source.path={path} has no rows")
        columns = list(dict.fromkeys(column for row in rows for column in row))
        if caption_column is None:
            caption_column = next((name for name in ("captions", "caption") if name in columns), "caption")
        for option, column in {"image_column": image_column, "caption_column": caption_column}.items():
            if column not in columns:
                raise ValueError(
                    f"source.path={path} has no column {column!r}; it has {', '.join(map(repr, columns))}: "
                    f"give source.{option}=NAME"
                )
        self.image_column, self.caption_column, self.split_column = image_column, caption_column, split_column
        self._rows = self._merged(rows)
        for split in self._rows:
            if not re.fullmatch(r"\w{1,64}", split):
                raise ValueError(
                    f"source.path={path}: {split[:80]!r} in column {split_column!r} cannot name a split"
                )
        self._refuse_escapes(rows)
        self._refuse_wrong_folder(rows)
        self.splits = {split: len(rows) for split, rows in self._rows.items()}
        self.identity = {
            "source": "table",
            "table_sha256": hashlib.sha256(self.path.read_bytes()).hexdigest(),
            "columns": [image_column, caption_column, split_column],
            "separator": separator,
        }

    def pair(self, split: str, row: int) -> Pair:
        """See `Source`."""
        values = self._rows[split][row]
        kept = {k: v for k, v in values.items() if k != self.caption_column and v not in ("", None)}
        if (path := values.get(self.image_column)) and not self._name(values):
            raise BadPair("missing image", f"{type(path).__name__} is no path")
        return pair_of(self.folder, self._name(values), values[self.caption_column], kept)

    def captions(self, split: str, row: int) -> tuple[str, ...]:
        """See `Captioned`."""
        return self._rows[split][row][self.caption_column]

    def _name(self, row: dict[str, Any]) -> str:
        """The path of a row; "" when it has none, or what stands there is none."""
        path = row.get(self.image_column) or ""
        return str(path) if isinstance(path, str | int | float) and path is not True else ""

    def _captions(self, cell: Any) -> tuple[str, ...]:
        if isinstance(cell, str):
            return stripped(cell.split(self.separator))
        return stripped(cell) if isinstance(cell, list) else ()

    def _merged(self, rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        """Split -> its pairs: the first row of each picture, with the captions of all."""
        splits: dict[str, dict[Any, dict[str, Any]]] = {}
        for number, row in enumerate(rows):
            split = row.get(self.split_column) or "train"
            # a list or an object, which may have brackets without end, cannot name one
            split = type(split).__name__ + "()" if isinstance(split, list | dict) else str(split)
            pairs = splits.setdefault(split, {})
            # rows without a path stay apart, to be counted
            pair = pairs.setdefault(self._name(row) or number, {**row, self.caption_column: ()})
            said = self._captions(row.get(self.caption_column))
            pair[self.caption_column] = tuple(dict.fromkeys((*pair[self.caption_column], *said)))
        return {split: list(pairs.values()) for split, pairs in splits.items()}

    def _refuse_escapes(self, rows: list[dict[str, Any]]) -> None:
        inside = os.path.join(self.folder, "")
        for number, row in enumerate(rows, 1):
            name = self._name(row)
            whole = os.path.normpath(os.path.join(self.folder, name))
            if not os.path.join(whole, "").startswith(inside):
                raise ValueError(
                    f"source.path={self.path}: row {number} leads out of {self.folder}: {plain(told(name))}; "
                    "give source.images=FOLDER, below which all pictures lie"
                )

    def _refuse_wrong_folder(self, rows: list[dict[str, Any]]) -> None:
        some = rows[:LOOKED_FOR]
        # which, unlike a Path, takes any name
        if not any(os.path.isfile(os.path.join(self.folder, self._name(row))) for row in some):
            raise ValueError(
                f"source.path={self.path}: none of the first {len(some)} pictures is in {self.folder}: "
                "give source.images=FOLDER"
            )


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        yield from _parquet(path)
        return
    if path.suffix not in (*DELIMITERS, ".jsonl"):
        raise ValueError(f"source.path={path}: a table's name ends in .csv, .tsv, .jsonl or .parquet")
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            yield from _objects(path, file) if path.suffix == ".jsonl" else _cells(path, file)
        except UnicodeDecodeError as error:
            raise ValueError(f"source.path={path} is not UTF-8 text: {error}") from error


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow
        from pyarrow import parquet  # an extra
    except ImportError:
        raise ValueError(
            f"source.path={path}: parquet needs the library pyarrow: pip install pyarrow"
        ) from None
    try:
        file = parquet.ParquetFile(path)
        # columns of numbers, texts and lists of texts; others, embeddings perhaps, are not carried along
        plain = [f.name for f in file.schema_arrow if not pyarrow.types.is_nested(f.type) or _texts(f.type)]
        for batch in file.iter_batches(columns=plain):
            yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"source.path={path} is no parquet file: {str(error)[:80]}") from None


def _texts(kind: Any) -> bool:
    from pyarrow import types

    return types.is_list(kind) and types.is_string(kind.value_type)


def _objects(path: Path, lines: Any) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # not JSON, a number or brackets without end
            raise ValueError(f"source.path={path}: line {number} is not JSON: {str(error)[:80]}") from None
        if not isinstance(row, dict):
            raise ValueError(f"source.path={path}: line {number} is not an object of columns")
        yield row


def _cells(path: Path, lines: Any) -> Iterator[dict[str, Any]]:
    tabs = path.suffix == ".tsv"
    # captions often begin with a quotation mark; between tabs it must not swallow the lines that follow
    quoting = csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL
    csv.field_size_limit(1 << 24)
    try:
        reader = csv.DictReader(lines, delimiter=DELIMITERS[path.suffix], quoting=quoting, restval="")
        for column, times in Counter(reader.fieldnames or ()).items():
            if column and times > 1:
                raise ValueError(f"source.path={path} has {times} columns {column!r}: rename all but one")
        for row in reader:
            row.pop(None, None)  # type: ignore[call-overload]  cells beyond the last named column
            yield {column: _unquoted(cell) for column, cell in row.items()} if tabs else row
    except csv.Error as error:
        raise ValueError(f"source.path={path} cannot be read: {error}") from error


def _unquoted(cell: str) -> str:
    inner = cell[1:-1]
    wrapped = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if wrapped else cell
