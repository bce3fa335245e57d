"""A source -> a folder of shards with their embeddings; killed anywhere, the same call again goes on."""

import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from tqdm import tqdm
from webdataset.writer import TarWriter

from imagen.data.shards import bounds_of, scan
from imagen.data.sources.source import BadPair, Pair, Source
from imagen.progress import bar
from imagen.text import TextEncoder, open_embeddings, write_embeddings

Index = dict[str, Any]


def write_shards(source: Source, folder: str | Path, shard_size: int = 2000, max_bad: float = 0.1) -> Index:
    """Writes every split of `source` as shards of `shard_size` rows each (imagen.data.shards says what the
    folder holds); returns the index, at once when the folder is finished.

    The same source gives the same bytes. Pairs that cannot be used are left out and counted; ValueError once
    they are more than `max_bad` of all rows, when none is left, or when `folder` holds anything else, named
    by the key that differs."""
    folder = Path(folder)
    _claim(folder, {**source.identity, "shard_size": shard_size})
    if (folder / "index.json").exists():
        return json.loads((folder / "index.json").read_text())
    splits: dict[str, list[Index]] = {}
    skipped: list[Index] = []
    total = sum(source.splits.values())
    with bar(total=total, desc="pairs", unit="pair") as pairs:
        for split, count in source.splits.items():
            for start in range(0, count, shard_size):
                name, rows = (
                    f"{split}-{start // shard_size:06d}",
                    range(start, min(start + shard_size, count)),
                )
                shard = _written(folder, name, pairs, rows) or _write(
                    source, split, rows, folder, name, pairs
                )
                skipped += shard["skipped"]
                splits.setdefault(split, []).append(shard)
                if len(skipped) > max_bad * total:
                    raise ValueError(f"{_told(skipped, pairs.n)}: more than max_bad={max_bad} of all {total}")
    if len(skipped) == total:
        raise ValueError(f"{_told(skipped, total)}: nothing is left to train on")
    index = {
        "settings": {**source.identity, "shard_size": shard_size},
        "splits": {split: _summary(shards) for split, shards in splits.items()},
        "skipped": dict(Counter(bad["kind"] for bad in skipped)),
    }
    _replace(folder / "index.json", index, indent=1)
    return index


def write_all_embeddings(folder: str | Path, encoder: TextEncoder) -> int:
    """Embeds all captions of a folder of shards with a frozen encoder, beside the shards, which stay as they
    are; another encoder's embeddings too. Returns the number of captions; at once when all are there."""
    folder = Path(folder)
    splits = json.loads((folder / "index.json").read_text())["splits"]
    shards = [shard for split in splits.values() for shard in split["shards"] if shard["captions"]]
    with bar(total=sum(s["captions"] for s in shards), desc="embeddings", unit="caption") as captions_done:
        for shard in shards:
            if _embedded(folder, shard["name"], encoder):
                captions_done.update(shard["captions"])
                continue
            captions = [caption for entry in scan(folder / shard["name"]) for caption in entry.captions]
            write_embeddings(folder, shard["name"], captions, encoder, captions_done.update)
        return int(captions_done.n)


def described(folder: str | Path, index: Index) -> str:
    """An index in words, for people: a line a split, and what was left out."""
    lines = []
    for split, sums in index["splits"].items():
        size = f"{sums['bytes'] / 1e6:.1f} MB in {len(sums['shards'])} shards"
        lines.append(f"{folder}: {split} {sums['samples']} pairs, {sums['captions']} captions, {size}")
    if index["skipped"]:
        kinds = ", ".join(f"{kind} {n}" for kind, n in index["skipped"].items())
        lines.append(f"{folder}: left out {kinds}; which ones: {Path(folder) / 'index'}")
    return "\n".join(lines)


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    settings = json.loads(json.dumps(settings))
    path = folder / "settings.json"
    if path.exists():
        there = json.loads(path.read_text())
        unlike = [k for k in {**there, **settings} if there.get(k) != settings.get(k)]
        if unlike:
            named = "; ".join(f"{k} is {there.get(k)} there, {settings.get(k)} here" for k in unlike)
            raise ValueError(
                f"out={folder} holds shards of other settings ({named}): choose another out=, or delete it"
            )
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"out={folder} is there and holds no shards of ours: choose another out=")
    folder.mkdir(parents=True, exist_ok=True)
    _replace(path, settings, indent=1)


def _written(folder: Path, name: str, pairs: tqdm, rows: range) -> Index | None:
    path = folder / "index" / f"{name}.json"
    if not path.exists():
        return None
    pairs.update(len(rows))
    return json.loads(path.read_text())


def _write(source: Source, split: str, rows: range, folder: Path, name: str, pairs: tqdm) -> Index:
    tar, aside = folder / f"{name}.tar", folder / f".{name}.tar.part"
    skipped: list[Index] = []
    # a fixed time and owner: the same pairs make the same bytes
    with aside.open("wb") as file, TarWriter(file, encoder=False, mtime=0, compress=False) as writer:
        for row in rows:
            try:
                writer.write(_members(source.pair(split, row), f"{split}-{row:08d}"))
            except BadPair as bad:
                skipped.append({"row": row, "kind": bad.kind, "reason": str(bad)})
            pairs.update()
    entries = list(scan(aside))
    bounds, first_caption = bounds_of(entries)
    with aside.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    index = {
        "name": tar.name,
        "rows": [rows.start, rows.stop],
        "samples": len(entries),
        "captions": int(first_caption[-1]),
        "bytes": aside.stat().st_size,
        "sha256": sha256,
        "skipped": skipped,
        "bounds": bounds.tolist(),
        "first_caption": first_caption.tolist(),
    }
    os.replace(aside, tar)
    (folder / "index").mkdir(exist_ok=True)
    _replace(folder / "index" / f"{name}.json", index)  # last: a shard without its index is not finished
    return index


def _members(pair: Pair, key: str) -> dict[str, Any]:
    fields = json.dumps({**pair.fields, "captions": pair.captions}, ensure_ascii=False)
    return {
        "__key__": key,
        pair.extension: pair.image,
        "txt": pair.captions[0].encode(),
        "json": fields.encode(),
    }


def _summary(shards: list[Index]) -> Index:
    sums = {k: sum(shard[k] for shard in shards) for k in ("samples", "captions", "bytes")}
    kept = ("name", "samples", "captions", "bytes", "sha256")
    return {**sums, "shards": [{k: shard[k] for k in kept} for shard in shards]}


def _embedded(folder: Path, name: str, encoder: TextEncoder) -> bool:
    try:
        open_embeddings(folder, encoder.key)(name)
    except ValueError:
        return False
    return True


def _told(skipped: list[Index], rows: int) -> str:
    first = f"the first is row {skipped[0]['row']}: {skipped[0]['reason']}"
    return f"{len(skipped)} of the first {rows} pairs cannot be used ({first})"


def _replace(path: Path, value: Any, indent: int | None = None) -> None:
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n")
    os.replace(aside, path)
