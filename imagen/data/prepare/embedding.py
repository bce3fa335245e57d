"""The captions of a folder of shards -> embeddings beside them, by one device or several; those of a remote folder."""

import logging
import queue
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock

from imagen.data.index import AGAIN, Index, path_of, read_places, splits_of
from imagen.data.members import scan
from imagen.data.prepare.claim import alone
from imagen.data.remote import Cache, Lost, Remote
from imagen.data.shards import Shard, shard_of
from imagen.data.sources.source import BadPair
from imagen.progress import bar
from imagen.text import Embeddings, Key, ShardEmbeddings, TextEncoder, open_embeddings, write_embeddings
from imagen.text.cache import another, cache_name, differences, read_key

log = logging.getLogger(__name__)


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


class RemoteEmbeddings(Embeddings):
    """The embeddings of one encoder in a remote folder of shards; each shard's are fetched when they are first used.

    `version`: what tells its shards from others of their names, by their names."""

    def __init__(self, folder: Remote, key: Key, version: dict[str, str]) -> None:
        self.remote, self.key, self.version = folder, key, version

    def __call__(self, shard_name: str) -> ShardEmbeddings:
        """The embeddings of a shard; BadPair when they cannot be had, ValueError when they are damaged."""
        file = self.remote / f"{Path(shard_name).stem}.safetensors"
        # of the encoder too: the key that they are read with is the one that is there now
        version = f"{self.version[shard_name]} {sorted(self.key.items())}"
        try:
            found = file.at(None, version).read(lambda path: ShardEmbeddings(path, self.key))
        except Lost as error:
            raise BadPair("missing embeddings", str(error)) from error
        found.path = file
        return found


def remote_embeddings(folder: Remote, shards: Sequence[Shard], key: Key) -> RemoteEmbeddings | None:
    """The embeddings beside remote shards of the encoder with this key (`encoder.configured`); None, which the log tells,
    when there are none. ValueError names the entries in which they differ, or says that nobody can tell."""
    there = folder / "text" / cache_name(key)
    try:
        stored = (there / "key.json").read(read_key, fresh=True)
    except Lost as error:
        if not error.gone:
            raise ValueError(f"data.train: {error}: try again later, or give data.live=true") from None
        log.warning("captions are embedded while training, as there are no embeddings of them: %s", error)
        return None
    if differences(stored, key):
        raise ValueError(another(folder, stored, key))
    return RemoteEmbeddings(there, stored, {shard.name: shard.version for shard in shards})
