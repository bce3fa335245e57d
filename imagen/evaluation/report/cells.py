"""Evaluations that are cells of a sweep, such as of guidance and thresholds: what their fronts and grids are drawn from."""

from collections.abc import Sequence
from typing import Any

from imagen.evaluation.report.numbers import note_of
from imagen.evaluation.report.read import Evaluated, text


def sweeps(systems: Sequence[Evaluated]) -> list[dict[str, Any]]:
    """Each sweep of at least two cells: {"name", "keys": settings that vary, guidance first, "metrics": names, "cells": [{"system":
    its number, "cell": {key: value}, "values": {metric: [value, low, high]}, "note"}]}."""
    groups: dict[Any, list[int]] = {}
    for i, made in enumerate(systems):
        if made.cell:
            groups.setdefault(made.sweep or made.folder.absolute().parent, []).append(i)
    found = []
    for folder, numbers in groups.items():
        cells = [systems[i].cell for i in numbers]
        keys = list(dict.fromkeys(key for cell in cells for key in cell))
        vary = [key for key in keys if len({str(cell.get(key)) for cell in cells}) > 1]
        if len(numbers) < 2 or not vary:
            continue
        vary.sort(key=lambda key: key != "guidance")
        found.append(
            {
                "name": text(folder.name, 120),
                "keys": vary,
                "metrics": list(
                    dict.fromkeys(
                        n for i in numbers for n, m in systems[i].metrics.items() if m.value is not None
                    )
                ),
                "cells": [_cell(i, systems[i]) for i in numbers],
            }
        )
    return found


def _cell(number: int, made: Evaluated) -> dict[str, Any]:
    there = {name: metric for name, metric in made.metrics.items() if metric.value is not None}
    return {
        "system": number,
        "cell": made.cell,
        "values": {name: list(metric[:3]) for name, metric in there.items()},
        "note": next((note for metric in there.values() if (note := note_of(metric, made))), ""),
    }
