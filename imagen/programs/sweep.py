"""imagen-sweep: what has become of the cells of a sweep, and a table of what came out; status DIR or collect DIR."""

import contextlib
import re
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from imagen.programs.build import program
from imagen.programs.sweeps.expected import is_launching, is_of_many
from imagen.programs.sweeps.foreign import harmless, tail
from imagen.programs.sweeps.queued import log_of
from imagen.programs.sweeps.states import Cell, counted, find_cells
from imagen.programs.sweeps.table import aligned, preview, table_of, write_table
from imagen.programs.words import positional

LOG = 64_000  # bytes of a log that are looked at, from its end
METRICS = 64_000  # and of metrics.jsonl, where the last loss is
WIDTH = 300  # characters of a line of it


@program("sweep")
def sweep(cfg: DictConfig) -> None:
    """Look at the folder; say it, or write the table."""
    runs = Path(cfg.dir)
    if cfg.action == "status":
        if cfg.out is not None:
            raise ValueError(f"out={cfg.out}: status writes nothing; leave it out, or give collect")
        return status(runs, cfg.lines)
    out = None if cfg.out is None else Path(cfg.out)
    if out is not None and out.suffix not in (".csv", ".parquet"):
        raise ValueError(f"out={out}: give the name of a file that ends in .csv or .parquet")
    cells = find_cells(runs)
    table = table_of(cells)
    for file in [out] if out else [runs / "cells.csv", runs / "cells.parquet"]:
        try:
            written = write_table(table, file)
        except OSError as error:
            raise ValueError(f"{file}: cannot be written ({error.strerror}); give another out=") from None
        if written:
            print(f"wrote {file}: {len(table.rows)} rows of {len(table.columns)} columns")
        elif out:
            raise ValueError(f"out={out}: needs pyarrow: pip install 'imagen-cascade[parquet]'")
        else:
            print(f"not written: {file}, which needs pip install 'imagen-cascade[parquet]'")
    print(preview(table))
    print(counted(cells))


def main() -> None:
    """`status DIR` and `collect DIR` are short for action=status dir=DIR."""
    sys.argv[1:] = spelled_out(sys.argv[1:])
    sweep()


def spelled_out(words: Sequence[str]) -> list[str]:
    """The first two of the words that are no option and no key=value of this program, as action= and dir=."""
    return positional(words, ["action", "dir"], "action|dir|out|lines")


def status(runs: Path, lines: int) -> None:
    """Print what each cell is at, what was said by those that failed and how to repeat them, and how many there are."""
    cells, now = find_cells(runs, METRICS), time.time()
    rows = [("cell", "state", "step", "loss", "last change")]
    for cell in cells:
        loss = cell.metrics.get("loss")
        step = "-" if cell.step is None else f"{cell.step}/{cell.max_steps or '?'}"
        changed = "-" if cell.changed is None else _ago(now - cell.changed)
        rows.append((cell.name, cell.state, step, "-" if loss is None else f"{loss:.4g}", changed))
    print("\n".join(aligned(rows)))
    for cell in cells:
        if cell.state in ("failed", "stopped", "unreadable") or cell.why:
            print()
            _tell(cell, runs, lines)
    print(f"\n{counted(cells)}")


def again(cell: Cell) -> str | None:
    """The command that repeats a cell; None when it is not known."""
    if cell.overrides is None:
        return None
    words = [
        f"name={cell.name}" if word.startswith("name=") else word
        for word in cell.overrides
        if not is_launching(word)
    ]
    alone = ["hydra.mode=RUN"] if any(map(is_of_many, words)) else []
    command = shlex.join(["imagen-train", *words, *alone])
    # what the words name may lie relative to where the sweep was begun
    elsewhere = cell.cwd is not None and cell.cwd != Path.cwd()
    return f"(cd {shlex.quote(str(cell.cwd))} && {command})" if elsewhere else command


def _tell(cell: Cell, runs: Path, lines: int) -> None:
    print(harmless(f"{cell.name}: {cell.state}" + (f": {cell.why}" if cell.why else "")))
    log = None
    if cell.state == "failed" and lines:
        with contextlib.suppress(OSError):  # of a folder that may not be looked into
            log = log_of(runs, cell.cwd, cell.job)
    if log is not None:
        print(harmless(f"  the end of {log}:"))
        for line in _last(log, lines):
            print(f"  | {line}")
    if cell.state in ("failed", "stopped") and (command := again(cell)):
        print(harmless(f"  again: {command}"))


def _last(log: Path, lines: int) -> list[str]:
    """The last lines of a log that say something; of a bar that was drawn over and over, as it was left."""
    try:
        text = tail(log, LOG)
    except ValueError as error:
        return [harmless(error)]
    # what sets colours and moves the cursor says nothing
    text = re.sub(r"\x1b\[[0-9;?]*[ -/]*[@-~]", "", text)
    said = [line.rstrip().rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return [harmless(line[:WIDTH]) for line in said if line][-lines:]


def _ago(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds // unit:.0f} {name} ago"
    return f"{max(0, seconds):.0f} s ago"


if __name__ == "__main__":
    main()
