"""Pictures of an evaluation, kept as WebDataset shards of fixed blocks: what a killed program made is there, and any number of
processes share out the rest.

    OUT/pictures/000000.tar   pictures 0 to 63: KEY.png of the last stage, KEY.NAME.png of those before, KEY.json
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from imagen.data.pictures import png
from imagen.evaluation.protocols.wanted import Wanted

MOST = 1 << 28  # bytes of a member


@dataclass(frozen=True)
class Made:
    """Pictures of one block: `last` (n, R, R, 3) uint8, and {stage: (n, r, r, 3)} of the stages before it. `rows`: what each is;
    what could not be had is not among them."""

    rows: list[Wanted]
    last: np.ndarray
    before: Mapping[str, np.ndarray]


class Blocks:
    """The folder of blocks of `size` pictures each of `wanted`, in order. `partial`: whether a block may have fewer than it is to
    have; else a shard that was cut is told by that."""

    def __init__(self, folder: Path, wanted: Sequence[Wanted], size: int, partial: bool = False) -> None:
        if size < 1:
            raise ValueError(f"block={size}: must be at least 1")
        self.folder, self.wanted, self.size, self.partial = folder, wanted, size, partial

    def __len__(self) -> int:
        return -(-len(self.wanted) // self.size)

    def rows(self, block: int) -> Sequence[Wanted]:
        """What block number `block` is to have."""
        return self.wanted[block * self.size : (block + 1) * self.size]

    def path(self, block: int) -> Path:
        """Its shard."""
        return self.folder / f"{block:06d}.tar"

    def has(self, block: int) -> bool:
        """Whether it is there; what is there is whole."""
        return self.path(block).is_file()

    def write(self, block: int, made: Made) -> None:
        """All of it or nothing; the same pictures give the same bytes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.path(block)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with tarfile.open(beside, "w", format=tarfile.USTAR_FORMAT) as tar:
                for i, row in enumerate(made.rows):
                    for name, pictures in made.before.items():
                        _add(tar, f"{row.key}.{name}.png", png(pictures[i]))
                    _add(tar, f"{row.key}.png", png(made.last[i]))
                    _add(tar, f"{row.key}.json", json.dumps(asdict(row), ensure_ascii=False).encode())
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)

    def read(self, block: int) -> Made:
        """ValueError when the shard is damaged or is of other pictures."""
        path = self.path(block)
        rows = {row.key: row for row in self.rows(block)}
        found: dict[str, dict[str, np.ndarray]] = {}
        try:
            with tarfile.open(path) as tar:
                for member in tar:
                    key, _, kind = member.name.partition(".")
                    if key not in rows or not member.isfile() or member.size > MOST:
                        raise ValueError(f"{member.name!r:.80} is none of its members")
                    content = tar.extractfile(member)
                    assert content
                    if kind == "json":
                        if json.loads(content.read()) != json.loads(json.dumps(asdict(rows[key]))):
                            raise ValueError(f"{key} is of another prompt or seed")
                    else:
                        picture = Image.open(io.BytesIO(content.read()), formats=["PNG"])
                        name = kind.removesuffix("png").removesuffix(".")
                        found.setdefault(name, {})[key] = np.asarray(picture.convert("RGB"))
            last = found.pop("", {})
            if any(pictures.keys() != last.keys() for pictures in found.values()):
                raise ValueError("stages have other pictures than the last one")
            there = [row for key, row in rows.items() if key in last]
            if len(there) < len(rows) and not self.partial:
                raise ValueError(f"{len(there)} of its {len(rows)} pictures")
            stacked = {
                name: np.stack([pictures[r.key] for r in there])
                if there
                else np.zeros((0, 1, 1, 3), np.uint8)
                for name, pictures in {"": last, **found}.items()
            }
        except (OSError, ValueError, RecursionError, tarfile.TarError, Image.DecompressionBombError) as error:
            raise ValueError(
                f"{path}: damaged ({' '.join(str(error).split()):.120}); delete it, and the same command makes it again"
            ) from None
        return Made(there, stacked.pop(""), stacked)

    def every(self) -> Iterator[Made]:
        """All blocks, one after another."""
        for block in range(len(self)):
            yield self.read(block)


def digest(pictures: Iterator[np.ndarray]) -> str:
    """sha256 over pictures (H, W, 3), in order: of their pixels and sizes."""
    found = hashlib.sha256()
    for picture in pictures:
        found.update(repr(picture.shape).encode() + hashlib.sha256(picture.tobytes()).digest())
    return found.hexdigest()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    tar.addfile(info, io.BytesIO(data))
