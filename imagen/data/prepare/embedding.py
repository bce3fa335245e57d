"""The captions of a folder of shards -> embeddings beside them, by one device or several."""

import os
import queue
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock

from imagen.data.address import is_address
from imagen.data.index import AGAIN, Index, path_of, read_places, splits_of
from imagen.data.members import scan
from imagen.data.prepare.claim import alone
from imagen.data.prepare.disk import room
from imagen.data.remote import Cache
from imagen.data.shards import shard_of
from imagen.progress import bar
from imagen.text import TextEncoder, open_embeddings, write_embeddings


def embed(
    folder: str | Path, encoders: Sequence[TextEncoder], option: str = "data", cache: Cache | None = None
) -> int:
    """Embeds all captions of a folder of shards with a frozen encoder, beside the shards, which stay as they
    are; another encoder's embeddings too. `encoders`: the same one on each device that is to take part; each takes
    the next shard that has no embeddings of its captions yet. Returns the number of captions; at once when all are there.
    Tars at addresses are read by way of `cache`.

    Killed anywhere, the same call goes on. ValueError, naming `option`, when the folder has no shards, when another
    process writes there, when there are embeddings of other weights under the encoder's name, or when the disk is full:
    what is written stays."""
    if is_address(folder) or not (Path(folder) / "index.json").is_file():
        wrong = "is an address" if is_address(folder) else "has no index.json"
        raise ValueError(
            f"{option}={folder} {wrong}: give a folder that imagen-prepare wrote, on a disk of this machine (if it was "
            "interrupted, the same imagen-prepare goes on)"
        )
    folder = Path(folder)
    splits = splits_of(folder, option)
    shards = [shard for split in splits.values() for shard in split["shards"] if shard["captions"]]
    total = sum(shard["captions"] for shard in shards)
    waiting: queue.SimpleQueue[Index] = queue.SimpleQueue()
    lock, stop = Lock(), Event()
    with room(folder, option), alone(folder):
        missing = [shard for shard in shards if not _embedded(folder, shard, encoders[0], cache)]
        if not missing:
            return total
        for shard in missing:
            waiting.put(shard)
        before = total - sum(shard["captions"] for shard in missing)
        shown = bar(total=total, initial=before, desc="embeddings", unit="caption")

        def report(count: int) -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            with lock:
                shown.update(count)

        def work(encoder: TextEncoder) -> None:
            while not stop.is_set():
                try:
                    shard = waiting.get_nowait()
                except queue.Empty:
                    return
                captions, tar = captions_in(folder, shard, cache), shard.get("sha256", "")
                # from now on it is younger than its tar, and so not compared again, also if it was there
                os.utime(write_embeddings(folder, shard["name"], captions, encoder, report, tar))

        with shown:
            if len(encoders) == 1:
                work(encoders[0])
                return int(shown.n)
            with ThreadPoolExecutor(len(encoders)) as pool:
                try:
                    for future in [pool.submit(work, encoder) for encoder in encoders]:
                        future.result()
                finally:
                    stop.set()
        return int(shown.n)


def captions_in(folder: Path, shard: Index, cache: Cache | None = None) -> list[str]:
    """All captions of a shard as index.json lists it, in their order; of pairs that were dropped as duplicates too.
    ValueError when its tar is not the one that was indexed."""
    path = path_of(folder, shard["name"])
    starts = set(read_places(path, ()).starts.tolist())
    tar = shard_of(folder, shard, cache).path
    entries = scan(tar, lambda words: None)
    captions = [caption for entry in entries if entry.start in starts for caption in entry.captions]
    if len(captions) != shard["captions"]:
        raise ValueError(f"{tar} has other captions than {path} says: {AGAIN}")
    return captions


def _embedded(folder: Path, shard: Index, encoder: TextEncoder, cache: Cache | None) -> bool:
    """Whether the embeddings of a shard are there, as can be told without reading its tar.

    Comparing all captions would read the text of every tar each time that a finished folder is looked at. A file that
    was copied over another one, or whose tar was prepared anew, names another tar; a tar that was changed by hand is
    younger than the file. What fails either is compared by its captions, and made again only if these differ."""
    try:
        embeddings = open_embeddings(folder, encoder.key)
        there = embeddings(shard["name"])
        made = embeddings.path(shard["name"]).stat().st_mtime_ns
        path = shard_of(folder, shard, cache).path
        changed = path.stat().st_ctime_ns if isinstance(path, Path) else 0  # at an address: as it was indexed
    except (ValueError, OSError):
        return False
    return len(there) == shard["captions"] and there.tar == shard.get("sha256") and changed < made
