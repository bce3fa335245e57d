"""Shards -> batches: which pairs, their pictures, one of their captions each, and that caption's embedding.

B batch, R resolution, L text tokens, D text width.
"""

import itertools
import logging
import re
from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from imagen.data.members import half_character, picture_of, said_of
from imagen.data.order import Mixture, Order, chance
from imagen.data.pictures import Patch, decode, fit
from imagen.data.shards import Shard
from imagen.data.sources.source import BadPair
from imagen.progress import bar
from imagen.text import Embeddings, ShardEmbeddings, pad

log = logging.getLogger(__name__)
Batch = dict[str, Any]
Item = tuple[str, tuple[str, ...], np.ndarray]  # key, captions, picture (R, R, 3) uint8
KEPT_OPEN = 64  # shards' embeddings
TOLD = 20  # so many unusable pairs are named in the log
TRIES = 100  # so many pairs are tried for one place in a batch
SIDES = re.compile(
    r"\b(left|right)", re.IGNORECASE
)  # a caption that names one is not true of a mirrored picture


class Reader(Protocol):
    """A pair by its shard and row, decoded."""

    shards: list[Shard]

    def __call__(self, shard: int, row: int, place: float, patch: Patch | None = None) -> Item:
        """`place` in [0, 1]: where along the long side the square lies; `patch`: of that, a part. BadPair when the
        picture cannot be read."""
        ...


class FromShards:
    """Reads and decodes a pair each time it is asked for: for data sets of any size."""

    def __init__(self, shards: list[Shard], resolution: int) -> None:
        self.shards, self.resolution = shards, resolution

    def __call__(self, shard: int, row: int, place: float, patch: Patch | None = None) -> Item:
        """See `Reader`."""
        sample = self.shards[shard].read(row)
        captions, image = said_of(sample), decode(picture_of(sample), self.resolution)
        return sample["__key__"], captions, fit(image, self.resolution, place, patch)


class FromMemory:
    """The same items, all decoded once when it is made and held in RAM: for small data sets, 3 R^2 bytes a
    picture."""

    def __init__(self, reader: FromShards) -> None:
        self.shards = reader.shards
        self._items: list[list[Item | BadPair]] = [
            [_tried(reader, number, row) for row in range(shard.samples)]
            for number, shard in enumerate(bar(self.shards, desc="pictures into memory", unit="shard"))
        ]

    def __call__(self, shard: int, row: int, place: float, patch: Patch | None = None) -> Item:
        """See `Reader`; the whole square was cut from the middle, whatever `place`."""
        item = self._items[shard][row]
        if isinstance(item, BadPair):
            raise item
        return item


class Texts:
    """The embeddings of the captions of a list of shards, of one folder or several.

    `folders`: the embeddings of each shard's folder."""

    def __init__(self, shards: list[Shard], folders: list[Embeddings]) -> None:
        self.shards, self.folders = shards, folders
        # those of one shuffle window are used together; a whole data set's would not fit
        self._opened: OrderedDict[int, ShardEmbeddings] = OrderedDict()

    def __call__(self, shard: int) -> ShardEmbeddings:
        """Those of shard number `shard`."""
        if shard not in self._opened:
            self._opened[shard] = self.folders[shard](self.shards[shard].name)
            if len(self._opened) > KEPT_OPEN:
                self._opened.popitem(last=False)
        self._opened.move_to_end(shard)
        return self._opened[shard]


