"""The captions of a folder of shards -> embeddings beside them, by one device or several."""

import queue
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock

from imagen.data.index import AGAIN, Index, path_of, read_places, splits_of
from imagen.data.members import scan
from imagen.data.prepare.claim import alone
from imagen.data.remote import Cache
from imagen.data.shards import shard_of
from imagen.progress import bar
from imagen.text import TextEncoder, open_embeddings, write_embeddings


def embed(
    folder: str | Path, encoders: Sequence[TextEncoder], option: str = "data", cache: Cache | None = None
) -> int:
    """Embeds all captions of a folder of shards with a frozen encoder, beside the shards, which stay as they
    are; another encoder's embeddings too. `encoders`: the same one on each device that is to take part; each takes
    the next shard that has no embeddings yet. Returns the number of captions; at once when all are there. Tars at
    addresses are read by way of `cache`.

    Killed anywhere, the same call goes on. ValueError, naming `option`, when the folder has no shards, when another
    process writes there, or when there are embeddings of other weights under the encoder's name."""
    folder = Path(folder)
    splits = splits_of(folder, option)
    shards = [shard for split in splits.values() for shard in split["shards"] if shard["captions"]]
    total = sum(shard["captions"] for shard in shards)
    waiting: queue.SimpleQueue[Index] = queue.SimpleQueue()
    lock, stop = Lock(), Event()
    with alone(folder), bar(total=total, desc="embeddings", unit="caption") as shown:

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
                write_embeddings(folder, shard["name"], captions_in(folder, shard, cache), encoder, report)

        for shard in shards:
            if _embedded(folder, shard, encoders[0]):
                report(shard["captions"])
            else:
                waiting.put(shard)
        if len(encoders) == 1:
            work(encoders[0])
        else:
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


def _embedded(folder: Path, shard: Index, encoder: TextEncoder) -> bool:
    try:
        return len(open_embeddings(folder, encoder.key)(shard["name"])) == shard["captions"]
    except ValueError:
        return False
