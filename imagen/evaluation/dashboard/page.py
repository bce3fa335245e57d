"""The page of a sweep: one HTML file that fetches nothing, and the preview pictures beside it."""

import html
import importlib.resources
import os
import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imagen.data.prepare.disk import room
from imagen.evaluation.dashboard.panels import COLUMNS, results_of, sections, settings_that_differ
from imagen.evaluation.dashboard.runs import Preview, Run, one_line
from imagen.evaluation.document import digest, document, plain_json, script
from imagen.files import NAME, printable, write_text

# Inline handlers and styles do not run, nothing is fetched but pictures that lie beside the page.
POLICY = (
    "default-src 'none'; img-src 'self' file:; script-src SCRIPT; style-src STYLES; base-uri 'none'; "
    "form-action 'none'"
)


def write_dashboard(
    out: Path, runs: Sequence[Run], problems: Sequence[str], folder: Path
) -> tuple[Path, list[str]]:
    """index.html and previews/ in `out`, over those that are there; the page's path, and `problems` with those of
    pictures. Pictures that were copied before are not copied again. ValueError naming out= when the disk is full."""
    out.mkdir(parents=True, exist_ok=True)
    told = list(problems)
    with room(out, "out"):
        pictures = [_copied(run, out, name, told) for run, name in zip(runs, _folders(runs))]
        write_text(out / "index.html", page(runs, told, folder, pictures))
    return out / "index.html", told


def page(
    runs: Sequence[Run],
    problems: Sequence[str],
    folder: Path,
    pictures: Sequence[Sequence[tuple[Preview, str]]],
) -> str:
    """The whole page. `pictures`: of each run, with where they lie, as a page beside them says it."""
    title = printable(folder.absolute().name or "/", 120)
    newest = min(max(run.updated for run in runs), datetime.max.replace(tzinfo=UTC).timestamp() - 1)
    when = datetime.fromtimestamp(newest, UTC).strftime("; the newest line of metrics: %Y-%m-%d %H:%M UTC")
    count = f"{len(runs)} run{'' if len(runs) == 1 else 's'}"
    lead = f"{count} of {printable(folder, 300)}{when if newest else ''}"
    code = script("imagen.evaluation.dashboard", "page.js")
    style = (importlib.resources.files("imagen.evaluation.dashboard") / "page.css").read_text(
        encoding="utf-8"
    )
    parts = [
        f'<h1 dir="auto">{html.escape(title)}</h1>',
        f'<p class="lead">{html.escape(lead)}</p>',
        *(f'<p class="problem" dir="auto">{html.escape(problem)}</p>' for problem in problems),
        "<noscript><p>The panels are drawn by this page's own script, which is switched off here.</p></noscript>",
        '<main id="page"></main>',
        f'<script type="application/json" id="data">{plain_json(content(runs, pictures))}</script>',
        f"<script>{code}</script>",
    ]
    return document(f"{title}: runs", parts, style, POLICY.replace("SCRIPT", digest(code)))


def content(runs: Sequence[Run], pictures: Sequence[Sequence[tuple[Preview, str]]] = ()) -> dict[str, Any]:
    """What the page's script draws, as plain values."""
    found = sections(key for run in runs for key, curve in run.curves.items() if curve.points)
    settings, results = settings_that_differ(runs), results_of(runs)
    columns: dict[str, Sequence[Any]] = {}
    for key, title in (("loss", "loss"), ("val_loss", "val. loss")):
        if any(key in run.last for run in runs):
            columns[f"last {title}"] = [_short(run.last.get(key)) for run in runs]
    columns |= dict(list(settings.items())[:COLUMNS])
    columns |= {f"result: {key}": values for key, values in list(results.items())[:COLUMNS]}
    panels = [panel.key for _, panels in found for panel in panels]
    return {
        "sections": [
            {"title": title, "panels": [vars(panel) for panel in panels]} for title, panels in found
        ],
        "columns": list(columns),
        "more": [*list(settings)[COLUMNS:], *list(results)[COLUMNS:]][:COLUMNS],
        "runs": [
            {
                "name": run.name,
                "step": _whole(run.step),
                "steps": _whole(run.steps),
                "cells": [values[i] for values in columns.values()],
                "curves": {key: _curve(run.curves[key]) for key in panels if key in run.curves},
                **_previews(pictures[i] if pictures else ()),
            }
            for i, run in enumerate(runs)
        ],
    }


def _curve(curve: Iterable[list[tuple[float, float]]]) -> list[list[float | None]]:
    """[steps, values], and [steps, values] of the means where there are some, one after another."""
    columns = []
    for points in curve:
        columns += [[_whole(step) for step, _ in points], [_short(value) for _, value in points]]
    return columns if columns[2] else columns[:2]


def _previews(pictures: Sequence[tuple[Preview, str]]) -> dict[str, Any]:
    """Pictures as [step, address, width, height, number of the sheet], and the sheets: words that many pictures share."""
    sheets = list(dict.fromkeys((p.rows, p.columns) for p, _ in pictures))
    numbers = {sheet: i for i, sheet in enumerate(sheets)}
    return {
        "sheets": [{"rows": rows, "columns": columns} for rows, columns in sheets],
        "previews": [[p.step, where, *p.size, numbers[p.rows, p.columns]] for p, where in pictures],
    }


def _whole(value: float | None) -> float | None:
    return int(value) if value is not None and value.is_integer() else value


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def _folders(runs: Sequence[Run]) -> list[str]:
    """A folder's name for each run that every file system, and an address, can hold."""
    plain_names = {run.name for run in runs if NAME.fullmatch(run.name)}
    found = []
    for i, run in enumerate(runs):
        name = run.name if run.name in plain_names else f"run-{i}"
        while name != run.name and name in plain_names:
            name += "-"
        found.append(name)
    return found


def _copied(run: Run, out: Path, name: str, problems: list[str]) -> list[tuple[Preview, str]]:
    """The run's pictures that lie in previews/`name` now, with their addresses."""
    found = []
    for preview in run.previews:
        target = out / "previews" / name / preview.file.name
        try:
            _copy(preview.file, target)
        except FileNotFoundError:  # removed meanwhile
            problems.append(one_line(f"{run.name}: previews/{preview.file.name} is gone"))
            continue
        found.append((preview, f"previews/{name}/{preview.file.name}"))
    return found


def _copy(file: Path, target: Path) -> None:
    """The whole file or nothing; nothing is done when it was copied before."""
    there, here = target.stat() if target.exists() else None, file.stat()
    if there and (there.st_size, there.st_mtime_ns) == (here.st_size, here.st_mtime_ns):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(file, beside)
        os.utime(beside, ns=(here.st_atime_ns, here.st_mtime_ns))
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)
