"""`make bench-data`: pictures a second out of our shards, beside Pillow, the bare tar, WebDataset and MosaicML Streaming.

A benchmark, not a test. Everybody gives batches of 32 pictures (R, R, 3), the middle square of the same files.
"""

import argparse
import io
import json
import multiprocessing
import os
import resource
import statistics
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.machinery import ModuleSpec
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import measure
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

from imagen.data.index import write_index
from imagen.data.members import picture_of, scan
from imagen.data.order import Order
from imagen.data.pictures import decode, fit, size_of
from imagen.data.pipeline import Batches, FromShards, whole_batch
from imagen.data.prepare.preparing import prepare
from imagen.data.shards import split_of
from imagen.data.sources.shapes import Shapes
from imagen.data.sources.source import Pair
from imagen.data.sources.table import Table

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "var/bench"
BATCH = 32
GENERATED = 256  # pictures


class PhotoLike:
    """`count` pictures of `side` x `side` pixels as cameras make them: light and shade of every size, edges, and a
    sensor's noise; JPEG, quality 90."""

    def __init__(self, count: int = GENERATED, side: int = 1024) -> None:
        self.side, self.splits = side, {"train": count}
        self.identity: dict[str, Any] = {"source": "photo_like", "count": count, "side": side}

    def pair(self, split: str, row: int) -> Pair:
        """See imagen.data.sources.source."""
        random, side = np.random.default_rng(row), self.side
        picture = np.zeros((side, side, 3), np.float32)
        for octave in range(9):  # amplitude falls with frequency, as in nature
            cells = 2 ** (octave + 1)
            noise = random.normal(0, 1, (cells, cells, 3)).astype(np.float32)
            channels = [
                np.asarray(Image.fromarray(noise[..., c]).resize((side, side), Image.Resampling.BICUBIC))
                for c in range(3)
            ]
            picture += np.stack(channels, -1) * 60 / 1.7**octave
        for _ in range(12):  # things with edges
            x, y, w, h = random.integers(0, side, 4)
            picture[y : y + h // 3, x : x + w // 3] += random.normal(0, 40, 3)
        picture += random.normal(128, 5, picture.shape)
        file = io.BytesIO()
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
        return Pair(file.getvalue(), "jpg", (side, side), (f"picture {row}",))


# The contestants: each a function that gives pictures without end, or as many as there are, in batches.


def middle_square(image: Image.Image, resolution: int) -> np.ndarray:
    """What people write: the middle square, resized by Pillow."""
    image = image.convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((resolution, resolution), Image.Resampling.BICUBIC))


def plain(data: bytes, resolution: int) -> np.ndarray:
    """Pillow alone."""
    return middle_square(Image.open(io.BytesIO(data)), resolution)


def own(data: bytes, resolution: int) -> np.ndarray:
    """Our decoding and resizing, without a pipeline."""
    return fit(decode(data, resolution), resolution)


def in_a_loop(
    work: Callable[[bytes, int], np.ndarray], files: list[bytes], resolution: int, workers: int
) -> float:
    """Seconds a picture, of `workers` processes at once."""
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        pool.map(partial(_loop, work, files[:8], resolution), range(workers))
        start = time.perf_counter()
        pool.map(partial(_loop, work, files, resolution), range(workers), chunksize=1)
        return (time.perf_counter() - start) / len(files) / workers


def _loop(work: Callable[[bytes, int], np.ndarray], files: list[bytes], resolution: int, _: int) -> None:
    torch.set_num_threads(1)
    for data in files:
        work(data, resolution)


