"""A source -> a folder of shards with their embeddings; killed anywhere, the same call again goes on."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from tqdm import tqdm
from webdataset.writer import TarWriter

from imagen.data.claim import alone, claim
from imagen.data.shards import AGAIN, bounds_of, read_index, scan
from imagen.data.sources.source import BadPair, Pair, Source
from imagen.files import read_json, write_text
from imagen.progress import bar
from imagen.text import TextEncoder, open_embeddings, write_embeddings

Index = dict[str, Any]
NAMED = 3  # so many left-out pairs of a kind are named to people


def write_shards(source: Source, folder: str | Path, shard_size: int = 2000, max_bad: float = 0.1) -> Index:
    """Writes every split of `source` as shards of `shard_size` rows each (imagen.data.shards says what the
    folder holds); returns the index, at once when the folder is finished.

    The same source gives the same bytes; a shard whose tar is gone or has another size is made again. Pairs that
    cannot be used are left out and counted. ValueError once they are more than `max_bad` of all rows, when none
    is left, when `folder` holds anything else, named by the key that differs, or another process writes there."""
    if not shard_size >= 1:
        raise ValueError(f"shard_size={shard_size}: give at least 1")
    if not 0 <= max_bad <= 1:
        raise ValueError(f"max_bad={max_bad}: a share lies between 0 and 1")
    folder, settings = Path(folder), {**source.identity, "shard_size": shard_size}
    with alone(folder):
        claim(folder, settings)
        if (folder / "index.json").exists():
            index = read_index(folder)
            if all(_whole(folder, shard) for split in index["splits"].values() for shard in split["shards"]):
                return index
        splits: dict[str, list[Index]] = {}
        left_out = _LeftOut(sum(source.splits.values()), max_bad)
        with bar(total=left_out.total, desc="pairs", unit="pair") as pairs:
            for split, count in source.splits.items():
                for start in range(0, count, shard_size):
                    name = f"{split}-{start // shard_size:06d}"
                    rows = range(start, min(start + shard_size, count))
                    shard = _written(folder, name, split, rows, pairs, left_out)
                    shard = shard or _write(source, split, rows, folder, name, pairs, left_out)
                    splits.setdefault(split, []).append(shard)
        left_out.refuse_all()
        index = {
            "settings": settings,
            "splits": {split: _summary(shards) for split, shards in splits.items()},
            "skipped": left_out.kinds,
            "examples": left_out.examples,
        }
        _replace(folder / "index.json", index, indent=1)
        return index


def write_all_embeddings(folder: str | Path, encoder: TextEncoder) -> int:
    """Embeds all captions of a folder of shards with a frozen encoder, beside the shards, which stay as they
    are; another encoder's embeddings too. Returns the number of captions; at once when all are there. ValueError
    when another process writes there."""
    folder = Path(folder)
    splits = read_index(folder)["splits"]
    shards = [shard for split in splits.values() for shard in split["shards"] if shard["captions"]]
    total = sum(shard["captions"] for shard in shards)
    with alone(folder), bar(total=total, desc="embeddings", unit="caption") as captions_done:
        for shard in shards:
            if _embedded(folder, shard, encoder):
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
        kinds = []
        for kind, count in index["skipped"].items():
            some = index.get("examples", {}).get(kind, [])
            named = "; ".join([*some, "..."] if 0 < len(some) < count else some)
            kinds.append(f"{kind} {count}" + (f" ({named})" if named else ""))
        lines.append(f"{folder}: left out {', '.join(kinds)}; which ones: {Path(folder) / 'index'}")
    return "\n".join(lines)


class _LeftOut:
    """The pairs that cannot be used, by kind, up to a share of `total`."""

    def __init__(self, total: int, max_bad: float) -> None:
        self.total, self.max_bad = total, max_bad
        self.count, self.first = 0, ""
        self.kinds: dict[str, int] = {}
        self.examples: dict[str, list[str]] = {}

    def add(self, split: str, bad: Index, rows: int) -> None:
        """One more, `rows` rows having been read; ValueError when that is too many."""
        kind, row, reason = bad["kind"], bad["row"], bad["reason"]
        self.count, self.first = self.count + 1, self.first or f"row {row}: {reason}"
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if self.kinds[kind] <= NAMED:
            named = f"{split} row {row}: {reason.removeprefix(kind + ': ')}".rstrip(": ")
            self.examples.setdefault(kind, []).append(named)
        if self.count > self.max_bad * self.total:
            raise ValueError(f"{self._told(rows)}: more than max_bad={self.max_bad} of all {self.total}")

    def refuse_all(self) -> None:
        if self.count == self.total:
            raise ValueError(f"{self._told(self.total)}: nothing is left to train on")

    def _told(self, rows: int) -> str:
        return f"{self.count} of the first {rows} pairs cannot be used (the first is {self.first})"


def _whole(folder: Path, shard: Index) -> bool:
    """Whether the shard's tar and its index are there, as far as can be told without reading them."""
    tar = folder / shard["name"]
    return (folder / "index" / f"{tar.stem}.json").exists() and (
        tar.is_file() and tar.stat().st_size == shard["bytes"]
    )


