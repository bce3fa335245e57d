"""draw.py RUNS/cells.csv OUT.png: the study's figure, of the table that imagen-sweep collect wrote (pip install matplotlib pandas)."""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

TEXT = ["hashed_words", "minilm_1", "minilm_2", "minilm_4", "minilm"]
LABELS = ["hashed words", "MiniLM, 1 layer", "2 layers", "4 layers", "6 layers"]
COLORS = ["#000000", "#E69F00", "#56B4E9", "#009E73", "#CC79A7"]  # Okabe and Ito's
MARKS = ["o", "s", "^", "D", "v"]
HEADLINE, SHAPE = "shapes.test.w2.bound", "shapes.test.w2.shape"


def main() -> None:
    cells = pd.read_csv(sys.argv[1])
    cells[["text", "width", "run_seed"]] = cells["name"].str.extract(r"^(.*)-w(\d+)-s(\d+)$")
    cells = cells[cells[HEADLINE].notna()]
    widths = sorted(cells["width"].astype(int).unique())

    def values(text: str, width: int, column: str) -> np.ndarray:
        """Of both seeds."""
        found = cells[(cells["text"] == text) & (cells["width"] == str(width))]
        return found[column].to_numpy(float)

    figure, axes = plt.subplots(2, 2, figsize=(11, 8.4), layout="constrained")
    (right, shape), (by_width, by_weight) = axes
    for axis, column, title in (
        (right, HEADLINE, "color, count and relation all right"),
        (shape, SHAPE, "the shape right (of real pictures 0.70)"),
    ):
        mean = np.array([[values(t, w, column).mean() for w in widths] for t in TEXT])
        half = np.array([[np.ptp(values(t, w, column)) / 2 for w in widths] for t in TEXT])
        shown = axis.imshow(mean, cmap="viridis", aspect="auto")
        for row, number in np.ndindex(mean.shape):
            dark = mean[row, number] < (mean.min() + mean.max()) / 2
            words = f"{mean[row, number]:.3f}\n±{half[row, number]:.3f}"
            axis.text(number, row, words, ha="center", va="center", color="white" if dark else "black")
        axis.set_xticks(range(len(widths)), [f"width {w}" for w in widths])
        axis.set_yticks(range(len(TEXT)), LABELS)
        axis.set_title(title)
        figure.colorbar(shown, ax=axis)
        print(title, pd.DataFrame(mean, LABELS, widths).round(3), sep="\n")
    for text, label, color, mark in zip(TEXT, LABELS, COLORS, MARKS):
        line = np.array([[f(values(text, w, HEADLINE)) for f in (np.mean, np.min, np.max)] for w in widths]).T
        bars = np.abs(line[1:] - line[0])
        by_width.errorbar(widths, line[0], bars, label=label, color=color, marker=mark, capsize=3)
        weights = np.array([1, 2, 4])
        of_weight = [values(text, widths[-1], f"shapes.test.w{w}.bound") for w in weights]
        curve = np.array([[f(v) for f in (np.mean, np.min, np.max)] for v in of_weight]).T
        by_weight.errorbar(
            weights, curve[0], np.abs(curve[1:] - curve[0]), label=label, color=color, marker=mark, capsize=3
        )
    by_width.set(xlabel="U-Net width", ylabel="all right", xscale="log", title="by size of the U-Net")
    by_width.set_xticks(widths, [str(w) for w in widths])
    by_width.minorticks_off()
    by_width.legend(title="text")
    by_weight.set(xlabel="guidance weight w", ylabel="all right", title=f"by guidance, width {widths[-1]}")
    by_weight.set_xticks([1, 2, 4])
    figure.suptitle("256 held-out prompts, guidance weight 2; mean of two seeds, ± half their range")
    figure.savefig(Path(sys.argv[2]), dpi=110)


if __name__ == "__main__":
    main()
