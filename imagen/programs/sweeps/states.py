"""The cells of a folder of runs, which are its runs and those that are to come, and what has become of each.

Three things know of them: the records that imagen-train leaves (imagen/programs/sweeps/cells.py), the runs' own folders, and
Hydra's multirun.yaml, which says what the last sweep is made of. Nothing is changed, and nothing in them is run.
"""

import json
import math
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagen.files import NAME
from imagen.programs.sweeps.cells import RECORDS, birth
from imagen.programs.sweeps.expected import Expected, expected
from imagen.programs.sweeps.foreign import harmless, object_of, tail, yaml_of
from imagen.programs.sweeps.queued import JOB, Job, queue
from imagen.training.run_folder import flat

STATES = ("waits", "runs", "done", "stopped", "failed", "unreadable")
METRICS = 4_000_000  # bytes of metrics.jsonl that are looked at for a table, from its end
KINDS: dict[str, Any] = {
    "state": str,
    "overrides": list,
    "cwd": str | None,
    "job": str | None,
    "host": str,
    "pid": int,
    "birth": int | None,
    "started": int | float,
    "ended": int | float | None,
    "error": str | None,
    "max_steps": int | None,
    "parameters": int | None,
}


@dataclass
class Cell:
    """`why`: what there is to say of the state. `step`, `seconds`, `metrics`, `changed`: how far it came, the last of each
    number that it reported, when something was last written."""

    name: str
    folder: Path
    state: str = ""
    why: str = ""
    overrides: list[str] | None = None
    cwd: Path | None = None
    job: str | None = None
    step: int | None = None
    max_steps: int | None = None
    seconds: float | None = None
    parameters: int | None = None
    changed: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)


def find_cells(runs: Path, metrics: int = METRICS) -> list[Cell]:
    """The cells of a folder of runs, by name; of metrics.jsonl the last bytes are looked at. ValueError when it is none."""
    if not runs.is_dir():
        raise ValueError(f"dir={runs}: no such folder; give the one that was runs= of imagen-train")
    if (runs / "config.yaml").is_file() and (runs / "checkpoints").is_dir():
        raise ValueError(f"dir={runs}: one run; give the folder that it lies in")
    names = {file.stem: file for file in (runs / RECORDS).glob("*.json") if not file.name.startswith(".")}
    folders = {file.parent.name for file in runs.glob("*/config.yaml")}
    planned, problem = _planned(runs)
    if not names and not folders and not planned and not problem:
        raise ValueError(f"dir={runs}: no run is in it; give the folder that was runs= of imagen-train")
    records: dict[str, Any] = {name: _record(file) for name, file in names.items()}
    by_words = {tuple(r["overrides"]): name for name, r in records.items() if isinstance(r, dict)}
    for one in planned:  # a cell whose name could not be resolved has a record all the same
        one.name = one.name or by_words.get(tuple(one.overrides), f"cell {one.number}")
    plan = {one.name: one for one in planned}
    jobs = {one.job for one in planned} | {r["job"] for r in records.values() if isinstance(r, dict)}
    asked = queue() if jobs - {None} else None
    found = [
        _cell(runs / name, records.get(name), plan.get(name), asked, metrics)
        for name in sorted(records.keys() | folders | plan.keys())
    ]
    if problem:
        found.append(Cell("multirun.yaml", runs, "unreadable", problem))
    return found


def _planned(runs: Path) -> tuple[list[Expected], str]:
    """The cells of the last sweep; or none, and why."""
    file = runs / "multirun.yaml"
    try:
        return (expected(file) if os.path.lexists(file) else []), ""
    except ValueError as error:
        return [], str(error)


def _record(file: Path) -> dict[str, Any] | str:
    """What imagen-train wrote down of a run; or why that cannot be read."""
    try:
        record = object_of(file)
    except ValueError as error:
        return str(error)
    for key, kind in KINDS.items():
        value = record.setdefault(key, None)
        if not isinstance(value, kind) or (isinstance(value, bool)):
            return f"{file.name}: {key} is no {getattr(kind, '__name__', kind)}"
    if not all(isinstance(word, str) for word in record["overrides"]):
        return f"{file.name}: overrides are no words"
    if record["state"] not in ("started", *STATES[2:5]):
        return f"{file.name}: no such state"
    if record["job"] is not None and not JOB.fullmatch(record["job"]):
        return f"{file.name}: no number of a job"
    return record


