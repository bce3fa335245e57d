"""The data of a run, for Lightning: endless training batches that resume where they stopped; validation."""

import logging
from pathlib import Path
from typing import Any

from lightning import LightningDataModule
from torch.utils.data import DataLoader

from imagen.data.index import splits_of
from imagen.data.order import Mixture, Order
from imagen.data.pictures import in_range
from imagen.data.pipeline import Batch, Batches, FromMemory, FromShards, Reader, Texts, whole_batch
from imagen.data.remote import Cache, Remote
from imagen.data.remote_embeddings import remote_embeddings
from imagen.data.shards import Shard, folder_at, split_of
from imagen.text import Embeddings, TextEncoder, embedding_keys, open_embeddings

log = logging.getLogger(__name__)

VALIDATION = ("val", "validation", "test")  # the first of these that the training folder has
MOST_WORKERS = 256
MOST_PAIRS = 1_000_000  # a step; more is a slip of the finger, and would be read for ever


class Shards(LightningDataModule):
    """Batches of shards that imagen-prepare wrote, or of any WebDataset tars of pictures and captions.

    `train`, `val`: a folder, of which the splits train and val (or test) are taken, a pattern of tars, the address of
    either (imagen.data.remote), or a list of those; `val=None` takes the training folders' own, as far as they have one.
    `weights`: of several training sets, in what proportion they are mixed, exactly at every time of the run, each
    starting again on its own; None: by their sizes. `resolution`: side R of the square that is cut from a picture and
    resized; `crop`: "center" or "random" (along the long side). `flip`: mirror half of the pictures,
    but those whose caption names a side. `patch`: training gets only a square of so many pixels of each picture, anywhere
    in it: what a super-resolution stage that learns on crops needs of a large one. `batch_size`: pairs a
    step, divided among the ranks and micro-batches. `encoder`: the frozen text encoder; it is used on the
    device only when `train` has no cached embeddings or `live` is set, and no checkpoint ever sees it.
    `workers`: processes that decode. `memory`: decode every picture once, at the start, and hold it in RAM (3
    R^2 bytes each). `window`: shards whose pairs are shuffled together. `val_pairs`: validate on the first so
    many, on all by default. `max_bad`: share of pairs that may be unusable. `cache`: where copies of remote shards lie.

    A batch, on the device, is {"image" (B, 3, R, R) float32 in [-1, 1], "text_emb" (B, L, D) float32, "text_mask" (B, L)
    bool, "caption", "key": B strings each}, B a rank's share of a micro-batch. It depends on (`seed`,
    position in the run) alone: not on `workers`, `memory`, or history.

    ValueError, when it is set up: nothing matches, embeddings of another encoder, an option of no meaning.
    """

    def __init__(
        self,
        train: str | Path | list[str],
        val: str | Path | list[str] | None = None,
        *,
        weights: list[float] | None = None,
        resolution: int,
        batch_size: int,
        encoder: TextEncoder,
        seed: int = 0,
        crop: str = "center",
        flip: bool = False,
        patch: int | None = None,
        workers: int = 0,
        memory: bool = False,
        live: bool = False,
        window: int = 8,
        val_pairs: int | None = None,
        max_bad: float = 0.1,
        cache: Cache | None = None,
    ) -> None:
        super().__init__()
        least = {"resolution": (resolution, 1), "batch_size": (batch_size, 1), "window": (window, 1)}
        least |= {"workers": (workers, 0), "seed": (seed, 0)}
        if val_pairs is not None:
            least["val_pairs"] = (val_pairs, 1)
        for name, (value, smallest) in least.items():
            if not value >= smallest:
                raise ValueError(f"data.{name}={value}: give at least {smallest}")
        if workers > MOST_WORKERS:
            raise ValueError(f"data.workers={workers}: give at most {MOST_WORKERS} processes")
        if batch_size > MOST_PAIRS:
            raise ValueError(f"data.batch_size={batch_size}: give at most {MOST_PAIRS} pairs a step")
        if not 0 <= max_bad <= 1:
            raise ValueError(f"data.max_bad={max_bad}: a share lies between 0 and 1")
        if crop not in ("center", "random"):
            raise ValueError(f"data.crop={crop}: center or random")
        if patch is not None and not 1 <= patch <= resolution:
            raise ValueError(f"data.patch={patch}: give pixels of the picture, at most {resolution}")
        for option, moving in (("crop=random", crop == "random"), (f"patch={patch}", patch is not None)):
            if moving and memory:
                raise ValueError(
                    f"data.{option} cuts another square each time: data.memory=true cannot hold it"
                )
        self.train, self.val, self.weights, self.encoder = _listed(train), _listed(val), weights, encoder
        if not self.train:
            raise ValueError("data.train=[]: give at least one folder")
        if weights is not None and (len(weights) != len(self.train) or not all(w > 0 for w in weights)):
            raise ValueError(
                f"data.weights={weights}: give a number above 0 for each of the {len(self.train)} of data.train"
            )
        self.resolution, self.batch_size = resolution, batch_size
        self.seed, self.crop, self.flip, self.patch = seed, crop, flip, patch
        self.workers, self.memory, self.live = workers, memory, live
        self.window, self.val_pairs, self.max_bad = window, val_pairs, max_bad
        self.cache = cache or Cache()
        self.consumed = 0  # pairs that training has had, over all ranks
        self._readers: dict[str, tuple[Reader, Texts | None, list[list[int]]]] = {}

    def setup(self, stage: str) -> None:
        """Finds the shards and their embeddings, and reads the pictures into memory if asked to."""
        self.consumed = 0
        if not self._readers:
            train = [split_of(where, "train", "data.train", self.cache) for where in self.train]
            self._readers["train"] = self._opened(train)
            if val := self._validation():
                self._readers["val"] = self._opened(val)

    def train_dataloader(self, whole: bool = False) -> DataLoader:
        """Endless: the batches from the first one that training has not had. `whole`: no patches of pictures."""
        reader, texts, sizes = self._readers["train"]
        orders = [Order(each, self.seed, self.window) for each in sizes]
        order = orders[0] if len(orders) == 1 else Mixture(orders, self.weights or [len(o) for o in orders])
        how = {
            "random_crop": self.crop == "random",
            "flip": self.flip,
            "patch": None if whole else self.patch,
        }
        return self._loader(reader, texts, order, start=self.consumed, **how)

    def val_dataloader(self) -> DataLoader | list:
        """One pass in the order of the shards, the same pictures and captions each time; whole batches only,
        at least one. [] when there is no validation split."""
        if "val" not in self._readers:
            return []
        reader, texts, sizes = self._readers["val"]
        order = Order([size for each in sizes for size in each], self.seed, shuffle=False)
        pairs = min(len(order), self.val_pairs or len(order))
        return self._loader(reader, texts, order, stop=max(pairs // (self._share * self._world), 1))

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """`finished`, on the device; counts what training has had."""
        batch = self.finished(batch)
        if self.trainer is not None and self.trainer.training:
            self.consumed += len(batch["image"]) * self._world
        return batch

    def finished(self, batch: Batch) -> Batch:
        """A batch as a loader gives it, where it is: pictures into [-1, 1], captions embedded when they came without."""
        batch["image"] = in_range(batch["image"])
        if "text_emb" not in batch:
            encoder = self.encoder.to(batch["image"].device)
            batch["text_emb"], batch["text_mask"] = encoder(batch["caption"])
        return batch

    @property
    def pairs(self) -> dict[str, int]:
        """How many pairs each split has, of all its data sets."""
        return {name: sum(map(sum, sizes)) for name, (_, _, sizes) in self._readers.items()}

    def state_dict(self) -> dict[str, Any]:
        """The whole state: how many pairs training has had. The order is a function of that and the seed."""
        return {"consumed": self.consumed, "seed": self.seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Training goes on with the pair after those it has had."""
        if state_dict["seed"] != self.seed:
            raise ValueError(
                f"data.seed={self.seed}, but the checkpoint's run has {state_dict['seed']}: give that one"
            )
        self.consumed = state_dict["consumed"]

    @property
    def _world(self) -> int:
        return self.trainer.world_size if self.trainer is not None else 1

    @property
    def _share(self) -> int:
        accumulate = self.trainer.accumulate_grad_batches if self.trainer is not None else 1
        return micro_batch(self.batch_size, self._world, accumulate)

    def _validation(self) -> list[list[Shard]]:
        """The validation shards of each data set that has some."""
        found = []
        for where in self.val or self.train:
            if folder := folder_at(where, self.cache, "data.val"):
                splits = splits_of(folder, "data.val")
                name = next((n for n in VALIDATION if n in splits and splits[n]["samples"]), None)
                if name is not None or self.val:
                    found.append(split_of(where, name or VALIDATION[0], "data.val", self.cache))
            elif self.val:
                found.append(split_of(where, VALIDATION[0], "data.val", self.cache))
        return found

    def _opened(self, sets: list[list[Shard]]) -> tuple[Reader, Texts | None, list[list[int]]]:
        """What reads the shards of several data sets, numbered through; their embeddings; their shards' sizes."""
        shards = [shard for each in sets for shard in each]
        folders = [self._embeddings(each) for each in sets]
        texts = None
        if cached := [found for found, each in zip(folders, sets) for _ in each if found is not None]:
            if len(cached) != len(shards):
                without = next(each[0].folder for found, each in zip(folders, sets) if found is None)
                raise ValueError(
                    f"{without} has no text embeddings, which the other data sets have: make them with imagen-embed "
                    f"data={without} text=..., or give data.live=true"
                )
            texts = Texts(shards, cached)
        reader = FromShards(shards, self.resolution)
        sizes = [[shard.samples for shard in each] for each in sets]
        return FromMemory(reader) if self.memory else reader, texts, sizes

    def _embeddings(self, shards: list[Shard]) -> Embeddings | None:
        """The cached embeddings of the shards of one data set, all of them; None when there are none, or not asked for."""
        folder = shards[0].folder
        if isinstance(folder, Remote):
            asked = not self.live and not folder.url.startswith("pipe:")
            return remote_embeddings(folder, shards, self.encoder.configured) if asked else None
        if self.live:
            return None
        if not embedding_keys(folder):
            log.warning(
                "captions are embedded while training, as %s has no embeddings: imagen-embed makes them",
                folder,
            )
            return None
        embeddings = open_embeddings(folder, self.encoder.configured)
        for shard in shards:
            embeddings.path(shard.name)
        return embeddings

    def _loader(
        self, reader: Reader, texts: Texts | None, order: Order | Mixture, **where: Any
    ) -> DataLoader:
        rank = self.trainer.global_rank if self.trainer is not None else 0
        batches = Batches(
            reader,
            texts,
            order,
            self._share,
            rank=rank,
            world=self._world,
            seed=self.seed,
            max_bad=self.max_bad,
            **where,
        )
        return DataLoader(
            batches,
            batch_size=None,
            collate_fn=whole_batch,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
        )


def micro_batch(batch_size: int, world: int, accumulate: int) -> int:
    """Pairs of one process and micro-batch, of `batch_size` a step. ValueError when it does not divide."""
    share, rest = divmod(batch_size, world * accumulate)
    if rest or share < 1:
        raise ValueError(
            f"data.batch_size={batch_size}: must divide by {world} processes x trainer.accumulate={accumulate}"
        )
    return share


def _listed(where: str | Path | list[str] | None) -> list[str]:
    """One place or several, or none."""
    return [] if where is None else [str(part) for part in where] if isinstance(where, list) else [str(where)]
