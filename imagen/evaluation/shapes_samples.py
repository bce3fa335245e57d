"""Pictures of held-out prompts of the shapes world, drawn by a release and kept, so that drawing resumes
after a kill."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from imagen.cascade import Cascade, Progress
from imagen.data.shapes.prompts import prompts
from imagen.data.shapes.scene import Scene
from imagen.diffusion.samplers import DPMSolverPP2M
from imagen.diffusion.thresholding import Dynamic
from imagen.grid import to_uint8
from imagen.progress import bar


@dataclass(frozen=True)
class Settings:
    """How the pictures are drawn: a value for each stage (`steps`, `guidance`), or one for all. `percentile`
    in (0, 1] is that of dynamic thresholding (section 2.3), `noise_augmentation` in [0, 1] the level of
    section 2.5; `reading_order` of the prompts: see `caption_of`."""

    steps: list[int]
    guidance: list[float]
    noise_augmentation: float
    percentile: float
    batch_size: int
    seed: int
    reading_order: float


@dataclass(frozen=True)
class Drawn:
    """What was asked for, and the pictures: `stages`, for each stage uint8 (n, R, R, 3), smallest first."""

    captions: list[str]
    scenes: list[Scene]
    categories: list[str]
    stages: list[np.ndarray]


def _teller(pictures_done: tqdm, cascade: Cascade, start: int) -> Progress:
    """Moves the bar over a batch that begins with picture `start`, each stage having an equal share of it."""
    names = [stage.name for stage in cascade.stages]

    def tell(stage: str, done: float, total: int) -> None:
        pictures_done.update(start + (names.index(stage) * total + done) / len(names) - pictures_done.n)

    return tell


def _draw(
    release: Path, folder: Path, captions: list[str], seeds: list[int], settings: Settings, label: str
) -> list[np.ndarray]:
    """Each batch is a file, written aside and renamed; those that are there already are not drawn again."""
    folder.mkdir(parents=True, exist_ok=True)
    cascade, batches = None, []
    starts = range(0, len(captions), settings.batch_size)
    pictures_done = bar(
        total=len(captions),
        desc=label,
        unit="picture",
        bar_format="{l_bar}{bar}| {n:.0f}/{total} {elapsed}<{remaining}",
    )
    for start in starts:
        part = slice(start, start + settings.batch_size)
        file = folder / f"{start:05d}.npz"
        if not file.exists():
            cascade = cascade or Cascade.load(release)
            pictures = cascade.sample(
                captions[part],
                seeds[part],
                steps=settings.steps,
                guidance=settings.guidance,
                noise_augmentation=settings.noise_augmentation,
                threshold=Dynamic(settings.percentile),
                sampler=DPMSolverPP2M(),
                batch_size=settings.batch_size,
                progress=_teller(pictures_done, cascade, start),
            )
            aside = file.with_suffix(".aside")
            with aside.open("wb") as handle:
                np.savez(handle, *[to_uint8(p) for p in pictures])
            aside.replace(file)
        with np.load(file) as data:
            batches.append([data[k] for k in data.files])
        pictures_done.update(min(part.stop, len(captions)) - pictures_done.n)
    pictures_done.close()
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def draw_split(release: Path, out: Path, split: str, n: int, settings: Settings) -> Drawn:
    """n pictures of `split`'s prompts, all categories alike; the picture of prompt i has seed i. Kept in
    out/split."""
    suite = prompts(split, settings.seed, n, settings.reading_order)
    captions = [caption for caption, _, _ in suite]
    stages = _draw(release, out / split, captions, list(range(n)), settings, f"sample {split}")
    return Drawn(captions, [scene for _, scene, _ in suite], [category for _, _, category in suite], stages)


def draw_sweep(
    release: Path, out: Path, weights: Sequence[float], n: int, settings: Settings
) -> dict[float, list[tuple[str, Tensor]]]:
    """The first n test prompts with the same seeds at each guidance weight of the base stage: weight ->
    (caption, picture (3, R, R))."""
    captions = [caption for caption, _, _ in prompts("test", settings.seed, n, settings.reading_order)]
    found = {}
    for w in weights:
        how = Settings(**{**vars(settings), "guidance": [w, *settings.guidance[1:]]})
        stages = _draw(release, out / f"guidance-{w:g}", captions, list(range(n)), how, f"guidance {w:g}")
        found[w] = list(zip(captions, from_uint8(stages[-1]), strict=True))
    return found


def from_uint8(pictures: np.ndarray) -> Tensor:
    """uint8 (B, R, R, 3) -> float32 (B, 3, R, R) in [-1, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
