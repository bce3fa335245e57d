"""judge.py RUNS...: what each trained run of the study draws of held-out prompts, by the judge of drawn scenes.

Writes RUN/results.json beside each run's checkpoint; runs that have one are left alone, so it goes on after a kill.

The base stage draws 16 x 16 pixels, enlarged four times (bicubic) for the judge. There colors, counts and relations of real pictures are
told almost always, shapes in seven of ten: "bound", the headline, is color, count and relation of a picture all right.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from imagen.cascade import Cascade
from imagen.checkpoint import write_release
from imagen.data.shapes import draw, parse
from imagen.data.shapes.prompts import prompts
from imagen.data.shapes.scene import Scene
from imagen.diffusion.samplers import DPMSolverPP2M
from imagen.diffusion.thresholding import Dynamic
from imagen.evaluation.shapes_judge import KEYS, judge, score
from imagen.evaluation.shapes_samples import from_uint8
from imagen.files import write_text
from imagen.grid import to_uint8
from imagen.programs.export import read_run, stages
from imagen.progress import bar

STEPS, SIDE, BATCH = 24, 64, 64
SUITES = {"test": {2.0: 256, 1.0: 128, 4.0: 128}, "unseen": {2.0: 128}}
"""Prompts of each split, at each guidance weight: held-out compositions, and color-shape pairs that training never shows."""
WIDEST = 32
BOUND = ("color", "count", "relation")


def verdicts(pictures: Tensor, captions: list[str]) -> dict[str, float]:
    """Shares of pictures (n, 3, R, R) that are right, where the caption asks: of each key, and of those of BOUND together."""
    large = F.interpolate(pictures, (SIDE, SIDE), mode="bicubic", align_corners=False).clamp(-1, 1)
    found = [score(judge(p), parse(c)) for p, c in zip(to_uint8(large), captions, strict=True)]
    shares = {}
    for key in KEYS:
        asked = [v[key] for v in found if v[key] is not None]
        if asked:
            shares[key] = float(np.mean(asked))
    shares["bound"] = float(np.mean([all(v[key] is not False for key in BOUND) for v in found]))
    return {key: round(value, 4) for key, value in shares.items()}


def ceiling(suite: list[tuple[str, Scene, str]]) -> dict[str, float]:
    """What real 16 x 16 pictures of the prompts reach."""
    real = from_uint8(np.stack([draw(scene, 16) for _, scene, _ in suite]))
    return verdicts(real, [caption for caption, _, _ in suite])


def judged(run: Path, release: Path) -> dict[str, Any]:
    """Of one run: split -> guidance weight -> shares."""
    read = read_run(run)
    write_release(release, stages([read]), read.text, {})
    cascade = Cascade.load(release)
    found: dict[str, Any] = {}
    widest = read.record.network["arguments"]["width"] == WIDEST
    for split, weights in SUITES.items():
        for weight, count in weights.items():
            if weight != 2 and not widest:  # the curves over guidance are of the largest network
                continue
            captions = [caption for caption, _, _ in prompts(split, 0, count, 1.0)]
            how = {
                "steps": STEPS,
                "guidance": weight,
                "threshold": Dynamic(0.995),
                "sampler": DPMSolverPP2M(),
            }
            made = cascade.sample(captions, list(range(count)), batch_size=BATCH, **how)[-1]
            found.setdefault(split, {})[f"w{weight:g}"] = verdicts(made, captions)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="the folder of runs (runs= of imagen-train)")
    folder = parser.parse_args().runs
    torch.set_num_threads(1)
    write_text(
        folder / "ceiling.json",
        json.dumps({s: ceiling(prompts(s, 0, max(n.values()), 1.0)) for s, n in SUITES.items()}, indent=1),
    )
    done = [
        p.parent for p in sorted(folder.glob("*/progress.json")) if not (p.parent / "results.json").exists()
    ]
    for run in bar(done, desc="judged", unit="run"):
        if json.loads((run / "progress.json").read_text())["step"] < 800:
            continue
        results = judged(run, folder / ".releases" / run.name)
        write_text(run / "results.json", json.dumps({"shapes": results}, indent=1))


if __name__ == "__main__":
    main()
