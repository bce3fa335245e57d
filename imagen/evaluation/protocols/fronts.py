"""The figure of a sweep: alignment against distance, a line for each setting beside the guidance weight (figures 4 and A.8 to A.14).

Needs matplotlib, an extra."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DISTANCES = ("fid", "fd_dinov2", "cmmd", "kid", "pixels")
ALIGNMENTS = ("clip", "shapes.scene", "geneval.correct", "clip.wins")
COLORS = ["#000000", "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00"]  # Okabe and Ito's
MARKS = "os^DvPX"


def axes_of(cells: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """The distance and the alignment that all cells have, those that come first in the lists; None when there are not both."""
    shared = set.intersection(*(set(cell["metrics"]) for cell in cells)) if cells else set()
    x = next((name for name in DISTANCES if name in shared), None)
    y = next((name for name in ALIGNMENTS if name in shared), None)
    return (x, y) if x and y else None


def lines_of(cells: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """{what a line is of: its cells, in ascending guidance weight}; a line joins cells that differ in guidance alone."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for cell in cells:
        rest = ", ".join(f"{key} {value}" for key, value in cell["cell"].items() if key != "guidance")
        found.setdefault(rest, []).append(cell)

    def weight(cell: Mapping[str, Any]) -> float:
        value = cell["cell"].get("guidance", 0)
        return float(value[0] if isinstance(value, list) else value)

    return {name: sorted(line, key=weight) for name, line in found.items()}


def draw_fronts(cells: Sequence[Mapping[str, Any]], files: Sequence[Path]) -> bool:
    """Write the figure to `files` (png, svg): a point a cell with the 95 % intervals of both measures, labelled with its guidance
    weight. False when there is nothing to draw, or no matplotlib."""
    if (axes := axes_of(cells)) is None:
        return False
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    x, y = axes
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    plot = figure.subplots()
    for number, (name, line) in enumerate(lines_of(cells).items()):
        at = {key: [cell["metrics"][key]["value"] for cell in line] for key in axes}
        reach = {key: _reach([cell["metrics"][key] for cell in line]) for key in axes}
        style: Any = {"color": COLORS[number % len(COLORS)], "marker": MARKS[number % len(MARKS)]}
        plot.errorbar(at[x], at[y], reach[y], reach[x], label=name, capsize=2, elinewidth=0.7, **style)
        for cell, a, b in zip(line, at[x], at[y]):
            if "guidance" in cell["cell"]:
                weight = f"w={cell['cell']['guidance']}"
                plot.annotate(weight, (a, b), textcoords="offset points", xytext=(4, 4), fontsize=8)
    plot.set(xlabel=f"{x} (less is better)", ylabel=f"{y} (more is better)")
    plot.set_title("95 % intervals over pictures", fontsize=9)
    if any(lines_of(cells)):
        plot.legend()
    for file in files:
        beside = file.with_name(f".{file.name}")
        figure.savefig(beside, dpi=130, format=file.suffix[1:])
        beside.replace(file)
    return True


def _reach(measured: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """How far the intervals reach below and above the values; nothing where there is none."""
    below, above = [], []
    for metric in measured:
        low, high = metric["interval"] or (metric["value"], metric["value"])
        below.append(max(0.0, metric["value"] - low))
        above.append(max(0.0, high - metric["value"]))
    return [below, above]
