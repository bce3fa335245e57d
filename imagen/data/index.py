"""What is known of shards without reading them: index.json of a folder, and index/NAME.json of each shard.

    index.json            {"settings", "splits": {split: {"samples", "captions", "bytes", "shards": [...]}}, "left_out",
                          "examples", "unusable"}; a shard there: {"name", "samples", "captions", "bytes", "sha256",
                          "dropped", and "url" where the tar lies elsewhere}
    index/NAME.json       {"name", "samples", "captions", "bytes", "sha256", "left_out", "pairs": {"starts", "ends",
                          "captions", "sizes", "digests"}}

samples, captions, bytes are counts; `dropped` are the numbers of a shard's pairs that equal earlier ones; `unusable` is
{"pairs", "rows", "first"}, how many of how many, and one of them. `pairs` has a list for each, a
number a pair: its members are the bytes starts to ends of the tar; it has so many captions; the picture is sizes =
[width, height] pixels and has the digest of its bytes.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from imagen.data.address import is_address
from imagen.data.remote import Lost, Remote
from imagen.files import NAME, read_json, write_text

Index = dict[str, Any]
AGAIN = "delete it and prepare again"
NUMBERS = ("samples", "captions", "bytes")
MOST = 10**18  # of any of them
LONGEST = 65536  # characters of an address; of a path few systems take 4096 bytes, or 255 of one of its names


@dataclass(frozen=True)
class Places:
    """Where the n pairs of a tar lie. `starts`, `ends` (n,) int64: bytes of the tar. `first_caption` (n,) int64: pair
    i has the captions first_caption[i] and on of all that its tar has. `since`: when its index was written, in ns; None
    without one."""

    starts: np.ndarray
    ends: np.ndarray
    first_caption: np.ndarray
    since: int | None = None

    def __len__(self) -> int:
        return len(self.starts)


def digest(picture: bytes) -> str:
    """What tells the bytes of one picture from another's: 32 hexadecimal digits."""
    return hashlib.blake2b(picture, digest_size=16).hexdigest()


def places(starts: Iterable[int], ends: Iterable[int], captions: Iterable[int]) -> Places:
    """Of lists of n numbers, as the index has them. ValueError when they can be none."""
    columns = [np.array(list(column), np.int64) for column in (starts, ends, captions)]
    a, b, count = columns
    fit = a.shape == b.shape == count.shape and bool((a < b).all() and (count >= 0).all())
    if not fit or (len(a) and (a[0] < 0 or bool((a[1:] < b[:-1]).any()))):
        raise ValueError("its places are none")
    return Places(a, b, np.cumsum(count) - count)


def read_places(path: Path, dropped: tuple[int, ...]) -> Places:
    """The places of a shard's index, without those of the pairs in `dropped`. ValueError when it is gone or damaged."""
    try:
        now = path.stat()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; {AGAIN}") from None
    return _places(path, dropped, (now.st_mtime_ns, now.st_size))


@lru_cache(maxsize=64)
def read_digests(path: Path, dropped: tuple[int, ...], since: int) -> list[str]:
    """The digests of the pictures of the pairs that `read_places` gives, of an index written at `since`. ValueError when it
    is damaged."""
    digests, gone = read_shard_index(path)["pairs"]["digests"], set(dropped)
    return [digest for number, digest in enumerate(digests) if number not in gone]


@lru_cache(maxsize=64)  # a shuffle window is read together; a whole data set's would not fit
def _places(path: Path, dropped: tuple[int, ...], state: tuple[int, int]) -> Places:
    index = read_json(path, AGAIN)
    try:
        pairs = index["pairs"]
        lists = [pairs[name] for name in ("starts", "ends", "captions")]
        if any(type(value) is not int for column in lists for value in column):
            raise ValueError
        found = places(*lists)
        kept = np.delete(np.arange(len(found)), list(dropped))
        return Places(found.starts[kept], found.ends[kept], found.first_caption[kept], state[0])
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        raise ValueError(f"{path} is damaged (its places are none); {AGAIN}") from None


def path_of(folder: Any, name: str) -> Any:
    """The index of the shard `name` of a folder, which is a path or a `Remote`."""
    return folder / "index" / f"{Path(name).stem}.json"


