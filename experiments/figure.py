"""figure.py OUT EVALUATIONS...: table and figure of an ablation, from what imagen-evaluate wrote, over seeds (pip install matplotlib).

    python experiments/figure.py thresholding --x guidance --line threshold --metrics shapes.bound,pixels var/thresholding/*

Each folder is one evaluation or sweep, of one training seed: NAME-s0, NAME-s1. Writes OUT/results.csv, a row a cell with each metric's
mean over seeds, half of their range, and the mean half-width of the 95 % intervals over pictures; and OUT/results.png, a panel a metric:
the mean, a bar over the seeds' range.
"""

import argparse
import csv
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from imagen.evaluation.protocols.fronts import COLORS, DISTANCES, MARKS

try:
    from matplotlib.figure import Figure
except ImportError:
    sys.exit("error: this figure needs pip install matplotlib")

Cell = tuple[tuple[str, Any], ...]
"""("name", of the folder without its seed), then what was swept."""


def measured(folders: Sequence[Path]) -> Iterator[tuple[Cell, str, dict[str, Any]]]:
    """(cell, seed, metrics) of every evaluation in `folders`."""
    for folder in folders:
        found = re.fullmatch(r"(.+)-s(\d+)", folder.name)
        if found is None:
            sys.exit(f"error: {folder}: name the folder NAME-sSEED, such as dynamic-s0")
        name, seed = found.groups()
        if (fronts := folder / "fronts.json").is_file():
            for cell in json.loads(fronts.read_text())["cells"]:
                yield (("name", name), *cell["cell"].items()), seed, cell["metrics"]
        elif (result := folder / "result.json").is_file():
            yield (("name", name),), seed, json.loads(result.read_text())["metrics"]
        else:
            sys.exit(f"error: {folder}: no result.json and no fronts.json; evaluate it first")


def rows_of(folders: Sequence[Path], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """A row a cell; the columns METRIC, METRIC.range and METRIC.interval."""
    cells: dict[str, list[dict[str, Any]]] = defaultdict(list)
    keys: dict[str, Cell] = {}
    for cell, _, found in measured(folders):
        text = json.dumps(cell)
        keys[text] = cell
        cells[text].append(found)
    rows = []
    for text, found in cells.items():
        row: dict[str, Any] = {**dict(keys[text]), "seeds": len(found)}
        for metric in metrics:
            there = [one[metric] for one in found if metric in one]
            if not there:
                continue
            values = [one["value"] for one in there]
            row[metric] = round(fmean(values), 5)
            row[f"{metric}.range"] = round((max(values) - min(values)) / 2, 5)
            ends = [one["interval"] for one in there if one["interval"]]
            if ends:
                row[f"{metric}.interval"] = round(fmean((high - low) / 2 for low, high in ends), 5)
        rows.append(row)
    return rows


def number(value: Any) -> Any:
    """Where a cell stands: a list, one value a stage, by its first."""
    return number(value[0]) if isinstance(value, list) else value


def draw(rows: list[dict[str, Any]], x: str, line: Sequence[str], metrics: Sequence[str], file: Path) -> None:
    """A panel a metric. Where the values of `x` are words, they stand side by side."""
    figure = Figure(figsize=(4.6 * len(metrics) + 1.4, 3.8), layout="constrained")
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        lines[", ".join(str(row[key]) for key in line)].append(row)
    words = any(isinstance(number(row[x]), str) for row in rows)
    places = list(dict.fromkeys(number(row[x]) for row in rows))
    for panel, metric in zip(panels, metrics):
        for i, (name, there) in enumerate(lines.items()):
            some = [row for row in there if metric in row]
            front = f"{x}.range" in some[0]  # a measure along x: the line goes as the guidance weight does
            if not words:
                some.sort(key=lambda row: number(row["guidance" if front else x]))
            for row in some if front else []:
                panel.annotate(
                    f"w={row['guidance']}", (row[x], row[metric]), (4, 4), textcoords="offset points", size=8
                )
            at = [
                places.index(number(row[x])) + (0 if x in line else 0.08 * i) if words else number(row[x])
                for row in some
            ]
            panel.errorbar(
                at,
                [row[metric] for row in some],
                [row[f"{metric}.range"] for row in some],
                [row[f"{x}.range"] for row in some] if front else None,
                label=name.replace("_", " "),
                color=COLORS[i % len(COLORS)],
                marker=MARKS[i % len(MARKS)],
                linestyle="none" if words else "-",
                capsize=3,
            )
        less = metric.split(".")[0] in DISTANCES
        panel.set(
            xlabel=f"{x} (less is better)" if x in DISTANCES else x.replace("_", " ").replace("name", ""),
            ylabel=f"{metric} ({'less' if less else 'more'} is better)",
        )
        if words:
            panel.set_xlim(-0.4, len(places) - 0.6)
            panel.set_xticks(range(len(places)), [str(place).replace("_", "\n") for place in places])
        elif x in DISTANCES:
            panel.set_xscale("log")
        elif min(places) > 0:
            panel.set_xscale("log", base=2)
            panel.set_xticks(sorted(places), [f"{place:g}" for place in sorted(places)])
            panel.minorticks_off()
        if less and max(row.get(metric, 0) for row in rows) > 30 * max(
            min(row.get(metric, 1) for row in rows), 1e-9
        ):
            panel.set_yscale("log")
    if len(lines) > 1 and not (words and x in line):
        figure.legend(
            *panels[0].get_legend_handles_labels(), title=" and ".join(line), loc="outside right center"
        )
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("evaluations", type=Path, nargs="+", help="folders NAME-sSEED of imagen-evaluate")
    parser.add_argument(
        "--x", default="name", help="what stands along x: name, guidance, steps, ..., or a measure: a front"
    )
    parser.add_argument("--line", default="name", help="what a line is of: name,threshold")
    parser.add_argument("--metrics", default="shapes.bound,pixels", help="a panel each: shapes.bound,pixels")
    given = parser.parse_args()
    metrics = given.metrics.split(",")
    rows = rows_of(given.evaluations, [*metrics, given.x])
    given.out.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with (given.out / "results.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows(rows)
    draw(rows, given.x, given.line.split(","), metrics, given.out / "results.png")
    print(f"{len(rows)} cells: {given.out / 'results.csv'}, {given.out / 'results.png'}")


if __name__ == "__main__":
    main()
