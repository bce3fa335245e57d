"""The embeddings beside shards that lie elsewhere."""

import logging
from collections.abc import Sequence
from pathlib import Path

from imagen.data.remote import Lost, Remote
from imagen.data.shards import Shard
from imagen.data.sources.source import BadPair
from imagen.text import Embeddings, Key, ShardEmbeddings
from imagen.text.cache import another, cache_name, differences, read_key

log = logging.getLogger(__name__)


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
            if not error.gone:
                raise ValueError(f"{error}: the same command goes on when it can be reached") from error
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
