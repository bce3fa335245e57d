"""imagen-sample: prompts x seeds -> a picture of each, in every stage's size, with a captioned grid and a
record."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from imagen.cascade import Cascade, Progress
from imagen.checkpoint import INDEX, read_release, sha256
from imagen.data.pictures import decode, fit
from imagen.grid import captioned_grid, to_uint8
from imagen.programs.build import build, program
from imagen.sampling import Settings


@program("sample")
def main(cfg: DictConfig) -> None:
    """Make what the folder does not have yet; then the grid and samples.json."""
    given: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # pyright: ignore[reportAssignmentType]
    all_prompts, all_seeds = prompts_of(given), seeds_of(given["seeds"])
    wanted = [(prompt, seed) for prompt in all_prompts for seed in all_seeds]
    device = given["device"] or ("cuda" if torch.cuda.is_available() else "cpu")
    record = Record(Path(given["out"]), request(given))
    cascade = Cascade.load(given["release"], device=device)
    settings = {f.name: given.get(f.name) for f in fields(Settings)}
    settings |= {"sampler": build(cfg.get("sampler")), "threshold": build(cfg.get("threshold"))}
    if settings["interval"] is not None:
        settings["interval"] = tuple(settings["interval"])
    picture = None if given["picture"] is None else read_picture(Path(given["picture"]))

    missing = [pair for pair in wanted if not record.has(*pair)]
    size = given["batch_size"]
    if size < 1:
        raise ValueError(f"batch_size={size}: must be at least 1")
    names = [stage.name for stage in cascade.stages]
    with bars(len(missing), names, given["progress"]) as progress:
        for start in range(0, len(missing), size):
            prompts, seeds = zip(*missing[start : start + size])
            how = {"batch_size": size, "progress": progress(start), **settings}
            if picture is None:
                made = cascade.sample(prompts, seeds, **how)
            else:
                made = cascade.upscale(picture.expand(len(seeds), -1, -1, -1), prompts, seeds, **how)
            record.add(prompts, seeds, dict(zip(names[-len(made) :], made)))
    grid = record.grid(all_prompts, all_seeds)
    there = len(wanted) - len(missing)
    print(f"{len(missing)} pictures made, {there} were there: {record.folder}; all in {grid}")


def prompts_of(given: dict[str, Any]) -> list[str]:
    """The prompts of the command line and of the file, each once, in order. ValueError when there is none, or
    an empty one."""
    prompts = given["prompts"] if isinstance(given["prompts"], list) else [given["prompts"]]
    prompts = [str(prompt).strip() for prompt in prompts]
    if "" in prompts:
        raise ValueError(f"prompts: number {prompts.index('')} is empty; every picture needs a description")
    if given["prompts_file"] is not None:
        path = Path(given["prompts_file"])
        if not path.is_file():
            raise ValueError(f"prompts_file={path}: no such file; give a text file with one prompt a line")
        try:
            prompts += [
                line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
            ]
        except UnicodeDecodeError:
            raise ValueError(f"prompts_file={path}: not a text file in UTF-8") from None
    if not prompts:
        raise ValueError('no prompts: give "prompts=[a red circle]" or prompts_file=FILE with one a line')
    return list(dict.fromkeys(prompts))


def seeds_of(given: Any) -> list[int]:
    """Whole numbers, each once."""
    seeds = given if isinstance(given, list) else [given]
    if not seeds or any(not isinstance(seed, int) or isinstance(seed, bool) for seed in seeds):
        raise ValueError(f"seeds={given}: give whole numbers, such as seeds=[0,1,2]")
    return list(dict.fromkeys(seeds))


def request(given: dict[str, Any]) -> dict[str, Any]:
    """All that a picture depends on besides its prompt and seed; plain JSON. Two requests must not share a
    folder."""
    read_release(given["release"])
    release = {"folder": given["release"], "sha256": sha256(Path(given["release"]) / INDEX)}
    settings = {f.name: given.get(f.name) for f in fields(Settings)}
    picture = given["picture"]
    if picture is not None:
        if not Path(picture).is_file():
            raise ValueError(f"picture={picture}: no such file")
        picture = {"file": picture, "sha256": sha256(Path(picture))}
    return {"release": release, "settings": settings, "picture": picture}


def read_picture(path: Path) -> Tensor:
    """A picture file, cut to its middle square -> (1, 3, r, r) in [-1, 1]."""
    try:
        image = decode(path.read_bytes())
    except Exception as error:
        raise ValueError(f"picture={path}: cannot be read as a picture: {error}") from None
    array = torch.from_numpy(fit(image, min(image.size)).copy())
    return array.permute(2, 0, 1)[None].float() / 127.5 - 1


class Record:
    """The folder of pictures and its samples.json, which is written anew after every batch, so that a killed
    program goes on where it was. `made_from`: the request that all its pictures share; ValueError when those
    there have another."""

    def __init__(self, folder: Path, made_from: dict[str, Any]) -> None:
        self.folder, self.path = folder, folder / "samples.json"
        self.content: dict[str, Any] = {**made_from, "samples": []}
        if self.path.is_file():
            there = json.loads(self.path.read_text(encoding="utf-8"))
            differing = [key for key in made_from if comparable(there.get(key)) != comparable(made_from[key])]
            if differing:
                raise ValueError(
                    f"out={folder}: its pictures are of another {' and '.join(differing)}; give a new folder"
                )
            self.content["samples"] = [
                s for s in there["samples"] if all((folder / f).is_file() for f in s["files"].values())
            ]
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ValueError(f"out={folder}: holds other files; give a new folder")

    @property
    def samples(self) -> dict[tuple[str, int], dict[str, Any]]:
        """(prompt, seed) -> its entry."""
        return {(s["prompt"], s["seed"]): s for s in self.content["samples"]}

    def has(self, prompt: str, seed: int) -> bool:
        """Whether this picture is there."""
        return (prompt, seed) in self.samples

    def add(self, prompts: Sequence[str], seeds: Sequence[int], made: dict[str, Tensor]) -> None:
        """Write a batch: `made` is {stage name: (B, 3, R, R)}, ascending."""
        *_, last = made
        for i, (prompt, seed) in enumerate(zip(prompts, seeds)):
            name = f"{file_stem(prompt)}_seed{seed}.png"
            files = {stage: name if stage == last else f"stages/{stage}/{name}" for stage in made}
            for stage, file in files.items():
                path = self.folder / file
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(to_uint8(made[stage][i])).save(path)
            self.content["samples"].append({"prompt": prompt, "seed": seed, "file": name, "files": files})
        beside = self.path.with_suffix(".part")
        beside.write_text(json.dumps(self.content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(beside, self.path)

    def grid(self, prompts: Sequence[str], seeds: Sequence[int]) -> Path:
        """grid.png of the last stage, all there: a row a prompt (the first 64), a column a seed (the first
        16)."""
        prompts, seeds, samples = prompts[:64], seeds[:16], self.samples
        pictures = [
            [np.asarray(Image.open(self.folder / samples[prompt, seed]["file"])) for seed in seeds]
            for prompt in prompts
        ]
        path = self.folder / "grid.png"
        captioned_grid(np.stack(pictures), prompts, [f"seed {seed}" for seed in seeds]).save(path)
        return path


def comparable(value: Any) -> Any:
    """A part of a request without its paths: a file is what its hash says, wherever it lies."""
    return value["sha256"] if isinstance(value, dict) and "sha256" in value else value


def file_stem(prompt: str) -> str:
    """A file name for any prompt: its first words in plain letters, and a hash that tells prompts apart."""
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower())[:40].strip("-")
    return f"{words or 'prompt'}_{hashlib.sha256(prompt.encode()).hexdigest()[:8]}"


@contextmanager
def bars(total: int, stages: Sequence[str], shown: bool) -> Iterator[Callable[[int], Progress]]:
    """A bar over `total` pictures that names the stage at work; `hook(pictures done before)` is for one
    batch."""
    form = "{desc} {percentage:3.0f}%|{bar}| {n:.1f}/{total} [{elapsed}<{remaining}]"
    with tqdm(total=total, bar_format=form, disable=None if shown else True) as bar:

        def hook(before: int) -> Progress:
            def at(stage: str, done: float, size: int) -> None:
                bar.set_description(stage, refresh=False)
                bar.n = before + (stages.index(stage) * size + done) / len(stages)
                bar.refresh()

            return at

        yield hook


if __name__ == "__main__":
    main()
