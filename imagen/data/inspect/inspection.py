"""What is in a data set, in numbers, before it is trained on."""

import os
import random
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from imagen.data.index import read_index
from imagen.data.inspect.sampled import PARTS, Seen, Split, opened, read
from imagen.data.inspect.wording import described, share, wording
from imagen.data.remote import Cache
from imagen.files import printable
from imagen.text import Embeddings, Key, embedding_keys

SIDES = (0, 64, 128, 256, 384, 512, 768, 1024, 2048)
ASPECTS = (1, 1.1, 1.25, 1.4, 1.6, 2, 3)  # long side over short side
CAPTIONS = (0, 1, 2, 3, 4, 5, 6, 10)
TOKENS = (0, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128)
RESOLUTIONS = (64, 256, 1024)  # of the paper's stages
NAMED = 3  # examples of a kind


@dataclass(frozen=True)
class Inspection:
    """`report`: plain values, as inspect.json has them. `splits`: what they were made of."""

    report: dict[str, Any]
    splits: list[Split]

    def some(self, count: int, seed: int) -> list[tuple[Split, Seen]]:
        """Up to `count` usable pairs of those that were read, drawn by `seed`; in the order of the data set."""
        all_seen = [(split, seen) for split in self.splits for seen in split.seen]
        chosen = random.Random(f"{seed} sheet").sample(range(len(all_seen)), min(count, len(all_seen)))
        return [all_seen[i] for i in sorted(chosen)]


def inspect(
    where: str | Path,
    resolution: int = 64,
    samples: int = 2000,
    seed: int = 0,
    option: str = "data",
    cache: Cache | None = None,
) -> Inspection:
    """Looks at a folder that imagen-prepare wrote, all its splits, or at the tars of a pattern; what lies at addresses is
    read by way of `cache`. What the index does not
    say is told of `samples` pairs drawn by `seed`, each split's share of them at least a quarter of an equal one;
    `resolution`: what pictures are decoded for.

    What is wrong with a split or its pairs goes into the report. ValueError, naming `option`, when there are no splits
    to look at."""
    splits = opened(str(where), option, cache)
    read(splits, resolution, samples, seed)
    train_first = sorted(splits, key=lambda split: split.name != "train")
    report = {
        "data": printable(where, 1000),
        "folder": os.path.isdir(where),
        "resolution": resolution,
        "seed": seed,
        "pairs": sum(split.pairs for split in splits),
        "read": sum(split.read for split in splits),
        "splits": {split.name: _described(split, resolution) for split in splits},
        "left_out": _left_out(Path(where)) if os.path.isdir(where) else {},
        "across": [found for pair in combinations(train_first, 2) if (found := _across(*pair))["pairs"]],
        "embeddings": _embeddings(splits),
        "speed": _speed(splits),
    }
    return Inspection(report, splits)


def _left_out(folder: Path) -> dict[str, Any]:
    """What prepare left out: kind -> {"pairs", "examples"}."""
    index = read_index(folder)
    examples = index.get("examples", {})
    return {
        printable(kind): {"pairs": count, "examples": [printable(e) for e in examples.get(kind, [])[:NAMED]]}
        for kind, count in index["left_out"].items()
    }


def _described(split: Split, resolution: int) -> dict[str, Any]:
    """A split as plain values."""
    width, height = split.sizes.T if len(split.sizes) else np.zeros((2, 0))
    short, n = np.minimum(width, height), len(split.sizes)
    kinds: dict[str, int] = {}
    for seen in split.seen:
        kinds[seen.kind] = kinds.get(seen.kind, 0) + 1
    shards = np.array([shard.samples for shard in split.shards])
    thumbs = np.array([seen.thumb for seen in split.seen])
    below = sorted({*RESOLUTIONS, resolution})
    return {
        "error": split.error,
        "pairs": split.pairs,
        "captions": split.captions,
        "bytes": split.bytes,
        "shards": {"count": len(shards), "median_pairs": float(np.median(shards)) if len(shards) else 0.0},
        "read": split.read,
        "indexed": split.indexed,
        "short_side": described(short, SIDES),
        "below": {str(side): share(int((short < side).sum()), n) for side in below},
        "aspect": described(np.maximum(width, height) / np.maximum(short, 1), ASPECTS),
        "shapes": {
            "portrait": share(int((height > width).sum()), n),
            "square": share(int((height == width).sum()), n),
            "landscape": share(int((height < width).sum()), n),
        },
        "kinds": kinds,
        "captions_a_picture": described(split.counts, CAPTIONS),
        "wording": wording([caption for seen in split.seen for caption in seen.captions]),
        "one_colour": {
            "share": share(sum(seen.flat for seen in split.seen), len(split.seen)),
            "examples": [printable(seen.key) for seen in split.seen if seen.flat][:NAMED],
        },
        # how far pictures lie apart, of 255: the standard deviation over the pictures of each pixel of their thumbs
        "variety": round(float(thumbs.std(0).mean()), 2) if len(thumbs) > 1 else None,
        "duplicates": _duplicates(split),
        "bad": {
            printable(kind): {"pairs": len(found), "examples": found[:NAMED]}
            for kind, found in split.bad.items()
        },
    }