class Batches(IterableDataset):
    """One rank's batches of a stream, from `start` on: without an end, or `stop` of them.

    A batch is a function of its place in the stream and the seed. Batch number k of all ranks together holds
    the positions start + k * world * B and on; this rank has the B of them from rank * B on. `flip`: half of the
    pictures are mirrored, but none whose caption names a side ("left", "right"). `patch`: give only a square of so many
    pixels of each picture, anywhere in it (then R below). Worker w of W
    makes every W-th batch, and DataLoader hands them out in turn, so their order does not depend on W.

    Yields {"image": (B, R, R, 3) uint8, "caption": B strings, "key": B strings} and, with
    `texts`, {"text_emb": (B, L, D) float32, "text_mask": (B, L) bool}, L the batch's longest. An
    unusable pair is counted and its place taken by another, drawn from (seed, position); ValueError past
    `max_bad` of what a worker has read, or has to read in an epoch.
    """

    def __init__(
        self,
        reader: Reader,
        texts: Texts | None,
        order: Order | Mixture,
        batch_size: int,
        start: int = 0,
        stop: int | None = None,
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
        random_crop: bool = False,
        flip: bool = False,
        patch: int | None = None,
        max_bad: float = 0.1,
    ) -> None:
        self.reader, self.texts, self.order, self.batch_size = reader, texts, order, batch_size
        self.start, self.stop, self.rank, self.world = start, stop, rank, world
        self.seed, self.random_crop, self.flip, self.max_bad = seed, random_crop, flip, max_bad
        self.patch = patch
        self.bad: dict[tuple[int, int], str] = {}  # (shard, row) -> what it is counted as

    def __iter__(self) -> Iterator[Batch]:
        """The batches of this worker (all of them without workers)."""
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        pairs = len(self.order) / self.world / step  # a worker's share of an epoch
        for made, number in enumerate(itertools.count(first, step), 1):
            if self.stop is not None and number >= self.stop:
                return
            yield self.batch(number)
            if len(self.bad) > self.max_bad * max(pairs, made * self.batch_size):
                kinds = ", ".join(f"{kind} {n}" for kind, n in Counter(self.bad.values()).most_common())
                raise ValueError(
                    f"{len(self.bad)} pairs cannot be used ({kinds}), more than data.max_bad={self.max_bad}: the "
                    "warnings above say which and why"
                )

    def batch(self, number: int) -> Batch:
        """Batch `number` of this rank, counted from `start`."""
        first = self.start + (number * self.world + self.rank) * self.batch_size
        keys, captions, pictures, texts = zip(*map(self._pair, range(first, first + self.batch_size)))
        image = torch.from_numpy(np.stack(pictures))
        batch: Batch = {"image": image, "caption": list(captions), "key": list(keys)}
        if self.texts is not None:
            batch["text_emb"], batch["text_mask"] = pad(texts)
        return batch

    def _pair(self, position: int) -> tuple[str, str, np.ndarray, Any]:
        _, shard, row = self.order(position)
        for attempt in range(TRIES):
            try:
                return self._usable(shard, row, position)
            except BadPair as bad:
                self._count(shard, row, bad)
            other = chance(self.seed, position, f"instead {attempt}")
            _, shard, row = self.order.instead(position, other)
        raise ValueError(f"{self.reader.shards[shard].path.parent}: {TRIES} pairs tried, none can be used")

    def _usable(self, shard: int, row: int, position: int) -> tuple[str, str, np.ndarray, Any]:
        place = chance(self.seed, position, "place") if self.random_crop else 0.5
        patch = None
        if self.patch is not None:
            patch = Patch(self.patch, *(chance(self.seed, position, f"patch {axis}") for axis in "xy"))
        key, captions, picture = self.reader(shard, row, place, patch)
        number = int(chance(self.seed, position, "caption") * len(captions))
        if not captions[number].strip():
            raise BadPair("empty caption", key)
        if half_character(captions[number]):
            raise BadPair("unreadable text", f"{key}: half a character")
        if self.flip and not SIDES.search(captions[number]) and chance(self.seed, position, "flip") < 0.5:
            picture = picture[:, ::-1]
        text = None
        if self.texts is not None:
            first = self.reader.shards[shard].first_caption(row)
            text = self.texts(shard).of(first + number, captions[number])
        return key, captions[number], picture, text

    def _count(self, shard: int, row: int, bad: BadPair) -> None:
        if (shard, row) not in self.bad:
            self.bad[shard, row] = bad.kind
            if len(self.bad) <= TOLD:
                log.warning("left out pair %d of %s: %s", row, self.reader.shards[shard].path, bad)


def whole_batch(batch: Any) -> Any:
    """What a DataLoader does to a batch that is one already: nothing. A function, as workers may be started
    by spawning."""
    return batch


def _tried(reader: FromShards, shard: int, row: int) -> Item | BadPair:
    try:
        return reader(shard, row, 0.5)
    except BadPair as bad:
        return bad
