"""One evaluation: its pictures made and measured, block by block, by any number of processes; then its numbers, by one."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imagen.evaluation.metrics.features import Extractor
from imagen.evaluation.protocols.blocks import Blocks, Made, digest
from imagen.evaluation.protocols.makers import Maker
from imagen.evaluation.protocols.protocol import Reference
from imagen.evaluation.protocols.ranks import Rank, wait_until
from imagen.evaluation.protocols.scoring import Scorer, features_of, read_features, scored, scores_of
from imagen.evaluation.protocols.wanted import Wanted
from imagen.files import read_json, write_text
from imagen.memory import memory_gb

Tell = Callable[[str, int, int], None]
"""What is done, how many of it are there, of how many."""


@dataclass(frozen=True)
class Parts:
    """What measures pictures: `scorers` each by itself; `extractors` {name: network} for the measures of all of them."""

    scorers: Sequence[Scorer]
    extractors: Mapping[str, Extractor]


@dataclass(frozen=True)
class Collected:
    """All of an evaluation. `pictures`: {"count", "resolution", "sha256"}; `missing`: keys of those that could not be had; `scores`:
    {key: scores}, in order; `features`: {extractor: (of the pictures (n, D), of the reference (m, D) or None)}."""

    pictures: dict[str, Any]
    missing: list[str]
    scores: dict[str, dict[str, float | None]]
    features: dict[str, tuple[Tensor, Tensor | None]]


class Evaluation:
    """The folder of one. `wanted`: the pictures, in blocks of `size`, of which some may be missing if `partial`; `reference`: what they
    are compared with at `resolution` (None: the pictures' own), whose features lie in `shared`, for other evaluations too."""

    def __init__(
        self,
        folder: Path,
        wanted: Sequence[Wanted],
        size: int,
        reference: Reference | None,
        resolution: int | None,
        shared: Path,
        partial: bool = False,
    ) -> None:
        self.folder, self.reference, self.resolution, self.shared = folder, reference, resolution, shared
        self.blocks = Blocks(folder / "pictures", wanted, size, partial)
        self.size = size
        self._side: int | None = None
        self._scored: set[int] = set()

    def make_block(self, rank: Rank, block: int, maker: Maker, tell: Tell) -> None:
        """The pictures of a block, unless they are there."""
        if not self.blocks.has(block):
            began = time.perf_counter()
            made = maker(self.blocks.rows(block))
            cost = {"pictures": len(made.rows), "seconds": round(time.perf_counter() - began, 4)}
            cost |= {"memory_gb": round(memory_gb(torch.device(rank.device)), 3), "device": rank.device}
            write_text(self._cost(block), json.dumps(cost))
            self.blocks.write(block, made)
        tell("pictures", self._there(), len(self.blocks.wanted))

    def measure(self, rank: Rank, parts: Parts, tell: Tell) -> None:
        """This process' share of scores and features: of the blocks that it made, and of the reference."""
        for block in rank.share(len(self.blocks)):
            made = self.blocks.read(block)
            scores_of(self._scores(block), made, parts.scorers)
            for name, extractor in parts.extractors.items():
                features_of(self._features(name, block), made.last, extractor)
            tell("measured", (block + 1) * self.size, len(self.blocks.wanted))
        for block in rank.share(self.reference_blocks if parts.extractors else 0):
            self._of_reference(block, parts)
            tell("real pictures", (block + 1) * self.size, len(self.reference or ()))

    def finished(self, parts: Parts) -> bool:
        """Whether all processes have done their shares."""
        if not all(map(self.blocks.has, range(len(self.blocks)))):
            return False
        for block in range(len(self.blocks)):
            # those of an earlier evaluation, by other scorers, are there and are none of these
            if block not in self._scored:
                if not scored(self._scores(block), parts.scorers):
                    return False
                self._scored.add(block)
        blocks, real = range(len(self.blocks)), range(self.reference_blocks)
        made = all(self._features(name, block).is_file() for name in parts.extractors for block in blocks)
        return made and all(self._real(name, block).is_file() for name in parts.extractors for block in real)

    @property
    def reference_blocks(self) -> int:
        """How many blocks of real pictures there are."""
        return 0 if self.reference is None else -(-len(self.reference) // self.size)

    def wait(self, parts: Parts, tell: Tell) -> None:
        """For other processes, until all is there."""

        def told() -> int:
            tell("pictures", self._there(), len(self.blocks.wanted))
            return sum(1 for _ in self.folder.rglob("0*.*"))

        wait_until(lambda: self.finished(parts), told)

    def collected(self, parts: Parts) -> Collected:
        """Once all is there: in one pass over the blocks, what lacks is computed. ValueError for pictures of several sizes."""
        there: list[str] = []
        scores: dict[str, dict[str, float | None]] = {}
        made: dict[str, list[Tensor]] = {name: [] for name in parts.extractors}
        sides: set[int] = set()

        def each() -> Iterator[np.ndarray]:
            for block, pictures in enumerate(self.blocks.every()):
                there.extend(row.key for row in pictures.rows)
                scores.update(scores_of(self._scores(block), pictures, parts.scorers))
                if pictures.rows:
                    sides.add(self._square(pictures))
                    for name, extractor in parts.extractors.items():
                        path = self._features(name, block)
                        made[name].append(features_of(path, pictures.last, extractor))
                yield from pictures.last

        found = digest(each())
        if len(sides) > 1:
            raise ValueError(
                f"the pictures are of several sizes ({', '.join(f'{side} x {side}' for side in sorted(sides))}): a protocol compares "
                "pictures of one; resize them first, all in the same way"
            )
        features: dict[str, tuple[Tensor, Tensor | None]] = {}
        if there and parts.extractors:
            real = [self._of_reference(block, parts) for block in range(self.reference_blocks)]
            for name, of in made.items():
                features[name] = torch.cat(of), torch.cat([part[name] for part in real]) if real else None
        known = {"count": len(there), "resolution": max(sides, default=0), "sha256": found}
        missing = sorted({row.key for row in self.blocks.wanted} - set(there))
        return Collected(known, missing, scores, features)

    def _square(self, made: Made) -> int:
        """The side of a block's pictures. ValueError when they are not of the size that the protocol compares at."""
        height, width = made.last.shape[1:3]
        if height != width:
            raise ValueError(
                f"the pictures are {width} x {height}: a protocol compares squares; crop them first, all in the same way"
            )
        if self.resolution and height != self.resolution:
            raise ValueError(refused_size(height, self.resolution))
        return height

    @property
    def side(self) -> int:
        """Of the pictures, in pixels. ValueError when they are not of the size that the protocol compares at."""
        while self._side is None:
            there = [block for block in range(len(self.blocks)) if self.blocks.has(block)]
            sides = (self._square(made) for made in map(self.blocks.read, there) if made.rows)
            found = next(sides, None)
            if found or len(there) == len(self.blocks):
                self._side = found or 0
            else:
                time.sleep(0.2)  # other processes make the first ones
        return self._side

    def _of_reference(self, block: int, parts: Parts) -> dict[str, Tensor]:
        assert self.reference is not None
        start, stop = block * self.size, min((block + 1) * self.size, len(self.reference))
        found: dict[str, Tensor] = {}
        pictures: np.ndarray | None = None
        content = self.reference.content(start, stop)
        for name, extractor in parts.extractors.items():
            identity = {
                "reference": json.dumps(
                    [self.reference.identity, start, stop, self.side, content], sort_keys=True
                ),
                "extractor": json.dumps(extractor.key, sort_keys=True),
            }
            path = self._real(name, block)
            if (there := read_features(path, identity)) is None:
                if pictures is None:
                    pictures = self.reference.pictures(start, stop, self.side)
                there = features_of(path, pictures, extractor, identity=identity)
            found[name] = there
        return found

    def cost(self) -> dict[str, Any]:
        """{"images_per_second" of one process, "seconds" of all, "memory_gb" at most, "device"} of making the pictures."""
        found = [cost for block in range(len(self.blocks)) if (cost := _cost_of(self._cost(block)))]
        seconds = sum(cost["seconds"] for cost in found)
        rate = sum(cost["pictures"] for cost in found) / seconds if seconds else None
        return {
            "images_per_second": rate and round(rate, 3),
            "seconds": round(seconds, 3),
            "memory_gb": max((cost["memory_gb"] for cost in found), default=None),
            "device": ", ".join(sorted({str(cost["device"]) for cost in found})),
        }

    def _cost(self, block: int) -> Path:
        return self.folder / "cost" / f"{block:06d}.json"

    def _there(self) -> int:
        return sum(len(self.blocks.rows(b)) for b in range(len(self.blocks)) if self.blocks.has(b))

    def _scores(self, block: int) -> Path:
        return self.folder / "scores" / f"{block:06d}.json"

    def _features(self, name: str, block: int) -> Path:
        return self.folder / "features" / name / f"{block:06d}.safetensors"

    def _real(self, name: str, block: int) -> Path:
        return self.shared / name / f"{block:06d}.safetensors"


def _cost_of(path: Path) -> dict[str, Any] | None:
    """A note of what a block cost, which no number depends on: None where it cannot be read."""
    try:
        found = read_json(path, "")
    except (OSError, ValueError):
        return None
    numbers = (found.get(name) for name in ("pictures", "seconds", "memory_gb"))
    return found if all(isinstance(value, int | float) for value in numbers) else None


def refused_size(side: int, resolution: int) -> str:
    """What to say of pictures of `side` where `resolution` is asked for."""
    return (
        f"the pictures are {side} x {side}, and the protocol compares at {resolution} x {resolution}: give pictures of that size, or "
        f"protocol.resolution={side}, which is another protocol"
    )


def write_table(
    path: Path, wanted: Sequence[Wanted], scores: Mapping[str, Mapping[str, float | None]]
) -> None:
    """per_prompt.jsonl: a line a picture that is there."""
    lines = [
        json.dumps(
            {
                "index": row.index,
                "prompt": row.prompt,
                "category": row.category,
                "seed": row.seed,
                "key": row.key,
                "scores": scores[row.key],
            },
            ensure_ascii=False,
        )
        for row in wanted
        if row.key in scores
    ]
    write_text(path, "\n".join(lines) + "\n")
