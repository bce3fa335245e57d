"""One table of a sweep: a row a cell, of the settings that differ, the last metrics and all that was measured of it. The
same folder gives the same file, byte for byte."""

import csv
import io
import json
import math
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from imagen.files import write_text
from imagen.programs.sweeps.expected import plain_values
from imagen.programs.sweeps.foreign import harmless, object_of, yaml_of
from imagen.programs.sweeps.states import Cell
from imagen.training.run_folder import flat

FIRST = ("name", "state", "step", "seconds", "parameters")
ALWAYS = ("seed", "stage.name", "text._target_", "text.name", "text.layers", "text.layer")
OF_EACH = ("name", "runs")  # settings that differ of themselves
NUMBERS = 1000  # of one results.json
ROWS, CHARACTERS = 20, 24  # of the preview, and of a value in it
Value = bool | int | float | str | None


class Table(NamedTuple):
    """`rows`: a value for each of the columns; those of a column are of one kind, or None."""

    columns: list[str]
    rows: list[list[Value]]


def table_of(cells: Sequence[Cell]) -> Table:
    """All that is known of the cells."""
    settings, whole, results = [], [], []
    for cell in cells:
        found: dict[str, Any] = {}
        numbers: dict[str, float] = {}
        try:
            if (file := cell.folder / "config.yaml").exists():
                found = flat(yaml_of(file))
            if (file := cell.folder / "results.json").exists():
                numbers = _numbers(file)
        except (ValueError, OSError, RecursionError) as error:
            cell.state, cell.why = "unreadable", cell.why or str(error)
        whole.append(bool(found))
        settings.append(found or plain_values(cell.overrides or []))
        results.append(numbers)
    chosen = _chosen(settings, whole)
    metrics = sorted({key for cell in cells for key in cell.metrics} - {*FIRST, *chosen}, key=_loss_first)
    taken = {*FIRST, *chosen, *metrics}
    # a measure that has the name of something else says where it is from
    called = {key: f"results.{key}" if key in taken else key for numbers in results for key in numbers}
    rows: list[dict[str, Value]] = []
    for cell, found, numbers in zip(cells, settings, results):
        rows.append(
            {key: _plain(found.get(key)) for key in chosen}
            | {key: cell.metrics.get(key) for key in metrics}
            | {called[key]: value for key, value in numbers.items()}
            | {
                "name": cell.name,
                "state": f"unreadable: {cell.why}" if cell.state == "unreadable" else cell.state,
                "step": cell.step,
                "seconds": cell.seconds,
                "parameters": cell.parameters,
            }
        )
    columns = [*FIRST, *chosen, *metrics, *sorted(called.values())]
    known = [c for c in columns if c in FIRST[:4] or any(row.get(c) is not None for row in rows)]
    typed = [_typed([row.get(column) for row in rows]) for column in known]
    return Table([harmless(column) for column in known], [list(row) for row in zip(*typed)])


def write_table(table: Table, file: Path) -> bool:
    """As .csv or .parquet; False when that needs a library that is not there."""
    if file.suffix == ".csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(map(_cell_of_csv, table.columns))
        writer.writerows(map(_cell_of_csv, row) for row in table.rows)
        write_text(file, text.getvalue())
        return True
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return False
    columns = {name: [row[i] for row in table.rows] for i, name in enumerate(table.columns)}
    arrays = {name: pyarrow.array(v, None if _known(v) else pyarrow.string()) for name, v in columns.items()}
    content = io.BytesIO()
    parquet.write_table(pyarrow.table(arrays), content)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        beside.write_bytes(content.getvalue())
        os.replace(beside, file)
    finally:
        beside.unlink(missing_ok=True)
    return True


def preview(table: Table) -> str:
    """The first rows, of the columns that tell cells apart as many as a line holds; names of classes, which are long and which
    the cells' own names mostly say, are in the file alone."""
    rows = [[_shown(value) for value in row] for row in table.rows[:ROWS]]
    telling = [
        i
        for i, c in enumerate(table.columns)
        if c == "name" or (len({repr(r[i]) for r in table.rows}) > 1 and not c.endswith("_target_"))
    ]
    width, held, room = shutil.get_terminal_size((160, 24)).columns, [], 0
    for i in telling:
        room += max(len(table.columns[i]), *(len(row[i]) for row in rows), 0) + 2
        if held and room > width:
            break
        held.append(i)
    lines = aligned([[table.columns[i] for i in held], *([row[i] for i in held] for row in rows)])
    if len(table.rows) > ROWS:
        lines.append(f"... and {len(table.rows) - ROWS} more")
    return "\n".join(lines)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, with columns of one width."""
    shown = [[harmless(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown)]
    return ["  ".join(v.ljust(w) for v, w in zip(row, widths)).rstrip() for row in shown]


def _numbers(file: Path) -> dict[str, float]:
    """The numbers of a results.json, within groups of any depth."""
    found = {k: v for k, v in flat(object_of(file)).items() if type(v) in (int, float)}
    if len(found) > NUMBERS:
        raise ValueError(f"{file.name}: {len(found)} numbers, and more than {NUMBERS} are no table")
    return found


def _chosen(settings: Sequence[dict[str, Any]], whole: Sequence[bool]) -> list[str]:
    """The settings that differ, after those that are always told. Of a cell that has not begun only what was asked for is
    known, which says nothing of the rest. One that only repeats another, as `stage.seed` does `seed`, is left out."""
    keys = {key for found, w in zip(settings, whole) if w or not any(whole) for key in found}
    told: dict[tuple[str, ...], str] = {}  # last word and values -> the shortest key
    for key in sorted(keys - {*OF_EACH}, key=lambda key: (key not in ALWAYS, key.count("."), key)):
        values = [repr(found.get(key)) for found, w in zip(settings, whole) if w or key in found]
        if key in ALWAYS or len(set(values)) > 1:
            told.setdefault((key.rpartition(".")[2], *values), key)
    return [*(key for key in ALWAYS if key in keys), *sorted(set(told.values()) - {*ALWAYS})]


def _plain(value: Any) -> Value:
    """A list as one would type it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return json.dumps(value, default=str)


def _typed(values: Sequence[Value]) -> list[Value]:
    """Values of one kind, or None: numbers stay numbers where all are, else all are text."""
    kinds = {type(value) for value in values} - {type(None)}
    if float in kinds and kinds <= {int, float}:
        return [None if value is None else _float(value) for value in values]
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):  # pyright: ignore
        return list(values)
    if kinds <= {bool}:
        return list(values)
    return [None if value is None else harmless(_shown_whole(value)) for value in values]


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _known(values: Sequence[Value]) -> bool:
    return any(value is not None for value in values)


def _loss_first(key: str) -> tuple[bool, bool, str]:
    return key != "loss", key != "val_loss", key


def _shown_whole(value: Value) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _shown(value: Value) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else _shown_whole(value)
    return text if len(text) <= CHARACTERS else text[: CHARACTERS - 1] + "…"


def _cell_of_csv(value: Value) -> str:
    """A spreadsheet takes text that begins so for a formula, and runs it."""
    text = _shown_whole(value)
    return f"'{text}" if isinstance(value, str) and re.match(r"[=+@\-]", text) else text
