"""draw.py RUNS/cells.csv OUT.png: the study's figure, of the table that imagen-sweep collect wrote (pip install matplotlib pandas)."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

try:
    import matplotlib
    import pandas as pd
except ImportError:
    sys.exit("error: this figure needs pip install matplotlib pandas")

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (after the choice of what draws)

LABELS = {
    "hashed_words": "hashed words",
    "minilm_1": "MiniLM, 1 layer",
    "minilm_2": "2 layers",
    "minilm_4": "4 layers",
    "minilm": "6 layers",
}
COLORS = ["#000000", "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00"]  # Okabe and Ito's
MARKS = ["o", "s", "^", "D", "v", "P", "X"]
TITLES = {
    "shapes.test.w2.bound": "color, count and relation all right",
    "shapes.test.w2.shape": "the shape right",
}


def cells_of(table: Path) -> pd.DataFrame:
    """The judged cells, with their text encoder, width and seed, which their names say."""
    if not table.is_file():
        sys.exit(f"error: {table}: no such table; imagen-sweep collect writes it")
    cells = pd.read_csv(table)
    missing = [column for column in ("name", *TITLES) if column not in cells]
    if missing:
        sys.exit(f"error: {table}: no column {missing[0]}; judge.py and then imagen-sweep collect add it")
    cells[["text", "width", "run_seed"]] = cells["name"].str.extract(r"^(.*)-w(\d+)-s(\d+)$")
    return cells[cells["shapes.test.w2.bound"].notna() & cells["width"].notna()]


def drawn(cells: pd.DataFrame, real: dict[str, float]) -> plt.Figure:
    """Two heat maps, of encoder against width, and curves over width and over guidance; error bars are the range of the seeds."""
    widths = sorted(cells["width"].astype(int).unique())
    known = [*LABELS, *sorted(set(cells["text"]) - LABELS.keys())]
    texts = [text for text in known if text in set(cells["text"])]
    seeds = cells["run_seed"].nunique()

    def values(text: str, width: int, column: str) -> np.ndarray:
        """Of all seeds."""
        of_cell = cells[(cells["text"] == text) & (cells["width"] == str(width))]
        return of_cell[column].dropna().to_numpy(float) if column in of_cell else np.array([])

    def curve(found: list[np.ndarray]) -> np.ndarray:
        """(3, n): mean, and how far below and above it the seeds reach."""
        rows = [[f.mean(), f.mean() - f.min(), f.max() - f.mean()] if len(f) else [np.nan] * 3 for f in found]
        return np.array(rows).T

    figure, axes = plt.subplots(2, 2, figsize=(11, 8.4), layout="constrained")
    for axis, (column, title) in zip(axes[0], TITLES.items(), strict=True):
        found = np.array([curve([values(text, w, column) for w in widths]) for text in texts])
        mean, half = found[:, 0], (found[:, 1] + found[:, 2]) / 2
        shown = axis.imshow(mean, cmap="viridis", aspect="auto", vmin=min(0.9 * np.nanmin(mean), 0.99))
        for row, number in np.ndindex(mean.shape):
            if np.isfinite(mean[row, number]):
                dark = mean[row, number] < (np.nanmin(mean) + np.nanmax(mean)) / 2
                spread = f"\n±{half[row, number]:.3f}" if seeds > 1 else ""
                words = f"{mean[row, number]:.3f}{spread}"
                axis.text(number, row, words, ha="center", va="center", color="white" if dark else "black")
        axis.set_xticks(range(len(widths)), [f"width {w}" for w in widths])
        axis.set_yticks(range(len(texts)), [LABELS.get(text, text) for text in texts])
        key = column.rpartition(".")[2]
        axis.set_title(title + (f" (of real pictures {real[key]:.2f})" if key in real else ""))
        figure.colorbar(shown, ax=axis)
    by_width, by_weight = axes[1]
    weights = [w for w in (1, 2, 4) if f"shapes.test.w{w}.bound" in cells]
    for i, text in enumerate(texts):
        style = {"color": COLORS[i % len(COLORS)], "marker": MARKS[i % len(MARKS)], "capsize": 3}
        line = curve([values(text, w, "shapes.test.w2.bound") for w in widths])
        by_width.errorbar(widths, line[0], line[1:], label=LABELS.get(text, text), **style)
        line = curve([values(text, widths[-1], f"shapes.test.w{w}.bound") for w in weights])
        by_weight.errorbar(weights, line[0], line[1:], **style)
    by_width.set(xlabel="U-Net width", ylabel="all right", xscale="log", title="by size of the U-Net")
    by_width.set_xticks(widths, [str(w) for w in widths])
    by_width.minorticks_off()
    by_width.legend(title="text")
    by_weight.set(xlabel="guidance weight w", ylabel="all right", title=f"by guidance, width {widths[-1]}")
    by_weight.set_xticks(weights)
    prompts = f"{int(cells['prompts'].max())} held-out prompts" if "prompts" in cells else "held-out prompts"
    spread = f"mean of {seeds} seeds, ± half their range" if seeds > 1 else "one seed"
    figure.suptitle(f"{prompts}, guidance weight 2; {spread}")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path, help="cells.csv, in the folder of the runs")
    parser.add_argument("out", type=Path, help="the picture: a name that ends in .png or .svg")
    given = parser.parse_args()
    cells = cells_of(given.table)
    if cells.empty:
        sys.exit(
            f"error: {given.table}: no judged cell called TEXT-wWIDTH-sSEED; run judge.py and imagen-sweep collect first"
        )
    beside = given.table.parent / "ceiling.json"
    real = json.loads(beside.read_text())["test"] if beside.is_file() else {}
    drawn(cells, real).savefig(given.out, dpi=110)
    print(f"wrote {given.out}: {len(cells)} cells")


if __name__ == "__main__":
    main()
