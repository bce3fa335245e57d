"""What the demo says of itself: seconds, alignment by the judge, colour drift; summary.json, the page, the
printed figures."""

import json
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imagen.checkpoint import read_release
from imagen.data.shapes import draw, parse
from imagen.evaluation.color_drift import color_drift
from imagen.evaluation.gallery import Card, Page, render
from imagen.evaluation.shapes_judge import KEYS, alignment, judge, score
from imagen.evaluation.shapes_samples import Drawn, from_uint8
from imagen.files import write_text
from imagen.grid import captioned_grid

# what the project promises, over at least 256 pictures of the last stage
PROMISED = {
    "alignment": {"color": 0.97, "shape": 0.93, "count": 0.90, "relation": 0.93, "scene": 0.85},
    "alignment_unseen": {"scene": 0.60},
    "ceiling": dict.fromkeys(("color", "shape", "count", "relation", "scene"), 0.98),
}


class Clock:
    """Seconds spent on each step, kept in `file`, so that a step done in two goes counts both."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.seconds: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}

    @contextmanager
    def measure(self, step: str) -> Iterator[None]:
        """Add the seconds of the block to `step`, also when it ends with an error."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - start
            write_text(self.file, json.dumps(self.seconds, indent=2))


def summarize(
    drawn: dict[str, Drawn], seconds: dict[str, float], runs: Sequence[str], release: Path
) -> dict[str, Any]:
    """The figures of summary.json. `drawn`: the splits "test" and "unseen"; `runs`: the stages' names,
    smallest first."""
    test, unseen = drawn["test"], drawn["unseen"]
    size = test.stages[-1].shape[1]
    pictures = [from_uint8(stage) for stage in test.stages]
    real = [draw(scene, size) for scene in test.scenes + unseen.scenes]
    return {
        "seconds": {
            "prepare": round(seconds.get("prepare", 0.0), 1),
            "train": {run: round(seconds.get(f"train.{run}", 0.0), 1) for run in runs},
            "sample": round(seconds.get("sample", 0.0), 1),
        },
        "samples": len(test.captions),
        "alignment": alignment(list(test.stages[-1]), test.captions),
        "ceiling": alignment(real, test.captions + unseen.captions),
        "alignment_unseen": alignment(list(unseen.stages[-1]), unseen.captions),
        "alignment_by_category": {
            category: alignment(
                [p for p, c in zip(test.stages[-1], test.categories) if c == category],
                [p for p, c in zip(test.captions, test.categories) if c == category],
            )["scene"]
            for category in sorted(set(test.categories))
        },
        "color_drift": {
            run: round(color_drift(high, low), 5) for run, low, high in zip(runs[1:], pictures, pictures[1:])
        },
        "parameters": {stage.name: stage.parameters for stage in read_release(release).stages},
        "machine": {"processor": processor(), "threads": torch.get_num_threads(), "torch": torch.__version__},
    }


