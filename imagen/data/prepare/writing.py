"""One shard: rows of a source -> a tar and its index; or a tar of others -> an index alone."""

import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from webdataset.writer import TarWriter

from imagen.data.index import Index, digest, path_of, write_index
from imagen.data.members import scan
from imagen.data.prepare.filters import Filters
from imagen.data.prepare.processes import Tick
from imagen.data.sources.source import BadPair, LeftOut, Pair, Source, Tars, plain


@dataclass
class Columns:
    """The pairs of a shard, as its index has them, in the order of the tar; and what was left out of it."""

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    captions: list[int] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    left_out: list[Index] = field(default_factory=list)
    unwanted: int = 0  # captions that a filter took from pairs that stay

    def add(self, pair: Pair, captions: int) -> None:
        """A pair that is wanted; where it lies is known later."""
        self.captions.append(captions)
        self.sizes.append(pair.size)
        self.digests.append(digest(pair.image))

    def leave_out(self, row: int, why: LeftOut, name: str = "") -> None:
        """A row that does not go in; `name`: of its pair, if it got so far as to be one."""
        reason = f"{why.kind}: {plain(name)}: {why.reason}" if name else str(why)
        self.left_out.append(
            {"row": row, "kind": why.kind, "reason": reason, "bad": isinstance(why, BadPair)}
        )

    def index(self, name: str, tar: Path, rows: int) -> Index:
        """All of index/NAME.json, of a tar that is whole."""
        kept = ("starts", "ends", "captions", "sizes", "digests")
        return {
            "name": name,
            "rows": rows,
            "samples": len(self.starts),
            "captions": sum(self.captions),
            "bytes": tar.stat().st_size,
            "sha256": sha256_of(tar),
            "left_out": self.left_out,
            "captions_left_out": self.unwanted,
            "pairs": {key: getattr(self, key) for key in kept},
        }


def sha256_of(tar: Path) -> str:
    """Of all its bytes."""
    with tar.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_shard(
    source: Source, split: str, rows: range, folder: Path, name: str, filters: Filters, tick: Tick
) -> Index:
    """Rows of a split -> FOLDER/NAME.tar and its index, which is returned. The tar is written aside and moved, its
    index written last: without one a shard is not finished. The same rows make the same bytes."""
    tar, aside, columns = folder / f"{name}.tar", folder / f".{name}.tar.part", Columns()
    try:
        # a fixed time and owner: the same pairs make the same bytes
        with aside.open("wb") as file, TarWriter(file, encoder=False, mtime=0, compress=False) as writer:
            for row in rows:
                known_by = ""
                try:
                    whole = source.pair(split, row)
                    known_by = whole.name
                    pair = filters(whole)
                    writer.write(members_of(pair, f"{split}-{row:08d}"))
                    columns.add(pair, len(pair.captions))
                    columns.unwanted += len(whole.captions) - len(pair.captions)
                except LeftOut as why:
                    columns.leave_out(row, why, known_by)
                tick(1)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    for entry in scan(aside, damage=_changed(aside)) if columns.captions else ():
        columns.starts.append(entry.start)
        columns.ends.append(entry.end)
    if len(columns.starts) != len(columns.captions):
        _changed(aside)("")
    index = columns.index(tar.name, aside, len(rows))
    os.replace(aside, tar)
    write_index(path_of(folder, name), index)
    return index


def index_tar(source: Tars, tar: Path, folder: Path, name: str, filters: Filters, tick: Tick) -> Index:
    """A tar that stays where it lies -> FOLDER/index/NAME.json, which is returned. The pairs that a filter does not
    want, or that cannot be used, are not in the index. ValueError when it is no tar."""
    columns, rows = Columns(), 0

    def damage(words: str) -> None:  # counts as one row: how many pairs it was, nobody knows
        nonlocal rows
        columns.leave_out(rows, BadPair("broken tar", words))
        rows += 1

    for entry in scan(tar, damage, pictures=True):
        known_by = ""
        try:
            pair = source.pair(entry.whole())
            known_by = pair.name
            filters(pair)
            columns.add(pair, len(entry.captions))
            columns.starts.append(entry.start)
            columns.ends.append(entry.end)
        except LeftOut as why:
            columns.leave_out(rows, why, known_by)
        rows += 1
        tick(1)
    index = columns.index(f"{name}.tar", tar, rows)
    write_index(path_of(folder, name), index)
    return index


def _changed(tar: Path) -> Callable[[str], object]:
    def refuse(words: str) -> None:
        raise ValueError(f"{tar} was changed by another process while it was written: prepare again")

    return refuse


def members_of(pair: Pair, key: str) -> dict[str, Any]:
    """What a pair is in a shard: extension -> bytes, and "__key__". BadPair when its texts cannot be written."""
    try:
        kept = {key: value for key, cell in pair.fields.items() if (value := _json(cell)) is not None}
        fields = json.dumps({**kept, "captions": pair.captions}, ensure_ascii=False)
        return {
            "__key__": key,
            pair.extension: pair.image,
            "txt": pair.captions[0].encode(),
            "json": fields.encode(),
        }
    except UnicodeEncodeError as error:  # half of a character, which JSON can spell and UTF-8 cannot
        raise BadPair("unreadable text", f"{error.object[:80]} ({error.reason})") from None
    except RecursionError:  # brackets without end
        reason = f"{pair.captions[0][:80]}: brackets without end in a column"
        raise BadPair("unreadable text", reason) from None


def _json(value: Any) -> Any:
    """A field as JSON can have it: dates and the like as text. None for what it cannot: bytes, numbers that are none."""
    if isinstance(value, bytes) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, list | tuple):
        return [_json(member) for member in value]
    if isinstance(value, dict):
        return {str(key): _json(member) for key, member in value.items()}
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
