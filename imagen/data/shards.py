"""Shards on disk: WebDataset tars, and what must be known of a tar to read any of its pairs without reading
the rest.

FOLDER/train-000000.tar          KEY.png or KEY.jpg, KEY.txt (the first caption), KEY.json ({"captions": all,
...}) FOLDER/index/train-000000.json   where each pair lies in the tar, how many captions it has, what was
left out FOLDER/index.json                every split with its shards: pairs, captions, bytes, sha256; written
last FOLDER/text/ENCODER/...          embeddings of the captions (imagen.text.cache)"""

import glob
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import braceexpand
import numpy as np
from webdataset.tariterators import base_plus_ext, group_by_keys, tar_file_expander

from imagen.data.pictures import EXTENSIONS
from imagen.data.sources.source import BadPair

WORDS = ("txt", "json")


@dataclass(frozen=True)
class Entry:
    """A pair of a tar: its members lie in the bytes [start, end) of the file."""

    key: str
    start: int
    end: int
    captions: tuple[str, ...]


class Shard:
    """A tar of `samples` pairs (counted when None), read by its index, which is opened when first needed."""

    def __init__(self, path: Path, samples: int | None = None) -> None:
        self.path, self.name = path, path.name
        self.samples = len(self.bounds) - 1 if samples is None else samples

    @cached_property
    def _index(self) -> tuple[np.ndarray, np.ndarray]:
        beside = self.path.parent / "index" / f"{self.path.stem}.json"
        if beside.exists():
            index = json.loads(beside.read_text())
            return np.array(index["bounds"]), np.array(index["first_caption"])
        return bounds_of(list(scan(self.path)))

    @property
    def bounds(self) -> np.ndarray:
        """(samples + 1,) int64: pair i lies in the bytes bounds[i] to bounds[i + 1] of the tar."""
        return self._index[0]

    @property
    def first_caption(self) -> np.ndarray:
        """(samples + 1,) int64: pair i has the shard's captions first_caption[i] to first_caption[i + 1]."""
        return self._index[1]

    def read(self, row: int) -> dict[str, Any]:
        """Pair `row` as WebDataset has it: {"__key__": ..., "png": bytes, "txt": bytes, "json": bytes}.
        BadPair when the tar is broken there."""
        start, end = int(self.bounds[row]), int(self.bounds[row + 1])
        with self.path.open("rb", buffering=0) as file:
            file.seek(start)
            data = file.read(end - start)
        try:
            return next(
                group_by_keys(tar_file_expander([{"url": str(self.path), "stream": io.BytesIO(data)}]))
            )
        except (tarfile.TarError, StopIteration) as error:
            raise BadPair("broken tar", f"{self.path} at byte {start}: {error}") from error


def split_of(where: str | Path, split: str, option: str) -> list[Shard]:
    """The shards of a split, in order; those without a pair are left out.

    `where`: a folder that imagen-prepare wrote, or a pattern of tars ("F/train-*.tar",
    "F/{000000..000009}.tar"), which is a split in itself. ValueError, naming `option`, when there are none or
    one is missing or cut short."""
    folder = Path(where)
    if folder.is_dir():
        shards = list(_indexed(folder, split, option))
    else:
        paths = [path for part in braceexpand.braceexpand(str(where)) for path in sorted(glob.glob(part))]
        shards = [Shard(Path(path)) for path in paths]
    shards = [shard for shard in shards if shard.samples]
    if not shards:
        raise ValueError(
            f"{option}={where} matches no shards: give a folder written by imagen-prepare, or a pattern such "
            "as FOLDER/train-*.tar"
        )
    return shards


def _indexed(folder: Path, split: str, option: str) -> Iterator[Shard]:
    if not (folder / "index.json").exists():
        raise ValueError(
            f"{option}={folder} has no index.json: write it with imagen-prepare out={folder} (again, if that "
            "was interrupted: it goes on), or give a pattern such as FOLDER/train-*.tar"
        )
    splits = json.loads((folder / "index.json").read_text())["splits"]
    if split not in splits:
        raise ValueError(f"{option}={folder} has no split {split!r}; it has {', '.join(splits)}")
    for entry in splits[split]["shards"]:
        path = folder / entry["name"]
        size = path.stat().st_size if path.is_file() else 0
        if size != entry["bytes"]:
            raise ValueError(
                f"{option}={folder}: {path.name} has {size} bytes, {entry['bytes']} in index.json: copy it "
                f"again, or delete it with index/{path.stem}.json and index.json, and prepare again"
            )
        yield Shard(path, entry["samples"])


def scan(path: Path) -> Iterator[Entry]:
    """The pairs of a tar, in order, by its headers; pictures are not read. The members of a pair follow one
    another."""
    key, start, end, words = "", 0, 0, {}
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            name, extension = base_plus_ext(member.name)
            if not member.isreg() or name is None:
                continue
            if name != key:
                if key:
                    yield Entry(key, start, member.offset, captions_of(words))
                key, start, words = name, member.offset, {}
            end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            if extension in WORDS and (file := tar.extractfile(member)):
                words[extension] = file.read()
        if key:
            yield Entry(key, start, end, captions_of(words))


def bounds_of(entries: list[Entry]) -> tuple[np.ndarray, np.ndarray]:
    """(n + 1,) byte bounds and (n + 1,) caption numbers of a tar's n pairs: see `Shard`."""
    bounds = [entry.start for entry in entries] + [
        entry.end for entry in entries[-1:] or [Entry("", 0, 0, ())]
    ]
    return np.array(bounds), np.cumsum([0, *(len(entry.captions) for entry in entries)])


def captions_of(sample: dict[str, Any]) -> tuple[str, ...]:
    """All captions of a pair: "captions" of its json when there is such a list, else its txt, else "caption"
    of its json. Blank ones count too, as embeddings are found by their number. () when it has none or they
    are not text."""
    try:
        fields = json.loads(sample.get("json") or b"{}")
        if isinstance(fields, dict) and isinstance(fields.get("captions"), list):
            return tuple(map(str, fields["captions"]))
        if "txt" in sample:
            return (sample["txt"].decode(),)
        return (str(fields["caption"]),) if isinstance(fields, dict) and fields.get("caption") else ()
    except ValueError:
        return ()


def picture_of(sample: dict[str, Any]) -> bytes:
    """The bytes of a pair's picture; BadPair when it has none."""
    for extension in EXTENSIONS:
        if extension in sample:
            return sample[extension]
    raise BadPair(
        "missing image", f"{sample['__key__']} has only {', '.join(k for k in sample if k[0] != '_')}"
    )