def _duplicates(split: Split) -> dict[str, Any]:
    """Pictures that are an earlier one, byte for byte."""
    values, counts = np.unique(split.digests, return_counts=True)
    again = values[counts > 1][:NAMED]
    examples = [
        [split.name_of(i) for i in np.flatnonzero(split.digests == value)[:NAMED].tolist()] for value in again
    ]
    return {"pairs": len(split.digests) - len(values), "examples": examples}


def _across(a: Split, b: Split) -> dict[str, Any]:
    """Pictures of split `b` that `a` has too."""
    common = np.isin(b.digests, a.digests)
    examples = [
        [a.name_of(int(np.flatnonzero(a.digests == b.digests[i])[0])), b.name_of(i)]
        for i in np.flatnonzero(common)[:NAMED].tolist()
    ]
    return {"splits": [a.name, b.name], "pairs": int(common.sum()), "examples": examples}


def _embeddings(splits: list[Split]) -> list[dict[str, Any]]:
    """Each encoder's cache: which shards it has, and one caption of each pair that was read looked up in it."""
    found = []
    folders = {s.folder for split in splits for s in split.shards if isinstance(s.folder, Path)}
    for folder in sorted(folders):
        try:
            keys = embedding_keys(folder)
        except ValueError as error:
            found.append({"name": printable(folder), "error": printable(error, 1000)})
            continue
        found += [_cache(path, key, splits) for path, key in keys.items()]
    return found


def _cache(path: Path, key: Key, splits: list[Split]) -> dict[str, Any]:
    cache, missing, lengths, errors = Embeddings(path, key), [], [], []
    for split in splits:
        there: dict[int, bool] = {}
        for number, shard in enumerate(split.shards):
            try:
                there[number] = bool(cache.path(shard.name))
            except ValueError:
                missing.append(printable(shard.name))
        opened: Any = (-1, None)
        for seen in split.seen:
            if not there.get(seen.shard):
                continue
            shard, which = split.shards[seen.shard], seen.row % len(seen.captions)
            try:
                if opened[0] != seen.shard:
                    opened = (seen.shard, cache(shard.name))
                tokens = opened[1].of(shard.first_caption(seen.row) + which, seen.captions[which])
                if not tokens.isfinite().all():
                    raise ValueError(f"{cache.path(shard.name)} has values that are NaN or infinite")
                lengths.append(len(tokens))
            except ValueError as error:
                there[seen.shard] = False  # one word of each shard is enough
                errors.append(printable(error, 1000))
    captions, most = sum(split.captions for split in splits), number_of(key, "max_length")
    size = sum(file.stat().st_size for file in path.glob("*.safetensors"))
    return {
        "name": printable(path.name),
        "encoder": {str(k): printable(v) for k, v in key.items()},
        "max_length": most,
        "bytes": size,
        "padded": round(captions * most * number_of(key, "dim") * 4 / size, 1) if size else None,
        "tokens": described(lengths, TOKENS),
        "cut": share(sum(length >= most > 0 for length in lengths), len(lengths)),
        "shards": sum(len(split.shards) for split in splits),
        "missing": {"shards": len(missing), "examples": missing[:NAMED]},
        "errors": {"shards": len(errors), "examples": errors[:NAMED]},
    }


def _speed(splits: list[Split]) -> dict[str, Any] | None:
    """Of one process: pairs and megabytes of picture files a second, and the share of time of each part."""
    seconds = {part: sum(split.seconds[part] for split in splits) for part in PARTS}
    total, pairs = sum(seconds.values()), sum(len(split.seen) for split in splits)
    if not pairs or not total:
        return None
    size = sum(seen.bytes for split in splits for seen in split.seen)
    return {
        "pairs_a_second": round(pairs / total, 1),
        "megabytes_a_second": round(size / total / 1e6, 2),
        "shares": {part: share(seconds[part], total) for part in PARTS},
    }


def number_of(key: Key, name: str) -> int:
    """An entry of an encoder's key; 0 if the key, a file that anybody may have edited, does not say."""
    value = key.get(name, 0)
    return value if type(value) is int else 0
