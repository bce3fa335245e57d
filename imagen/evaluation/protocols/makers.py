"""Who makes the pictures that a protocol wants: a release folder of ours, a pipeline of diffusers', another system, whose
pictures lie in a folder, or the protocol itself, which has real ones.
"""

import hashlib
import inspect
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from imagen.cascade import Cascade
from imagen.checkpoint import INDEX, sha256
from imagen.conditioning import downsample
from imagen.data.pictures import decode
from imagen.data.sources.folder import Folder
from imagen.data.sources.source import BadPair
from imagen.data.sources.table import Table
from imagen.evaluation.protocols.blocks import Made
from imagen.evaluation.protocols.wanted import Wanted
from imagen.evaluation.shapes_samples import from_uint8
from imagen.files import printable
from imagen.grid import to_uint8
from imagen.text.weights import fingerprint


class Maker(Protocol):
    """`source`: plain JSON that says who it is; `sampling`: with which settings, None when that is not known; `partial`: whether
    it may leave pictures out."""

    source: dict[str, Any]
    sampling: dict[str, Any] | None
    partial: bool

    def check(self, rows: Sequence[Wanted]) -> None:
        """ValueError, before anything is made or written, when it cannot make these."""
        ...

    def __call__(self, rows: Sequence[Wanted]) -> Made:
        """The pictures of a block; rows that cannot be had are left out."""
        ...


class Release:
    """The cascade of a release folder, on `device`. `settings`: the fields of `imagen.sampling.Settings`, one value for all
    stages or a list of one each; None: what the release recommends. `cascade`: of that folder, where it is loaded already."""

    partial = False

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        device: str = "cpu",
        batch_size: int = 16,
        cascade: Cascade | None = None,
    ) -> None:
        self.cascade = cascade or Cascade.load(folder, device=device)
        self.settings, self.batch_size = settings, batch_size
        self.source: dict[str, Any] = {
            "kind": "release",
            "folder": str(folder),
            "sha256": sha256(folder / INDEX),
        }
        self.sampling: dict[str, Any] | None = self.cascade.described(self.cascade.stages, **settings)

    def check(self, rows: Sequence[Wanted]) -> None:
        """See `Maker`."""
        if self.cascade.stages[0].lowres:
            raise ValueError(
                f"release={self.source['folder']}: has no base stage; give one that has, or enlarge real pictures with generator=enlarge"
            )

    def __call__(self, rows: Sequence[Wanted]) -> Made:
        """All of them, by every stage."""
        prompts, seeds = [row.prompt for row in rows], [row.seed for row in rows]
        made = self.cascade.sample(prompts, seeds, batch_size=self.batch_size, **self.settings)
        *before, last = [to_uint8(pictures) for pictures in made]
        names = [stage.name for stage in self.cascade.stages]
        return Made(list(rows), last, dict(zip(names, before)))


Originals = Callable[[Sequence[Wanted], int], np.ndarray]
"""Rows, side R -> the real picture of each, (n, R, R, 3) uint8."""


class Enlarged:
    """The super-resolution stages of a `release` alone: the real picture of each prompt (`originals`), made as small as their
    first one's input, enlarged again. What they lose or add is their own, and no base stage's."""

    partial = False

    def __init__(self, release: Release, originals: Originals) -> None:
        self.cascade, self.settings, self.batch_size = release.cascade, release.settings, release.batch_size
        self.originals = originals
        self.stages = [stage for stage in self.cascade.stages if stage.lowres]
        first = self.stages[0].lowres if self.stages else None
        if first is None:
            raise ValueError(
                f"generator=enlarge: {release.source['folder']} has a base stage alone; give a release with a super-resolution stage"
            )
        self.low = first.resolution
        self.source: dict[str, Any] = {
            **release.source,
            "kind": "enlarge",
            "lowres": f"real pictures at {self.low}",
        }
        self.sampling: dict[str, Any] | None = self.cascade.described(self.stages, **self.settings)

    def check(self, rows: Sequence[Wanted]) -> None:
        """See `Maker`."""
        self.originals(rows[:1], 8)

    def __call__(self, rows: Sequence[Wanted]) -> Made:
        """All of them, by every super-resolution stage; `Made.before` begins with their input, "lowres"."""
        prompts, seeds = [row.prompt for row in rows], [row.seed for row in rows]
        real = from_uint8(self.originals(rows, self.stages[-1].resolution))
        low = downsample(real, self.low)
        made = self.cascade.upscale(low, prompts, seeds, batch_size=self.batch_size, **self.settings)
        *before, last = [to_uint8(pictures) for pictures in [low, *made]]
        names = ["lowres", *(stage.name for stage in self.stages)]
        return Made(list(rows), last, dict(zip(names, before)))