def bare_tar(folder: Path) -> float:
    """Seconds a picture to read the tars' bytes, and nothing else."""
    start, pictures = time.perf_counter(), 0
    for path in sorted(folder.glob("train-*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file
                file.read()
                pictures += member.name.endswith((".jpg", ".png"))
    return (time.perf_counter() - start) / pictures


def ours(folder: Path, resolution: int, workers: int) -> Iterator[int]:
    """imagen.data, shuffled, as imagen-train reads; pictures a batch."""
    shards = split_of(folder, "train", "data.train")
    order = Order([shard.samples for shard in shards], 0)
    batches = Batches(FromShards(shards, resolution), None, order, BATCH)
    for batch in DataLoader(batches, batch_size=None, collate_fn=whole_batch, num_workers=workers):
        yield len(batch["image"])


def webdataset(folder: Path, resolution: int, workers: int) -> Iterator[int]:
    """The recipe of its own documentation: decode("pil"), resize, WebLoader."""
    import webdataset as wds

    tars = [str(path) for path in sorted(folder.glob("train-*.tar"))]
    data = (
        wds.WebDataset(tars, shardshuffle=100, empty_check=False)
        .repeat()
        .shuffle(100)
        .decode("pil")
        .to_tuple("jpg;png", "txt")
        .map_tuple(partial(middle_square, resolution=resolution), str)
        .batched(BATCH)
    )
    for batch in wds.WebLoader(data, batch_size=None, num_workers=workers):
        yield len(batch[0])


def streaming(folder: Path, resolution: int, workers: int) -> Iterator[int]:
    """MosaicML Streaming on the same bytes."""
    stand_in_for_torchvision()
    from streaming import MDSWriter, StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    class Resized(StreamingDataset):
        def __getitem__(self, at: int) -> Any:
            sample = super().__getitem__(at)
            return torch.from_numpy(plain(sample["picture"], resolution).copy()), sample["caption"]

    local = folder / "mds"
    if not (local / "index.json").exists():
        with MDSWriter(out=str(local), columns={"picture": "bytes", "caption": "str"}) as writer:
            for data, caption in pictures(folder):
                writer.write({"picture": data, "caption": caption})
    clean_stale_shared_memory()
    while True:
        data = Resized(local=str(local), shuffle=True, batch_size=BATCH)
        for batch in DataLoader(data, batch_size=BATCH, num_workers=workers):
            yield len(batch[0])


def stand_in_for_torchvision() -> None:
    """Streaming imports torchvision for data sets that are not read here, and torchvision cannot be imported beside a
    torch for the CPU alone."""
    names = (
        "torchvision",
        "torchvision.datasets",
        "torchvision.transforms",
        "torchvision.transforms.functional",
    )
    for name in names:
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__spec__ = ModuleSpec(name, None)  # others look whether it is there
    vars(sys.modules["torchvision.datasets"])["VisionDataset"] = object
    vars(sys.modules["torchvision.transforms.functional"])["to_tensor"] = None


def pictures(folder: Path) -> Iterator[tuple[bytes, str]]:
    """All pictures of a folder of shards, as files."""
    for path in sorted(folder.glob("train-*.tar")):
        for entry in scan(path, print, pictures=True):
            yield picture_of(entry.sample), entry.captions[0]


READERS = {"ours": ours, "WebDataset": webdataset, "MosaicML Streaming": streaming}


def read(reader: str, folder: Path, resolution: int, workers: int, count: int) -> float:
    """Seconds a picture of `count` of them, once the workers are at work."""
    batches = READERS[reader](folder, resolution, workers)
    for _ in range(2 * max(workers, 1)):
        next(batches)
    start = time.perf_counter()
    got = sum(islice(batches, max(count // BATCH, 1)))
    return (time.perf_counter() - start) / got


def alone(*task: Any) -> float:
    """`read` in a process of its own."""
    # not a Pool: its processes may not have workers of their own
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _as_a_program) as pool:
        return pool.submit(read, *task).result()


def _as_a_program() -> None:
    """Workers are forked, as in programs that nobody spawned; each has one thread."""
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)


def measured(folder: Path, resolution: int, rounds: int) -> dict[str, Any]:
    """Pictures a second of everybody: the median of `rounds` in turns."""
    files = [data for data, _ in pictures(folder)][:GENERATED]
    count = max(min(len(files), GENERATED), 4 * BATCH)
    steps: dict[str, Callable[[], float]] = {"bare tar read": partial(bare_tar, folder)}
    for workers in (1, 2):
        steps[f"Pillow in a loop, {workers}"] = partial(in_a_loop, plain, files, resolution, workers)
        steps[f"own decode + resize, {workers}"] = partial(in_a_loop, own, files, resolution, workers)
        for reader in READERS:
            steps[f"{reader}, {workers}"] = partial(alone, reader, folder, resolution, workers, count)
    failed = {}
    for name, step in list(steps.items()):
        try:
            step()
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            del steps[name]
    seconds = measure.in_turns(steps, rounds, 600)
    sizes = [size_of(data) for data in files]
    return {
        "resolution": resolution,
        "pictures": len(files),
        "side": int(np.median([min(size) for size in sizes])),
        "kilobytes": round(sum(map(len, files)) / len(files) / 1000),
        "per_second": {name: 1 / statistics.median(each) for name, each in seconds.items()},
        "failed": failed,
    }


def told(name: str, found: dict[str, Any]) -> str:
    """A table for people."""
    rate, lines = found["per_second"], []
    head = f"{name}: {found['pictures']} of {found['side']} px, {found['kilobytes']} kB each -> {found['resolution']}"
    lines += [head, f"{'':<34} {'pictures/s':>10} {'ours is':>8}"]
    for key, value in rate.items():
        workers = key.rpartition(", ")[2]
        times = f"{rate[f'ours, {workers}'] / value:>7.2f}x" if workers.isdigit() else ""
        lines.append(f"{key:<34} {value:>10.0f} {times:>8}")
    lines += [f"{key:<34} failed: {why}" for key, why in found["failed"].items()]
    for workers in (1, 2):
        overhead = rate[f"own decode + resize, {workers}"] / rate[f"ours, {workers}"] - 1
        lines.append(f"overhead over own decode + resize, {workers}: {overhead:.1%}")
    return "\n".join(lines)


def memory(count: int) -> list[tuple[int, float]]:
    """(samples read, MB of memory) while `count` samples of drawn scenes are read in this process."""
    folder = OUT / "data/shapes"
    prepare(Shapes(count=4000, resolution=32, held_out=0), folder, shard_size=250)
    shards = split_of(folder, "train", "data.train")
    order = Order([shard.samples for shard in shards], 0)
    batches, found = iter(Batches(FromShards(shards, 32), None, order, BATCH)), []
    for step in range(1, count // BATCH + 1):
        next(batches)
        if step % max(count // BATCH // 10, 1) == 0:
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
            found.append((step * BATCH, round(resident / 1e6, 1)))
    return found


def resumed(shards: int = 1000) -> dict[str, float]:
    """Seconds from nothing to the first batch, at shares of an epoch of `shards` shards of 1000 pairs: links to one."""
    folder = OUT / "data/long"
    if not (folder / "index.json").exists():
        index = prepare(Shapes(count=1000, resolution=32, held_out=0), folder / "one", shard_size=1000)
        entry, tar = index["splits"]["train"]["shards"][0], folder / "one/train-000000.tar"
        (folder / "index").mkdir(exist_ok=True)
        entries = []
        for number in range(shards):
            name = f"train-{number:06d}"
            os.link(tar, folder / f"{name}.tar")
            os.link(folder / "one/index/train-000000.json", folder / f"index/{name}.json")
            entries.append({**entry, "name": f"{name}.tar"})
        sums = {key: shards * entry[key] for key in ("samples", "captions", "bytes")}
        write_index(folder / "index.json", {**index, "splits": {"train": {**sums, "shards": entries}}})
    found = {}
    for share in (0.01, 0.9):
        start = time.perf_counter()
        opened = split_of(folder, "train", "data.train")
        order = Order([shard.samples for shard in opened], 0)
        batches = Batches(FromShards(opened, 32), None, order, BATCH, start=int(share * len(order)))
        next(iter(batches))
        found[f"{share:.0%}"] = time.perf_counter() - start
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="repetitions (default %(default)s)")
    parser.add_argument(
        "--photos",
        type=Path,
        default=ROOT.parent / "shared/data/photos",
        help="tables of photographs: coco_cc.tsv, flowers.tsv",
    )
    parser.add_argument(
        "--samples", type=int, default=100_000, help="read while memory is watched (default %(default)s)"
    )
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    sources: dict[str, Any] = {"generated": PhotoLike()}
    for name in ("coco_cc", "flowers"):
        if (table := chosen.photos / f"{name}.tsv").exists():
            sources[name] = Table(table)
    results: dict[str, Any] = {}
    for name, source in sources.items():
        folder = OUT / "data" / name
        prepare(source, folder, shard_size=128, workers=2)
        for resolution in (64, 256) if name != "flowers" else (64,):
            results[f"{name} {resolution}"] = found = measured(folder, resolution, chosen.rounds)
            print(told(name, found), "\n", flush=True)
    results["memory"] = memory(chosen.samples)
    print("memory while reading: " + ", ".join(f"{n:,} {mb} MB" for n, mb in results["memory"]))
    results["resumed"] = resumed()
    print(
        "first batch of a run resumed at: "
        + ", ".join(f"{k} {v:.2f} s" for k, v in results["resumed"].items())
    )
    (OUT / "reading.json").write_text(json.dumps(results, indent=1))
    print(f"written to {OUT / 'reading.json'}")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