def _cell(
    folder: Path,
    record: dict[str, Any] | str | None,
    plan: Expected | None,
    asked: dict[str, Job] | None,
    metrics: int,
) -> Cell:
    cell = Cell(folder.name, folder)
    if plan is not None:
        cell.overrides, cell.cwd, cell.job, cell.max_steps = (
            plan.overrides,
            plan.cwd,
            plan.job,
            plan.max_steps,
        )
    try:
        if isinstance(record, str):
            raise ValueError(record)
        if record is not None:
            cell.overrides, cell.max_steps = record["overrides"], record["max_steps"]
            cell.cwd = Path(record["cwd"]) if record["cwd"] else None
            if cell.job not in (asked or {}):  # it is over, and the cell may have been repeated since
                cell.job = record["job"]
            cell.parameters = record["parameters"]
            cell.changed = float(max(record["started"], record["ended"] or 0))
        if folder.is_dir():
            _look(cell, metrics)
            if record is None:
                if plan is None and not NAME.fullmatch(cell.name):
                    raise ValueError("not a name that imagen-train gives")
                _look_at_settings(cell)
        cell.state, cell.why = _state(cell, record, asked)
    except (ValueError, OSError, OverflowError, RecursionError) as error:
        cell.state, cell.why = "unreadable", str(error)
    return cell


def _state(cell: Cell, record: dict[str, Any] | None, asked: dict[str, Job] | None) -> tuple[str, str]:
    """(state, why), of what was written down and what the queue says."""
    job = (asked or {}).get(cell.job or "")
    if job is not None and job.waits:
        return "waits", f"job {cell.job}: {job.reason}"
    if record is None:
        if job is not None:
            return "runs", f"job {cell.job} begins"
        if cell.step is not None:
            return ("done" if cell.step >= (cell.max_steps or math.inf) else "stopped"), ""
        if cell.job is not None and asked is not None:
            return "failed", f"job {cell.job} is gone, and the run had not begun"
        return "waits", ""
    if record["state"] != "started":
        if job is not None and cell.job != record["job"]:
            return "runs", f"job {cell.job} begins"
        return record["state"], record["error"] or ""
    killed = "failed", "it was killed: it left no word"
    if record["host"] == socket.gethostname():
        alive = record["birth"] is not None and birth(record["pid"]) == record["birth"]
        return ("runs", "") if alive else killed
    if record["job"] is not None and asked is not None:
        return ("runs", "") if record["job"] in asked else killed
    return "runs", f"on {record['host']}, as far as can be seen from here"


def _look(cell: Cell, metrics: int) -> None:
    """How far the run came."""
    folder, times = cell.folder, [cell.changed or 0.0]
    if (file := folder / "progress.json").exists():
        progress = object_of(file)
        if not all(type(value) in (int, float) for value in progress.values()):
            raise ValueError("progress.json: not numbers")
        cell.step, cell.seconds = int(progress.get("step", 0)), float(progress.get("seconds", 0))
        times.append(file.stat().st_mtime)
    if (file := folder / "metrics.jsonl").exists():
        for line in _objects(tail(file, metrics)):
            numbers = {
                harmless(key): value for key, value in flat(line).items() if type(value) in (int, float)
            }
            cell.step = max(cell.step or 0, int(numbers.pop("step", 0)))
            cell.metrics |= numbers
        times.append(file.stat().st_mtime)
    cell.changed = max(times) or None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The lines that are whole: the first may be cut off, and a run that is killed leaves half of the last."""
    for line in text.splitlines():
        try:
            found = json.loads(line)
            if isinstance(found, dict) and type(found.get("step")) in (int, float):
                yield found
        except (ValueError, RecursionError):
            continue


def _look_at_settings(cell: Cell) -> None:
    """Of a run without a record, which an earlier imagen-train made."""
    trainer = yaml_of(cell.folder / "config.yaml").get("trainer")
    steps = trainer.get("max_steps") if isinstance(trainer, dict) else None
    cell.max_steps = steps if isinstance(steps, int) else None
    cell.step = cell.step or 0


def counted(cells: Sequence[Cell]) -> str:
    """ "4 cells: 1 runs, 3 done"."""
    counts = [f"{n} {state}" for state in STATES if (n := sum(c.state == state for c in cells))]
    return f"{len(cells)} cells: {', '.join(counts)}" if cells else "no cells"