class Real:
    """The real picture of each prompt (`originals`), `side` x `side`: what a metric says of these is the most that it can say of any
    system, and people compare with them. ValueError: no side."""

    partial = False

    def __init__(self, originals: Originals, side: int | None) -> None:
        if side is None:
            raise ValueError(
                "protocol.resolution=null: generator=real is to know how large; give protocol.resolution=64"
            )
        self.originals, self.side = originals, side
        self.source: dict[str, Any] = {"kind": "real", "resolution": side}
        self.sampling: dict[str, Any] | None = None

    def check(self, rows: Sequence[Wanted]) -> None:
        """See `Maker`."""
        self.originals(rows[:1], 8)

    def __call__(self, rows: Sequence[Wanted]) -> Made:
        """All of them."""
        return Made(list(rows), self.originals(rows, self.side), {})


class Images:
    """Pictures that any system made: a table (csv, tsv, jsonl: columns path, caption) or a folder of pictures with a .txt of the
    prompt beside each. The k-th picture of a prompt answers the k-th wanted of it. Where nothing says which picture is of which
    prompt (`named` is False), they are taken in the order of their names, 2 before 10, and must be as many as are wanted.

    `skip`: pictures that are not there, or cannot be read, are left out; else they are refused. `unread`: why some could not be.
    Who they are is their bytes: all are read once. ValueError: no such table or folder, or no pictures in it."""

    partial = True

    def __init__(self, where: Path, skip: bool = False) -> None:
        self.sampling: dict[str, Any] | None = None
        self.where, self.skip = where, skip
        try:
            self._data: Folder | Table = Folder(where) if where.is_dir() else Table(where)
        except ValueError as error:  # as sources they are source.path=
            raise ValueError(str(error).replace("source.path", "images")) from None
        rows = [(split, row) for split, total in self._data.splits.items() for row in range(total)]
        self.unread: list[str] = []
        self._places: dict[tuple[str, int], tuple[str, int]] = {}
        self._sizes: dict[tuple[str, int], tuple[tuple[int, int], str]] = {}
        counts: Counter[str] = Counter()
        content = hashlib.sha256()
        for place in rows:
            try:
                pair = self._data.pair(*place)
            except BadPair as error:
                self.unread.append(str(error))
                continue
            content.update(hashlib.sha256(pair.image).digest() + "\0".join(pair.captions).encode())
            self._sizes[place] = pair.size, pair.name
            for prompt in pair.captions:
                self._places[prompt, counts[prompt]] = place
                counts[prompt] += 1
        self.named = bool(self._places)
        if not self.named and isinstance(self._data, Folder):
            self.unread, found = [], []
            for place in rows:
                try:
                    pair = self._data.picture(*place)
                except BadPair as error:
                    self.unread.append(str(error))
                    continue
                self._sizes[place] = pair.size, pair.name
                found.append((natural(pair.name), place, hashlib.sha256(pair.image).digest()))
            for number, (_, place, of_bytes) in enumerate(sorted(found)):
                content.update(of_bytes)
                self._places["", number] = place
        self.source: dict[str, Any] = {
            "kind": "images",
            "folder": str(where),
            "sha256": content.hexdigest(),
            "pictures": len(set(self._places.values())),
            "of": "the prompts beside them"
            if self.named
            else "the prompts, in the order of the pictures' names",
        }

    def check(self, rows: Sequence[Wanted]) -> None:
        """See `Maker`."""
        if not self.named and len(self._places) != len(rows):
            raise ValueError(
                f"images={self.where}: {len(self._places)} pictures without a prompt beside them are taken in the order of their names, "
                f"and {len(rows)} are wanted: give as many, or put a .txt of its prompt beside each"
            )
        missing = [row for row in rows if self._place(row) is None]
        if missing and not (self.skip and len(missing) < len(rows)):
            unread = f" ({len(self.unread)} could not be read, first {self.unread[0]})" if self.unread else ""
            some = "; ".join(f"{row.prompt!r:.60}" for row in missing[:3]) + (
                "; ..." if len(missing) > 3 else ""
            )
            raise ValueError(
                f"images={self.where}: {len(missing)} of {len(rows)} pictures are missing{unread}: {some}; add them"
                + ("" if self.skip else ", or score those that are there with missing=skip")
            )
        places = [place for row in rows if (place := self._place(row)) is not None]
        sizes = {size: name for size, name in (self._sizes[place] for place in reversed(places))}
        if len(sizes) > 1:
            (b, second), (a, first) = list(sizes.items())[-2:]
            raise ValueError(
                f"images={self.where}: {printable(first)} is {a[0]} x {a[1]} and {printable(second)} {b[0]} x {b[1]}: a protocol compares "
                "pictures of one size; resize them first, all in the same way"
            )

    def _place(self, row: Wanted) -> tuple[str, int] | None:
        return self._places.get((row.prompt, row.number) if self.named else ("", row.index))

    def __call__(self, rows: Sequence[Wanted]) -> Made:
        """Those that are there. ValueError for one that cannot be read, unless `skip`."""
        found = []
        for row in rows:
            if (place := self._place(row)) is None:
                continue
            try:
                if isinstance(self._data, Folder) and not self.named:
                    pair = self._data.picture(*place)
                else:
                    pair = self._data.pair(*place)
                found.append((row, pair.name, np.asarray(decode(pair.image))))
            except BadPair as error:
                if not self.skip:
                    raise ValueError(
                        f"images={self.where}: {error}; mend it and give a new folder as out=, or leave it out with missing=skip"
                    ) from None
                self.unread.append(str(error))
        last = np.stack([array for _, _, array in found]) if found else np.zeros((0, 1, 1, 3), np.uint8)
        return Made([row for row, _, _ in found], last, {})


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts 2.png before 10.png."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