def processor() -> str:
    """The processor's name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    names = (
        [x.split(":")[1].strip() for x in info.read_text().splitlines() if x.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0] if names else platform.processor() or platform.machine()


def missed(summary: dict[str, Any]) -> list[str]:
    """The promised figures that were not reached, in words; empty when all were."""
    return [
        f"{part}.{key}: {summary[part][key]:.3f} (promised {least})"
        for part, keys in PROMISED.items()
        for key, least in keys.items()
        if summary[part][key] < least
    ]


def _cards(drawn: Drawn, wanted: Sequence[int]) -> list[Card]:
    cards = []
    stages = [from_uint8(stage) for stage in drawn.stages]
    for i in wanted:
        verdict = score(judge(drawn.stages[-1][i]), parse(drawn.captions[i]))
        wrong = [key for key, right in verdict.items() if right is False and key != "scene"]
        cards.append(Card(drawn.captions[i], [s[i] for s in stages], wrong))
    return cards


def _losses(file: Path) -> list[tuple[float, float]]:
    if not file.exists():
        return []
    rows = [json.loads(line) for line in file.read_text().splitlines() if line.strip()]
    return [(row["step"], row["loss"]) for row in rows if row.get("loss") is not None]


def write_page(
    out: Path,
    summary: dict[str, Any],
    drawn: dict[str, Drawn],
    sweep: dict[float, list[tuple[str, Tensor]]],
    runs: Sequence[str],
    commands: Sequence[str],
) -> Path:
    """Write summary.json and index.html into `out`; returns the page's path."""
    write_text(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    head = ["the judge found right", *KEYS]
    rows = [
        [title, *[f"{summary[part][key]:.1%}" for key in KEYS]]
        for title, part in (
            ("held-out scenes", "alignment"),
            ("pairs never seen in training", "alignment_unseen"),
            ("real pictures (ceiling)", "ceiling"),
        )
    ]
    seconds = summary["seconds"]
    minutes = (seconds["prepare"] + sum(seconds["train"].values()) + seconds["sample"]) / 60
    sizes = " to ".join(str(s.shape[1]) for s in drawn["test"].stages)
    lead = (
        f"A cascade of {len(runs)} diffusion models, {sizes} pixels, trained and sampled in {minutes:.1f} minutes on "
        f"{summary['machine']['processor']} ({summary['machine']['threads']} threads). "
        f"{summary['samples']} pictures of each held-out split were judged by image analysis, without learned weights: "
        "a scene is right when the colors, shapes, number and places of its objects are, and their size and the "
        "background where the prompt says them. How objects are filled (outlined, striped, dotted) is not judged."
    )
    verdicts = {name: _cards(d, range(len(d.captions))) for name, d in drawn.items()}
    sections = {
        "Held-out prompts: each stage's picture": verdicts["test"][:24],
        "Color-shape pairs never seen in training": verdicts["unseen"][:12],
        "What it got wrong": [c for d in verdicts.values() for c in d if c.verdict][:24],
    }
    page = Page(
        title="Imagen: a text-to-image cascade, from one command",
        lead=lead,
        figures=[head, *rows],
        sections={title: cards for title, cards in sections.items() if cards},
        sweep=sweep,
        curves={run: _losses(out / "runs" / run / "metrics.jsonl") for run in runs},
        commands=commands,
        notes=[
            "The loss is the mean squared error of what the network predicts, weighted as in training; x: steps, y: "
            "logarithmic. Guidance and steps of the pictures above stand in release/cascade.json.",
            "The commands are in .venv/bin; paths are relative to the folder they were run from.",
            "Colour drift (mean colour of a stage's picture against its low-resolution input, share of the range; 0 is none, 0.02 cannot be seen): "
            + ", ".join(f"{run} {value:.4f}" for run, value in summary["color_drift"].items()),
            "Parameters: " + ", ".join(f"{run} {count:,}" for run, count in summary["parameters"].items()),
        ],
    )
    write_grid(out / "samples.png", drawn["test"])
    file = out / "index.html"
    write_text(file, render(page))
    return file


def write_grid(file: Path, drawn: Drawn, rows: int = 8) -> None:
    """The first pictures of `drawn`, a row a prompt, a column a stage."""
    stages = [s[:rows] for s in drawn.stages]
    side = stages[-1].shape[1]
    enlarged = [s.repeat(side // s.shape[1], 1).repeat(side // s.shape[1], 2) for s in stages]
    columns = [f"{s.shape[1]} pixels" for s in stages]
    captioned_grid(np.stack(enlarged, 1), drawn.captions[:rows], columns, side=128).save(file)


def print_figures(summary: dict[str, Any], page: Path, file: Path) -> None:
    """What a person wants to know at the end: the figures, whether they are what was promised, and where to
    look."""
    print(f"\n{'':22}" + "".join(f"{key:>10}" for key in KEYS))
    for title, part in (
        ("held-out scenes", "alignment"),
        ("unseen pairs", "alignment_unseen"),
        ("ceiling", "ceiling"),
    ):
        print(f"{title:22}" + "".join(f"{summary[part][key]:10.3f}" for key in KEYS))
    seconds = summary["seconds"]
    total = seconds["prepare"] + sum(seconds["train"].values()) + seconds["sample"]
    trained = ", ".join(f"{run} {value:.0f} s" for run, value in seconds["train"].items())
    print(
        f"\n{total / 60:.1f} minutes: prepare {seconds['prepare']:.0f} s, {trained}, sample {seconds['sample']:.0f} s"
    )
    print("colour drift: " + ", ".join(f"{run} {value:.4f}" for run, value in summary["color_drift"].items()))
    for line in missed(summary):
        print(f"not reached: {line}")
    print(f"\nfigures  {file}\ngallery  {page}")
