"""Run folders -> what a dashboard shows of them. Read only; of what lies there nothing is trusted: a run that cannot be
read is told in a line, and the others are shown."""

import json
import math
import re
import stat
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from imagen.evaluation.outside import number, whole_lines
from imagen.files import printable, read_json

POINTS = 500  # of a curve on the page
KEYS = 120  # curves of a run
PREVIEWS = 2000  # of a run
SMALL, PICTURE = 10_000_000, 100_000_000  # bytes
MARKS = ("config.yaml", "metrics.jsonl", "progress.json")  # one of these makes a folder a run's

Settings = Callable[[Path], dict[str, Any]]


class Curve(NamedTuple):
    """`points`: (step, value) in ascending steps, finite. `means`: of a curve that was longer, the means of what was left
    out, which are what may be smoothed; otherwise empty."""

    points: list[tuple[float, float]]
    means: list[tuple[float, float]]


@dataclass(frozen=True)
class Preview:
    """A grid of pictures, `size` (width, height) in pixels: `rows` are captions, `columns` settings."""

    step: int
    file: Path
    size: tuple[int, int]
    rows: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """`settings`: flat, "stage.optimizer.lr" -> value. `curves`: "loss", "loss_by_logsnr/-8..-4" -> curve; `last`: the
    last value of each. `step`: how far it is, of `steps`. `results`: of an evaluation, flat. `problems`: parts that could not be read."""

    name: str
    settings: dict[str, Any]
    curves: dict[str, Curve]
    last: dict[str, float]
    step: float | None
    steps: float | None
    previews: list[Preview]
    results: dict[str, float | str]
    updated: float
    problems: list[str] = field(default_factory=list)


def read_runs(folder: Path, settings: Settings) -> tuple[list[Run], list[str]]:
    """The runs in `folder` (or the run that it is), by name, and a line for each run or part of one that could not be
    read. `settings` reads a run's, flat, or raises ValueError. ValueError when there is no run at all."""
    if not folder.is_dir():
        raise ValueError(f"runs={folder}: no such folder; give the one that holds the runs' folders")
    here = [folder] if (folder / MARKS[0]).exists() else sorted(folder.iterdir(), key=_natural)
    runs, problems = [], []
    for path in here:
        try:
            if not path.is_dir() or not any((path / mark).exists() for mark in MARKS):
                continue
            run = read_run(path, settings)
        except (ValueError, OSError, RecursionError) as error:
            problems.append(one_line(f"{path.name}: left out: {error}"))
            continue
        runs.append(run)
        problems += [one_line(f"{run.name}: {problem}") for problem in run.problems]
    if not runs:
        said = f" ({problems[0]})" if problems else ""
        raise ValueError(f"runs={folder}: no run in it{said}; give the folder that holds the runs' folders")
    return runs, problems


def read_run(path: Path, settings: Settings) -> Run:
    """One run's folder; ValueError when it has no settings that can be read, or no part that is as it should be."""
    problems: list[str] = []
    _regular(path / "config.yaml", SMALL)
    given = settings(path)
    metrics = path / "metrics.jsonl"
    curves, last, updated = {}, {}, 0.0
    if metrics.exists():
        try:
            updated = _regular(metrics).st_mtime
            rows, damaged, left_out = _read_metrics(metrics)
            curves = {key: thinned(sorted(row.items())) for key, row in rows.items()}
            last = {key: row[max(row)] for key, row in rows.items()}
            if damaged:
                problems.append(f"metrics.jsonl: {damaged:,} lines are damaged and left out")
            if left_out:
                problems.append(f"metrics.jsonl: of its curves the first {KEYS} are shown")
        except (ValueError, OSError) as error:
            problems.append(str(error))
    reached = max((curve.points[-1][0] for curve in curves.values()), default=None)
    progress = _object(path / "progress.json", problems)
    if reached is None:
        reached = number(progress.get("step"))
    results = dict(_flat_results(_object(path / "results.json", problems)))
    previews = list(_previews(path / "previews", problems))
    steps = number(given.get("trainer.max_steps"))
    name = printable(path.name if path.name else path.absolute().name, 120)
    return Run(name, given, curves, last, reached, steps, previews, results, updated, problems)


def thinned(points: list[tuple[float, float]], most: int = POINTS) -> Curve:
    """At most `most` of the points: the first, the last, and of each stretch the lowest and the highest, so that no
    spike is lost."""
    if len(points) <= most:
        return Curve(points, [])
    stretches = (most - 2) // 2
    kept, means = [points[0]], []
    inner = points[1:-1]
    for i in range(stretches):
        part = inner[i * len(inner) // stretches : (i + 1) * len(inner) // stretches]
        kept += sorted({min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])})
        means.append((sum(s for s, _ in part) / len(part), sum(v / len(part) for _, v in part)))
    return Curve([*kept, points[-1]], [points[0], *means, points[-1]])