KEPT = (".json", ".txt", ".model", ".safetensors")  # what a pipeline is loaded from


class Diffusers:
    """A pipeline of the library `diffusers` in a local folder (an extra), such as Latent Diffusion's or DeepFloyd IF's: prompts and
    seeds in, pictures out. `guidance` and `steps`: its guidance_scale and num_inference_steps; None: its own."""

    partial = False

    def __init__(
        self,
        folder: Path,
        device: str = "cpu",
        guidance: float | None = None,
        steps: int | None = None,
        batch_size: int = 16,
    ) -> None:
        for name, value in (("guidance", guidance), ("steps", steps)):
            if isinstance(value, list):
                raise ValueError(f"{name}={value}: a pipeline of diffusers takes one value; give a number")
        if not (folder / "model_index.json").is_file():
            raise ValueError(
                f"pipeline={folder}: no model_index.json; give a folder that save_pretrained of a diffusers pipeline wrote"
            )
        try:
            import diffusers
        except ImportError:
            raise ValueError("generator=diffusers needs pip install 'imagen-cascade[diffusers]'") from None
        try:
            library: Any = diffusers
            pipeline = library.DiffusionPipeline.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            )
        except Exception as error:  # a folder of somebody else's fails anywhere
            words = " ".join(str(error).split())
            raise ValueError(f"pipeline={folder}: cannot be loaded ({printable(words, 150)})") from None
        self.pipeline: Any = pipeline.to(device)
        self.batch_size = batch_size
        self.pipeline.set_progress_bar_config(disable=True)
        taken = inspect.signature(self.pipeline.__call__).parameters
        given = {"guidance_scale": guidance, "num_inference_steps": steps}
        self.how = {name: value for name, value in given.items() if value is not None}
        if unknown := [name for name in ("prompt", "generator", *self.how) if name not in taken]:
            raise ValueError(
                f"pipeline={folder}: {type(self.pipeline).__name__} takes no {', '.join(unknown)}; give a text-to-image pipeline"
            )
        self.source: dict[str, Any] = {
            "kind": "diffusers",
            "folder": str(folder),
            "sha256": fingerprint([p for p in sorted(folder.rglob("*")) if p.suffix in KEPT and p.is_file()]),
            "pipeline": type(self.pipeline).__name__,
        }
        self.sampling: dict[str, Any] | None = {"pipeline": dict(self.how)}

    def check(self, rows: Sequence[Wanted]) -> None:
        """See `Maker`."""

    @torch.no_grad()
    def __call__(self, rows: Sequence[Wanted]) -> Made:
        """All of them; each has a generator of its own seed."""
        made = []
        for start in range(0, len(rows), self.batch_size):
            part = rows[start : start + self.batch_size]
            generators = [torch.Generator("cpu").manual_seed(row.seed) for row in part]
            out = self.pipeline(
                prompt=[row.prompt for row in part], generator=generators, output_type="np", **self.how
            )
            made.append(_to_uint8(torch.from_numpy(np.asarray(out.images))))
        return Made(list(rows), np.concatenate(made), {})


def _to_uint8(pictures: Tensor) -> np.ndarray:
    """(B, H, W, 3) in [0, 1] -> uint8; ValueError for what is no number."""
    if not bool(pictures.isfinite().all()):
        raise ValueError("a picture has values that are no numbers (NaN); the pipeline is broken")
    return (pictures.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
