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
import yaml
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
SUITES = {"test": {2.0: 1.0, 1.0: 0.5, 4.0: 0.5}, "unseen": {2.0: 0.5}}
"""Share of the prompts of each split, at each guidance weight: held-out compositions, and color-shape pairs that training never
shows."""
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


def judged(run: Path, release: Path, count: int, widest: bool) -> dict[str, Any]:
    """Of one run: split -> guidance weight -> shares, of `count` prompts. The curves over guidance are of the `widest` networks."""
    read = read_run(run)
    write_release(release, stages([read]), read.text, {})
    cascade = Cascade.load(release)
    found: dict[str, Any] = {}
    for split, weights in SUITES.items():
        for weight, share in weights.items():
            if weight != 2 and not widest:
                continue
            number = max(4, int(count * share))
            captions = [caption for caption, _, _ in prompts(split, 0, number, 1.0)]
            how = {
                "steps": STEPS,
                "guidance": weight,
                "threshold": Dynamic(0.995),
                "sampler": DPMSolverPP2M(),
            }
            made = cascade.sample(captions, list(range(number)), batch_size=BATCH, **how)[-1]
            found.setdefault(split, {})[f"w{weight:g}"] = verdicts(made, captions)
    return found


def settings_of(run: Path) -> tuple[int, int, int]:
    """Of a run: step, trainer.max_steps, stage.unet.width."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    step = json.loads((run / "progress.json").read_text())["step"]
    return step, config["trainer"]["max_steps"], config["stage"]["unet"]["width"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="the folder of runs (runs= of imagen-train)")
    parser.add_argument(
        "--prompts", type=int, default=256, help="held-out prompts at guidance weight 2 (256)"
    )
    given = parser.parse_args()
    runs = [path.parent for path in sorted(given.runs.glob("*/progress.json"))]
    if not runs:
        parser.error(f"{given.runs}: no runs in it; give the folder that was runs= of imagen-train")
    torch.set_num_threads(1)
    suites = {split: prompts(split, 0, given.prompts, 1.0) for split in SUITES}
    real = {split: ceiling(suite) for split, suite in suites.items()}
    write_text(given.runs / "ceiling.json", json.dumps(real, indent=1))
    told = {run: settings_of(run) for run in runs}
    widest = max(width for _, _, width in told.values())
    waiting = [run for run in runs if not (run / "results.json").exists()]
    for run in waiting:
        step, steps, _ = told[run]
        if step < steps:
            print(f"{run.name}: left out, at step {step} of {steps}; judge again when it is trained")
    trained = [run for run in waiting if told[run][0] >= told[run][1]]
    for run in bar(trained, desc="judged", unit="run"):
        results = judged(run, given.runs / ".releases" / run.name, given.prompts, told[run][2] == widest)
        write_text(run / "results.json", json.dumps({"prompts": given.prompts, "shapes": results}, indent=1))
    print(f"{len(trained)} runs judged, {len(runs) - len(waiting)} were: imagen-sweep collect {given.runs}")


if __name__ == "__main__":
    main()