def read_shard_index(path: Path) -> Index:
    """All of index/NAME.json; ValueError naming the file when it is not what was written there."""
    index = read_json(path, AGAIN)
    try:
        pairs, names = index["pairs"], ("starts", "ends", "captions", "sizes", "digests")
        fit = all(type(index[k]) is int and index[k] >= 0 for k in NUMBERS)
        fit = fit and {len(pairs[name]) for name in names} == {index["samples"]}
        fit = fit and all({"row", "kind", "reason", "bad"} <= set(part) for part in index["left_out"])
        fit = fit and type(index["rows"]) is int and isinstance(index["name"], str)
        fit = fit and isinstance(index["sha256"], str)
        fit = fit and all(re.fullmatch("[0-9a-f]{32}", text) for text in pairs["digests"])
        fit = fit and all(type(w) is type(h) is int for w, h in pairs["sizes"])
    except (KeyError, TypeError, ValueError):
        fit = False
    if not fit:
        raise ValueError(f"{path} is damaged (not what was written there); {AGAIN}")
    return index


def read_index(folder: Path | Remote) -> Index:
    """index.json of a folder of shards, as it is now; ValueError naming the file when it is not what was written
    there."""
    if isinstance(folder, Remote):
        return (folder / "index.json").read(_read_index, fresh=True)
    return _read_index(folder / "index.json")


def _read_index(path: Path) -> Index:
    index = read_json(path, AGAIN)
    try:
        shards = [shard for split in index["splits"].values() for shard in split["shards"]]
        # there is none without a shard
        fit = bool(shards) and all(split["shards"] for split in index["splits"].values())
        fit = fit and all(NAME.fullmatch(name) for name in index["splits"])
        parts = [*shards, *index["splits"].values()]
        fit = fit and all(_count(part[k]) for part in parts for k in NUMBERS)
        fit = fit and all(_count(split.get("captions_left_out", 0)) for split in index["splits"].values())
        fit = fit and all(NAME.fullmatch(shard["name"]) for shard in shards)
        # each pair has a header of its own at least
        fit = fit and all(shard["samples"] * 512 <= shard["bytes"] for shard in shards)
        fit = fit and all(type(row) is int for shard in shards for row in shard.get("dropped", ()))
        fit = fit and all(isinstance(shard.get("sha256", ""), str) for shard in shards)
        fit = fit and all(_leads_somewhere(shard["url"]) for shard in shards if "url" in shard)
        fit = fit and all(_count(count) for count in index["left_out"].values())
        some = list(index.get("examples", {}).values())
        fit = fit and all(isinstance(texts, list) for texts in some)
        fit = fit and all(isinstance(text, str) for texts in some for text in texts)
        if "unusable" in index:
            bad = index["unusable"]
            fit = fit and _count(bad["pairs"]) and _count(bad["rows"]) and bad["pairs"] <= bad["rows"]
            fit = fit and isinstance(bad["first"], str)
    except (KeyError, TypeError, AttributeError):
        fit = False
    if not fit:
        raise ValueError(f"{path} is damaged (it does not list splits and their shards); {AGAIN}")
    return index


def _count(number: Any) -> bool:
    return type(number) is int and 0 <= number < MOST


def _leads_somewhere(url: Any) -> bool:
    """Whether that can be an address, or a path that a file may have."""
    if not isinstance(url, str) or not url or "\0" in url or len(url) > LONGEST:
        return False
    path = url.encode("utf-8", "surrogatepass")
    return is_address(url) or (len(path) < 4096 and all(len(name) <= 255 for name in path.split(b"/")))


def splits_of(folder: Path | Remote, option: str) -> dict[str, Any]:
    """The splits that imagen-prepare wrote into a folder, as its index has them; ValueError, naming `option`,
    when it did not get so far, or the index cannot be fetched."""
    if isinstance(folder, Remote):
        try:
            return read_index(folder)["splits"]
        except Lost as error:
            raise ValueError(
                f"{option}={folder}: {error}: try again when it can be reached, or give the address of a folder that "
                f"imagen-prepare wrote, or of tars, such as {str(folder).rstrip('/')}/{{00000..00009}}.tar"
            ) from None
    if not (folder / "index.json").exists():
        raise ValueError(
            f"{option}={folder} has no index.json: write it with imagen-prepare out={folder} (again, if that "
            "was interrupted: it goes on), or give a pattern such as FOLDER/train-*.tar"
        )
    return read_index(folder)["splits"]


def write_index(path: Path, index: Index, indent: int | None = None) -> None:
    """Writes either kind, all or nothing."""
    write_text(path, json.dumps(index, indent=indent, ensure_ascii=False) + "\n")