def one_line(text: str) -> str:
    """For a terminal and a page: no line breaks, nothing that a terminal obeys."""
    return printable(" ".join(text.split()), 300)


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """seed_2 before seed_10."""
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+|[0-9]+", path.name)
    return [(int(p), "") if p.isdecimal() and len(p) <= 18 else (-1, p) for p in parts], path.name


def _regular(file: Path, most: float = math.inf) -> Any:
    """What the system says of a file; ValueError for a pipe or a device, which reading would wait for, and for a size
    beyond `most`."""
    try:
        found = file.stat()
    except OSError as error:
        raise ValueError(f"{file.name}: {error.strerror or error}") from None
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{file.name}: not a file")
    if found.st_size > most:
        raise ValueError(f"{file.name}: {found.st_size:,} bytes, more than such a file has")
    return found


def _object(file: Path, problems: list[str]) -> dict[str, Any]:
    """The object in a JSON file; nothing when it is not there, and a line of `problems` when it is damaged."""
    try:
        if not file.exists():
            return {}
        _regular(file, SMALL)
        return read_json(file, "left out")
    except (ValueError, OSError) as error:
        problems.append(str(error).replace(str(file), file.name))
        return {}


def _read_metrics(file: Path) -> tuple[dict[str, dict[float, float]], int, bool]:
    """key -> {step: value}, of a step told twice the later; how many lines are damaged; whether keys were left out."""
    rows: dict[str, dict[float, float]] = defaultdict(dict)
    damaged, left_out = 0, False
    for line in whole_lines(file):
        try:
            found = json.loads(line)
            step = number(found.pop("step"))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            step, found = None, {}
        if step is None:
            damaged += line.endswith("\n")  # the last line may be half written
            continue
        for key, value in _flat(found):
            if key in rows or len(rows) < KEYS:
                rows[key][step] = value
            else:
                left_out = True
    return dict(rows), damaged, left_out


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The finite numbers: {"loss_by_logsnr": {"-8..-4": 1}} -> "loss_by_logsnr/-8..-4", 1, as the loggers have it."""
    for key, value in values.items():
        name = f"{prefix}{printable(key, 80)}"
        if isinstance(value, Mapping):
            if not prefix:
                yield from _flat(value, f"{name}/")
        elif (finite := number(value)) is not None:
            yield name, finite


def _flat_results(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, float | str]]:
    for key, value in values.items():
        name = f"{prefix}{printable(key, 80)}"
        if isinstance(value, Mapping):
            if prefix.count(".") < 6:
                yield from _flat_results(value, f"{name}.")
        elif (finite := number(value)) is not None:
            yield name, finite
        elif isinstance(value, str):
            yield name, printable(value, 80)


def _previews(folder: Path, problems: list[str]) -> Iterator[Preview]:
    """The grids in ascending steps; those that cannot be shown are one line of `problems`."""
    try:
        inside = folder.is_dir() and not folder.is_symlink()
        files = sorted(file for file in folder.glob("step-*.png") if not file.is_symlink()) if inside else []
    except OSError as error:
        problems.append(f"previews: {error.strerror}")
        return
    found = [(int(m[1]), file) for file in files if (m := re.fullmatch(r"step-([0-9]{1,15})", file.stem))]
    bad = []
    for step, file in sorted(found)[-PREVIEWS:]:
        try:
            size = _size_of(file)
        except (ValueError, OSError) as error:
            bad.append(str(error))
            continue
        told = _object(file.with_suffix(".json"), problems)
        yield Preview(step, file, size, _words(told.get("rows")), _words(told.get("columns")))
    if bad:
        problems.append(f"previews: {len(bad)} cannot be shown, the first for: {bad[0]}")


def _size_of(file: Path) -> tuple[int, int]:
    """Width and height of a PNG, of which only the head is read."""
    _regular(file, PICTURE)
    with file.open("rb") as data:
        head = data.read(24)
    if len(head) < 24 or head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR":
        raise ValueError(f"{file.name}: no PNG")
    width, height = struct.unpack(">II", head[16:24])
    if not (0 < width <= 20_000 and 0 < height <= 20_000):
        raise ValueError(f"{file.name}: {width} x {height} pixels")
    return width, height


def _words(given: Any) -> tuple[str, ...]:
    return (
        tuple(printable(" ".join(str(text).split()), 500) for text in given[:200])
        if isinstance(given, list)
        else ()
    )
