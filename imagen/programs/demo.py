"""imagen-demo: build shards, train a three-stage cascade on drawn scenes, sample held-out prompts, judge
them, show it all.

Every step is a public command or a public function, printed as it runs; each is skipped when it is done, so
the same command resumes after a kill and finishes at once when nothing is left."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from imagen.evaluation.demo_report import Clock, print_figures, summarize, write_page
from imagen.evaluation.shapes_samples import Settings, draw_split, draw_sweep
from imagen.files import write_text
from imagen.programs.allocation import keep_large_blocks
from imagen.programs.build import program

SHAPES_SETTINGS = {
    "count": "pictures",
    "held_out": "held_out",
    "reading_order": "reading_order",
    "seed": "seed",
}


def command(name: str, *arguments: str) -> list[str]:
    """The words of one of our console scripts, from the environment that runs this one."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise ValueError(f"{name} is not installed beside {sys.executable}: run `make install`")
    return [found, *arguments]


class Recipe:
    """The demo's commands, in order, and whether each is done; `out` is the folder that everything lands
    in."""

    def __init__(self, out: Path) -> None:
        self.out, self.lines = out, []
        self.clock = Clock(out / "seconds.json")

    def run(self, step: str, done: Path | None, name: str, *arguments: str) -> None:
        """Run `name arguments` unless the file `done` exists; its seconds are added to `step`."""
        self.lines.append(shlex.join([name, *arguments]))
        if done is not None and done.exists():
            print(f"\n$ {self.lines[-1]}\n  done before", flush=True)
            return
        print(f"\n$ {self.lines[-1]}", flush=True)
        with self.clock.measure(step):
            code = subprocess.run(command(name, *arguments), check=False).returncode
        if code:
            raise ValueError(
                f"`{self.lines[-1]}` ended with code {code}: its last lines are above; the same command resumes"
            )
        if done is not None and not done.exists():
            done.touch()


def guard(out: Path, settings: dict[str, Any]) -> None:
    """Refuse to mix two demos in one folder: the settings of the first are kept beside its results."""
    file = out / "demo.json"
    if file.exists() and (before := json.loads(file.read_text())) != settings:
        keys = sorted(k for k in before.keys() | settings.keys() if before.get(k) != settings.get(k))
        raise ValueError(
            f"out={out} holds a demo with other settings ({', '.join(keys)}): give another out=FOLDER, or remove that one"
        )
    write_text(file, json.dumps(settings, indent=2))


@program("demo")
def main(cfg: DictConfig) -> None:
    """Run what is not yet done, then print where the gallery and the figures are."""
    out, stages = Path(cfg.out), dict(cfg.stages)
    guard(out, OmegaConf.to_container(cfg, resolve=True))  # pyright: ignore[reportArgumentType]
    recipe = Recipe(out)
    shards, runs, release = out / "shards", out / "runs", out / "release"
    shapes = [f"source.{key}={cfg[name]}" for key, name in SHAPES_SETTINGS.items()]
    recipe.run(
        "prepare",
        shards / "done",
        "imagen-prepare",
        "source=shapes",
        *shapes,
        f"text={cfg.encoder}",
        f"out={shards}",
    )
    for run, experiment in stages.items():
        recipe.run(
            f"train.{run}", runs / run / "done", "imagen-train",
            f"experiment={experiment}", f"name={run}", f"runs={runs}", f"data.train={shards}", f"seed={cfg.seed}", f"text={cfg.encoder}", *cfg.train,
        )  # fmt: skip
    run_folders = ",".join(str(runs / run) for run in stages)
    advised = {"guidance": list(cfg.sample.guidance), "steps": list(cfg.sample.steps)}
    recipe.run(
        "export", release / "cascade.json", "imagen-export", f"run=[{run_folders}]", f"out={release}",
        *(f"{key}={values}".replace(" ", "") for key, values in advised.items()),
        f"noise_augmentation={cfg.sample.noise_augmentation}", "sampler=dpmpp", "threshold=dynamic",
        f"threshold.percentile={cfg.sample.percentile}",
    )  # fmt: skip

    settings = Settings(
        steps=list(cfg.sample.steps),
        guidance=list(cfg.sample.guidance),
        noise_augmentation=cfg.sample.noise_augmentation,
        percentile=cfg.sample.percentile,
        batch_size=cfg.batch_size,
        seed=cfg.seed,
        reading_order=cfg.reading_order,
    )
    keep_large_blocks()
    with recipe.clock.measure("sample"):
        drawn = {
            split: draw_split(release, out / "samples", split, cfg.samples, settings)
            for split in ("test", "unseen")
        }
        sweep = draw_sweep(release, out / "samples", list(cfg.sweep.guidance), cfg.sweep.prompts, settings)
    summary = summarize(drawn, recipe.clock.seconds, list(stages), release)
    page = write_page(out, summary, drawn, sweep, list(stages), recipe.lines)
    print_figures(summary, page, out / "summary.json")


if __name__ == "__main__":
    main()
