"""The folder that imagen-sample fills: pictures, samples.json that says what each is, a grid of all."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from imagen.checkpoint import plain_name
from imagen.files import read_json, write_text
from imagen.grid import captioned_grid, to_uint8
from imagen.provenance import Mark, chunks
from imagen.watermark import LEAST, write

PNG = b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00IEND\xaeB`\x82"
"""How a whole file begins and ends."""


class Record:
    """The folder of pictures and its samples.json, which is there before the first picture and written anew
    after every batch, so that a killed program goes on where it was. `made_from`: the request that all its
    pictures share; ValueError when those there have another, or when the folder is another's. `mark`: whether a picture's
    file says where it comes from (imagen.provenance)."""

    def __init__(self, folder: Path, made_from: dict[str, Any], mark: bool = True) -> None:
        self.folder, self.path = folder, folder / "samples.json"
        self.mark = mark
        self.content: dict[str, Any] = {**made_from, "samples": []}
        if made_from.get("safety") is not None:
            self.content["refused"] = []
        if self.path.is_file():
            there = read_json(self.path, "give a new folder as out=")
            differing = [key for key in made_from if comparable(there.get(key)) != comparable(made_from[key])]
            if differing:
                raise ValueError(
                    f"out={folder}: its pictures are of another {' and '.join(differing)}; give a new folder"
                )
            self.content["samples"] = [s for s in self._entries(there.get("samples")) if self._whole(s)]
            if "refused" in self.content:
                self.content["refused"] = self._refusals(there.get("refused"))
        elif folder.exists() and (not folder.is_dir() or any(map(_foreign, folder.iterdir()))):
            raise ValueError(f"out={folder}: holds other files; give a new folder")
        nearest = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
            raise ValueError(f"out={folder}: {nearest} cannot be written to; give another folder")

    def _entries(self, samples: Any) -> list[dict[str, Any]]:
        """`samples` of samples.json. Only files that this program would write are looked at, whatever it
        names."""
        if not isinstance(samples, list):
            raise ValueError(f'{self.path} is damaged (no list of "samples"); give a new folder as out=')
        for i, entry in enumerate(samples):
            try:
                prompt, seed, stages = entry["prompt"], entry["seed"], list(entry["files"])
                for stage in stages:
                    plain_name(stage, "stage")
                ours = type(seed) is int and entry == described(prompt, seed, stages)
            except (TypeError, KeyError, AttributeError, ValueError, IndexError):
                ours = False
            if not ours:
                raise ValueError(
                    f"{self.path} is damaged (sample {i} is not as imagen-sample writes it); give a new folder "
                    "as out="
                )
        return samples

    def _refusals(self, refused: Any) -> list[dict[str, Any]]:
        """`refused` of samples.json."""
        if not isinstance(refused, list) or any(
            not isinstance(entry, dict)
            or set(entry) != {"prompt", "seed", "reason"}
            or not (isinstance(entry["prompt"], str) and isinstance(entry["reason"], str))
            or not (entry["seed"] is None or type(entry["seed"]) is int)
            for entry in refused
        ):
            raise ValueError(f'{self.path} is damaged (no list of "refused"); give a new folder as out=')
        return refused

    def _whole(self, entry: dict[str, Any]) -> bool:
        """Whether every picture of a sample is there to its last byte."""
        return all(_is_png(self.folder / file) for file in entry["files"].values())

    @property
    def samples(self) -> dict[tuple[str, int], dict[str, Any]]:
        """(prompt, seed) -> its entry."""
        return {(s["prompt"], s["seed"]): s for s in self.content["samples"]}

    def has(self, prompt: str, seed: int) -> bool:
        """Whether this picture is there."""
        return (prompt, seed) in self.samples

    @property
    def refused(self) -> dict[tuple[str, int | None], str]:
        """(prompt, seed) -> why that picture was refused; seed None: why the prompt was."""
        return {(r["prompt"], r["seed"]): r["reason"] for r in self.content.get("refused", [])}

    def refuse(self, prompts: dict[str, str]) -> None:
        """Keep why `prompts` are refused."""
        new = [
            {"prompt": p, "seed": None, "reason": r}
            for p, r in prompts.items()
            if (p, None) not in self.refused
        ]
        if new:
            with self._writing():
                self.content["refused"] += new
                self._save()

    def add(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        made: dict[str, np.ndarray],
        reasons: Sequence[str | None] | None = None,
    ) -> None:
        """Write a batch: `made` is {stage name: (B, R, R, 3) uint8}, ascending. `reasons`: why a picture of it is refused; of
        that one nothing is written but the reason."""
        with self._writing():
            if not self.path.exists():
                self._save()
            for i, (prompt, seed) in enumerate(zip(prompts, seeds)):
                if reasons is not None and (reason := reasons[i]) is not None:
                    self.content["refused"].append({"prompt": prompt, "seed": seed, "reason": reason})
                    continue
                entry = described(prompt, seed, list(made))
                for stage, file in entry["files"].items():
                    _write_png(
                        self._watermarked(made[stage][i]), self.folder / file, self._said(prompt, seed)
                    )
                self.content["samples"].append(entry)
            self._save()

    def _watermarked(self, picture: np.ndarray) -> Image.Image:
        """With the invisible mark that was asked for, if there is room for it."""
        text = self.content.get("watermark")
        return Image.fromarray(picture if text is None or len(picture) < LEAST else write(picture, text))

    def _said(self, prompt: str | None = None, seed: int | None = None) -> PngInfo | None:
        """Where a picture comes from, if that is to stand in its file."""
        return chunks(Mark(prompt, seed, self.content["release"]["sha256"])) if self.mark else None

    def grid(self, prompts: Sequence[str], seeds: Sequence[int], given: Tensor | None = None) -> Path:
        """grid.png of the last stage, all there: a row a prompt (the first 64), a column a seed (the first
        16); before them the picture (1, 3, r, r) that was enlarged, if one was `given`. Refused ones stay blank."""
        prompts, seeds, samples = prompts[:64], seeds[:16], self.samples
        there = {
            pair: _read_png(self.folder / samples[pair]["file"])
            for pair in ((prompt, seed) for prompt in prompts for seed in seeds)
            if pair in samples
        }
        blank = np.full_like(next(iter(there.values())), 255)
        pictures = [[there.get((prompt, seed), blank) for seed in seeds] for prompt in prompts]
        columns, path = [f"seed {seed}" for seed in seeds], self.folder / "grid.png"
        if given is not None:
            side = pictures[0][0].shape[1]
            shown = Image.fromarray(to_uint8(given)[0]).resize((side, side), Image.Resampling.NEAREST)
            columns = [f"given, {given.shape[-1]} px", *columns]
            pictures = [[np.asarray(shown), *row] for row in pictures]
        with self._writing():
            _write_png(captioned_grid(np.stack(pictures), prompts, columns), path, self._said())
        return path

    def _save(self) -> None:
        write_text(self.path, json.dumps(self.content, indent=2, ensure_ascii=False) + "\n")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ValueError(
                f"out={self.folder}: cannot be written to ({error.strerror or error}); make room or give another "
                "folder: the same command goes on with what is there"
            ) from None


def described(prompt: str, seed: int, stages: Sequence[str]) -> dict[str, Any]:
    """The entry of a sample: its files in each of `stages`, ascending; all lie within the folder."""
    name = f"{file_stem(prompt)}_seed{seed}.png"
    files = {stage: name if stage == stages[-1] else f"stages/{stage}/{name}" for stage in stages}
    return {"prompt": prompt, "seed": seed, "file": files[stages[-1]], "files": files}


def comparable(value: Any) -> Any:
    """A part of a request without its paths: a file is what its hash says, wherever it lies."""
    return value["sha256"] if isinstance(value, dict) and "sha256" in value else value


def file_stem(prompt: str) -> str:
    """A file name for any prompt: its first words in plain letters, and a hash that tells prompts apart."""
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower())[:40].strip("-")
    return f"{words or 'prompt'}_{hashlib.sha256(prompt.encode()).hexdigest()[:8]}"


def _foreign(path: Path) -> bool:
    """Whether a file is none that a first samples.json leaves which could not be written."""
    return not path.name.startswith(".samples.json.")


def _write_png(image: Image.Image, path: Path, said: PngInfo | None = None) -> None:
    """The whole picture or none: written beside and moved. `said`: its text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    image.save(beside, format="PNG", pnginfo=said)
    os.replace(beside, path)


def _read_png(path: Path) -> np.ndarray:
    try:
        return np.asarray(Image.open(path, formats=["PNG"]))
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"{path}: cannot be read as a picture ({error!s:.80}); remove it, to make it again"
        ) from None


def _is_png(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        begin = file.read(len(PNG[0]))
        file.seek(max(0, path.stat().st_size - len(PNG[1])))
        return (begin, file.read()) == PNG
