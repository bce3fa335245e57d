"""draw.py OUT RUNS...: validation loss by wall time of the networks' runs, curves.png and curves.csv (pip install matplotlib).

Time is steps by the pace of the run's quiet stretches, the ninth decile of images_per_second (data included, validation not), so that
other work beside a part of a run does not bend its curve."""

import argparse
import csv
import json
import sys
from pathlib import Path
from statistics import quantiles

import yaml

try:
    from matplotlib.figure import Figure
except ImportError:
    sys.exit("error: this figure needs pip install matplotlib")

COLORS = {"shapes32": "#0072B2", "shapes32_as_long": "#56B4E9", "shapes32_older": "#D55E00"}
LABELS = {
    "shapes32": "Efficient U-Net, 600 steps",
    "shapes32_as_long": "Efficient U-Net, 2100 steps",
    "shapes32_older": "U-Net before it, 600 steps",
}


def curve(run: Path) -> tuple[float, list[tuple[int, float]]]:
    """(images a second, [(step, validation loss)]) of a run."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    pace = quantiles([row["images_per_second"] for row in rows if row.get("images_per_second")], n=10)[-1]
    return pace, [(row["step"], row["val_loss"]) for row in rows if row.get("val_loss") is not None]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    given = parser.parse_args()
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    by_step, by_time = figure.subplots(1, 2, sharey=True)
    table = []
    for run in sorted(run for run in given.runs if (run / "metrics.jsonl").is_file()):
        name, _, seed = run.name.rpartition("-s")
        batch = yaml.safe_load((run / "config.yaml").read_text())["data"]["batch_size"]
        pace, losses = curve(run)
        seconds = [step * batch / pace for step, _ in losses]
        style = {
            "color": COLORS.get(name, "#000000"),
            "label": LABELS.get(name, name) if seed == "0" else None,
        }
        by_step.plot([step for step, _ in losses], [loss for _, loss in losses], **style)
        by_time.plot(seconds, [loss for _, loss in losses], **style)
        for (step, loss), at in zip(losses, seconds):
            table.append(
                {"network": name, "seed": seed, "step": step, "seconds": round(at, 1), "val_loss": loss}
            )
        print(f"{run.name}: {pace / batch:.2f} steps a second, {seconds[-1]:.0f} s, {losses[-1][1]:.5f}")
    by_step.set(xlabel="steps of 32 pictures", ylabel="validation loss", yscale="log")
    by_time.set(xlabel="seconds on one core")
    by_step.legend()
    given.out.mkdir(parents=True, exist_ok=True)
    figure.savefig(given.out / "curves.png", dpi=110)
    with (given.out / "curves.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)


if __name__ == "__main__":
    main()