def _written(
    folder: Path, name: str, split: str, rows: range, pairs: tqdm, left_out: _LeftOut
) -> Index | None:
    path = folder / "index" / f"{name}.json"
    if not path.exists():
        return None
    shard = read_json(path, AGAIN)
    try:
        if not _whole(folder, shard):
            return None
        _summary([shard])
        bads = [{k: bad[k] for k in ("row", "kind", "reason")} for bad in shard["skipped"]]
    except (KeyError, TypeError):
        raise ValueError(f"{path} is damaged (not what was written there); {AGAIN}") from None
    pairs.update(len(rows))
    for bad in bads:
        left_out.add(split, bad, pairs.n)
    return shard


def _write(
    source: Source, split: str, rows: range, folder: Path, name: str, pairs: tqdm, left_out: _LeftOut
) -> Index:
    tar, aside = folder / f"{name}.tar", folder / f".{name}.tar.part"
    skipped: list[Index] = []
    try:
        # a fixed time and owner: the same pairs make the same bytes
        with aside.open("wb") as file, TarWriter(file, encoder=False, mtime=0, compress=False) as writer:
            for row in rows:
                pairs.update()
                try:
                    writer.write(_members(source.pair(split, row), f"{split}-{row:08d}"))
                except BadPair as bad:
                    skipped.append({"row": row, "kind": bad.kind, "reason": _plain(str(bad))})
                    left_out.add(split, skipped[-1], pairs.n)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    entries = list(scan(aside))
    if len(entries) + len(skipped) != len(rows):
        raise ValueError(f"{aside} was changed by another process while it was written: prepare again")
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
    _replace(folder / "index" / f"{name}.json", index)  # last: a shard without its index is not finished
    return index


def _members(pair: Pair, key: str) -> dict[str, Any]:
    fields = json.dumps({**pair.fields, "captions": pair.captions}, ensure_ascii=False)
    try:
        return {
            "__key__": key,
            pair.extension: pair.image,
            "txt": pair.captions[0].encode(),
            "json": fields.encode(),
        }
    except UnicodeEncodeError as error:  # half of a character, which JSON can spell and UTF-8 cannot
        raise BadPair("unreadable text", _plain(f"{error.object[:80]} ({error.reason})")) from None


def _summary(shards: list[Index]) -> Index:
    sums = {k: sum(shard[k] for shard in shards) for k in ("samples", "captions", "bytes")}
    kept = ("name", "samples", "captions", "bytes", "sha256")
    return {**sums, "shards": [{k: shard[k] for k in kept} for shard in shards]}


def _embedded(folder: Path, shard: Index, encoder: TextEncoder) -> bool:
    try:
        return len(open_embeddings(folder, encoder.key)(shard["name"])) == shard["captions"]
    except ValueError:
        return False


def _plain(text: str) -> str:
    """Text that UTF-8 can spell."""
    return text.encode("utf-8", "backslashreplace").decode()


def _replace(path: Path, value: Any, indent: int | None = None) -> None:
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")
