"""A folder of shards: its bytes, its index, and what a kill in the middle leaves of it."""

import contextlib
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset

from imagen.data.members import captions_of, scan
from imagen.data.pictures import png
from imagen.data.prepare.embedding import embed
from imagen.data.prepare.preparing import prepare
from imagen.data.shards import split_of
from imagen.data.sources.img2dataset import Img2dataset
from imagen.data.sources.shapes import Shapes
from imagen.data.sources.source import BadPair, Pair
from imagen.text import HashedWords, open_embeddings


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_round_trip(folder: Path, numbers: Any) -> None:
    index = prepare(numbers(), folder, shard_size=4)
    assert sorted(p.name for p in folder.glob("*.tar")) == [f"test-{0:06d}.tar"] + [
        f"train-{i:06d}.tar" for i in range(3)
    ]
    assert index["splits"]["train"]["samples"] == 11
    assert index == json.loads((folder / "index.json").read_text())
    source, row = numbers(), 0
    for shard in split_of(folder, "train", "data.train"):
        said = 0
        for at in range(shard.samples):
            pair, sample = source.pair("train", row), shard.read(at)
            assert sample["__key__"] == f"train-{row:08d}"
            assert (sample["png"], captions_of(sample)) == (pair.image, pair.captions)
            assert sample["txt"].decode() == pair.captions[0]
            assert json.loads(sample["json"]) == {**pair.fields, "captions": list(pair.captions)}
            assert shard.first_caption(at) == said
            said += len(pair.captions)
            row += 1
    assert row == 11


def test_any_webdataset_reader_reads_it(folder: Path) -> None:
    prepare(Shapes(count=5, resolution=8, held_out=1), folder)
    dataset = webdataset.WebDataset(str(folder / "train-000000.tar"), shardshuffle=False).decode("pil")  # type: ignore[attr-defined]
    samples = list(dataset)
    assert [s["__key__"] for s in samples] == [f"train-{row:08d}" for row in range(5)]
    assert samples[0]["png"].size == (8, 8)
    assert samples[0]["json"]["captions"] == [samples[0]["txt"]]


def test_same_source_same_bytes(tmp_path: Path, numbers: Any) -> None:
    for name in "ab":
        prepare(numbers(bad=(3,)), tmp_path / name, shard_size=4)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_finished_folder_is_left_alone(folder: Path, numbers: Any) -> None:
    index = prepare(numbers(), folder)
    before, again = content(folder), numbers()
    assert prepare(again, folder) == index
    assert not again.read
    assert content(folder) == before


def test_stopped_run_goes_on_at_the_next_shard(folder: Path, tmp_path: Path, numbers: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare(numbers(fatal=6), folder, shard_size=4)
    assert not (folder / "index.json").exists()
    with pytest.raises(ValueError, match=r"data.train=.* has no index.json"):
        split_of(folder, "train", "data.train")
    source = numbers()
    prepare(source, folder, shard_size=4)
    assert source.read[0] == ("train", 4)
    prepare(numbers(), tmp_path / "whole", shard_size=4)
    assert content(folder) == content(tmp_path / "whole")


def test_killed_process_leaves_whole_shards_only(folder: Path, tmp_path: Path) -> None:
    script = (
        "import sys, time\n"
        "from imagen.data.sources.shapes import Shapes\n"
        "from imagen.data.prepare.preparing import prepare\n"
        "class Slow(Shapes):\n"
        "    def pair(self, split, row):\n"
        "        print(row, flush=True)\n"
        "        time.sleep(60 if row == 6 else 0)\n"  # until it is killed
        "        return super().pair(split, row)\n"
        "prepare(Slow(count=12, resolution=8, held_out=2), sys.argv[1], shard_size=4)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    for line in process.stdout:
        if int(line) == 6:
            os.kill(process.pid, signal.SIGKILL)
            break
    process.wait()
    assert [p.name for p in folder.glob("*.tar")] == ["train-000000.tar"]
    source = Shapes(count=12, resolution=8, held_out=2)
    prepare(source, folder, shard_size=4)
    prepare(source, tmp_path / "whole", shard_size=4)
    assert content(folder) == content(tmp_path / "whole")


def test_other_settings_are_refused_by_name(folder: Path, numbers: Any) -> None:
    prepare(numbers(), folder, shard_size=4)
    before = content(folder)
    with pytest.raises(
        ValueError, match=r"other settings \(shard_size is 4 there, 5 here\): choose another out="
    ):
        prepare(numbers(), folder, shard_size=5)
    with pytest.raises(ValueError, match=r"\(source is numbers there, letters here\)"):
        prepare(numbers(name="letters"), folder, shard_size=4)
    assert content(folder) == before


def test_a_folder_of_something_else_is_refused(folder: Path, numbers: Any) -> None:
    folder.mkdir()
    (folder / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match="holds no shards of ours"):
        prepare(numbers(), folder)
    assert list(content(folder)) == ["thesis.tex"]


def test_embeddings_of_every_caption_beside_the_shards(folder: Path, numbers: Any) -> None:
    prepare(numbers(bad=(0, 1, 2, 3)), folder, shard_size=4, max_bad=1)  # the first shard is empty
    before = content(folder)
    encoder = HashedWords(8)
    assert embed(folder, [encoder]) == embed(folder, [HashedWords(8)]) == 14 + 6
    assert {k: v for k, v in content(folder).items() if not k.startswith("text")} == before
    shard = split_of(folder, "train", "x")[0]
    captions = [caption for at in range(shard.samples) for caption in captions_of(shard.read(at))]
    stored = open_embeddings(folder, encoder.configured)(shard.name)
    assert len(stored) == len(captions)
    for number, caption in enumerate(captions):
        assert stored.of(number, caption).sub(encoder([caption])[0][0]).abs().max() < 2e-3
    embed(folder, [HashedWords(4)])
    assert len(list((folder / "text").iterdir())) == 2


def test_tars_of_others_are_read_by_pattern(tmp_path: Path) -> None:
    for number in range(2):
        with webdataset.writer.TarWriter(str(tmp_path / f"{number:05d}.tar")) as writer:
            for row in range(3):
                writer.write(
                    {"__key__": f"a/{number}{row}", "jpg": b"x" * 513, "txt": f"caption {row}", "json": b"{}"}
                )
    shards = split_of(tmp_path / "{00000..00001}.tar", "train", "data.train")
    assert [shard.samples for shard in shards] == [3, 3]
    assert shards[1].read(2) == {
        "__key__": "a/12",
        "jpg": b"x" * 513,
        "txt": b"caption 2",
        "json": b"{}",
    }
    assert [shard.name for shard in split_of(tmp_path / "*1.tar", "train", "x")] == ["00001.tar"]
    assert [entry.captions for entry in scan(shards[0].path, pytest.fail)] == [
        ("caption 0",),
        ("caption 1",),
        ("caption 2",),
    ]


def test_no_shards_and_cut_shards_are_named(folder: Path, numbers: Any) -> None:
    with pytest.raises(ValueError, match=r"data.train=.*nothing-\*.tar matches no shards: give a folder"):
        split_of(folder / "nothing-*.tar", "train", "data.train")
    prepare(numbers(), folder, shard_size=4)
    with pytest.raises(ValueError, match=r"data.val=.* has no split 'val'; it has train, test"):
        split_of(folder, "val", "data.val")
    tar = folder / "train-000001.tar"
    opened = split_of(folder, "train", "data.train")[1]
    tar.write_bytes(tar.read_bytes()[:1000])
    with pytest.raises(
        ValueError, match=r"train-000001.tar has 1000 bytes, \d+ in index.json: copy it again"
    ):
        split_of(folder, "train", "data.train")
    with pytest.raises(BadPair, match="broken tar"):
        opened.read(3)
    with pytest.raises(ValueError, match=r"train-000001.tar has 1000 bytes, but its pairs end at \d+: copy"):
        split_of(folder / "train-*.tar", "train", "data.train")


def test_captions_that_are_not_there() -> None:
    assert captions_of({"txt": b"a"}) == ("a",)
    assert captions_of({"json": b'{"caption": "b"}'}) == ("b",)
    assert captions_of({"json": b'{"captions": ["c", ""]}', "txt": b"c"}) == ("c", "")
    for sample in ({}, {"txt": b"\xff"}, {"json": b"{"}, {"json": b"[]"}):
        assert captions_of(sample) == ()


def test_several_processes_write_the_same_bytes(tmp_path: Path) -> None:
    source = Shapes(count=23, resolution=8, held_out=3)
    indexes = [prepare(source, tmp_path / str(n), shard_size=4, workers=n) for n in (1, 3)]
    assert indexes[0] == indexes[1]
    assert content(tmp_path / "1") == content(tmp_path / "3")


SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start what runs in the background deaf to it
from imagen.data.prepare.preparing import prepare
from imagen.data.sources.shapes import Shapes
class Slow(Shapes):
    def pair(self, split, row):
        time.sleep(0.02)
        return super().pair(split, row)
if __name__ == "__main__":
    prepare(Slow(count=60, resolution=8, held_out=2), sys.argv[1], shard_size=4, workers=3)
"""


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_processes_end_with_the_first_one_and_all_goes_on(tmp_path: Path, sign: signal.Signals) -> None:
    script, out = tmp_path / "slow.py", tmp_path / "out"
    script.write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, script, out], stderr=subprocess.DEVNULL, start_new_session=True
    )
    while len(list(out.glob("index/*.json"))) < 3:
        time.sleep(0.01)
    os.kill(process.pid, sign)
    process.wait()
    for _ in range(
        500
    ):  # the others notice that nobody waits for them; they hold the lock as long as they live
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 0)
            time.sleep(0.01)
            continue
        break
    assert not (out / "index.json").exists()
    source = Shapes(count=60, resolution=8, held_out=2)
    prepare(source, out, shard_size=4, workers=2)
    prepare(source, tmp_path / "whole", shard_size=4)
    assert content(out) == content(tmp_path / "whole")


def test_a_killed_worker_is_said_in_one_line(tmp_path: Path) -> None:
    class Fatal(Shapes):
        def pair(self, split: str, row: int) -> Pair:
            if row == 9:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().pair(split, row)

    with pytest.raises(
        ValueError, match=r"one of workers=2 processes was killed, for want of memory perhaps"
    ):
        prepare(Fatal(count=12, resolution=8, held_out=2), tmp_path / "out", shard_size=4, workers=2)


def test_a_full_disk_is_said_in_one_line(folder: Path, numbers: Any) -> None:
    class Full(numbers):
        def pair(self, split: str, row: int) -> Pair:
            if row == 6:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().pair(split, row)

    with pytest.raises(ValueError, match=r"out=.*: the disk is full \([\d.]+ [MGT]B free\): make room"):
        prepare(Full(), folder, shard_size=4)
    prepare(numbers(), folder, shard_size=4)
    assert [shard.samples for shard in split_of(folder, "train", "x")] == [4, 4, 3]


def test_several_devices_share_the_embedding(folder: Path, tmp_path: Path, numbers: Any) -> None:
    for out in (folder, tmp_path / "one"):
        prepare(numbers(), out, shard_size=2)
    embed(folder, [HashedWords(8) for _ in range(3)])
    embed(tmp_path / "one", [HashedWords(8)])
    assert content(folder) == content(tmp_path / "one")


def test_what_is_finished_stays_whatever_fails_later(folder: Path, numbers: Any) -> None:
    """A shard with bad rows is made again only where too many are bad and the folder never was finished."""
    prepare(numbers(bad=(1, 5)), folder, shard_size=4, max_bad=0.2)
    before = content(folder)
    (folder / "train-000002.tar").unlink()
    with pytest.raises(ValueError, match="5 pairs cannot be used"):
        prepare(numbers(bad=(1, 5, 8, 9, 10)), folder, shard_size=4, max_bad=0.2)
    assert before.keys() - content(folder).keys() == {"train-000002.tar", "index/train-000002.json"}
    prepare(numbers(bad=(1, 5)), folder, shard_size=4, max_bad=0.2)
    assert content(folder) == before

    class Full(numbers):
        def pair(self, split: str, row: int) -> Pair:
            if row == 9:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().pair(split, row)

    other = folder.parent / "other"
    with pytest.raises(ValueError, match="the disk is full"):
        prepare(Full(bad=(1, 5)), other, shard_size=4, max_bad=0.2)
    assert sorted(path.name for path in other.glob("*.tar")) == ["train-000000.tar", "train-000001.tar"]


def test_the_index_does_not_depend_on_who_was_done_first(folder: Path, tmp_path: Path, numbers: Any) -> None:
    for workers in (1, 3):
        prepare(
            numbers(bad=(1, 2, 5, 6, 9)), tmp_path / str(workers), shard_size=2, max_bad=1, workers=workers
        )
    assert content(tmp_path / "1") == content(tmp_path / "3")


@pytest.mark.parametrize("name", ["index", "text"])
def test_nothing_is_written_through_links(folder: Path, name: str, numbers: Any) -> None:
    prepare(numbers(), folder, shard_size=4)
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    if (folder / name).exists():
        (folder / name).rename(folder.parent / "away")
    (folder / name).symlink_to(elsewhere)
    for call in (lambda: prepare(numbers(), folder, shard_size=4), lambda: embed(folder, [HashedWords(8)])):
        with pytest.raises(ValueError, match=rf"{name} is a link: delete it"):
            call()
    assert not any(elsewhere.iterdir())


def replaced(tar: Path, old: bytes, new: bytes) -> None:
    """By another tar of the same size and time, as a copy is that keeps times."""
    before = tar.stat()
    beside = tar.with_name("beside")
    beside.write_bytes(tar.read_bytes().replace(old, new))
    os.utime(beside, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(beside, tar)


def test_a_tar_that_was_replaced_by_one_of_its_size_is_made_again(
    folder: Path, numbers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(numbers(), folder, shard_size=4)
    before, tar = content(folder), folder / "train-000001.tar"
    for finished in (True, False):
        replaced(tar, b"caption", b"CAPTION")
        assert content(folder) != before
        if not finished:
            (folder / "index.json").unlink()
        prepare(numbers(), folder, shard_size=4)
        assert content(folder) == before
        assert f"{tar} is another one than was indexed" in caplog.text
        caplog.clear()


def test_a_tar_of_others_that_was_replaced_is_indexed_again(tmp_path: Path, tar_of: Any) -> None:
    pictures = [png(np.full((8, 8, 3), level, np.uint8)) for level in range(4)]
    members = [(f"{n}.{k}", v) for n, p in enumerate(pictures) for k, v in (("png", p), ("txt", b"a rose"))]
    tar, source = tar_of(tmp_path / "tars/0.tar", *members), Img2dataset(tmp_path / "tars")
    first = prepare(source, tmp_path / "out")
    embed(tmp_path / "out", [HashedWords(8)])
    replaced(tar, b"a rose", b"a lily")
    again = prepare(source, tmp_path / "out")
    sums = [index["splits"]["train"]["shards"][0]["sha256"] for index in (first, again)]
    assert sums[1] == hashlib.sha256(tar.read_bytes()).hexdigest() != sums[0]
    embed(tmp_path / "out", [HashedWords(8)])
    stored = open_embeddings(tmp_path / "out", HashedWords(8).key)("train-000000.tar")
    assert len(stored.of(0, "a lily")) == 2


def test_tars_that_were_only_touched_are_read_once(folder: Path, numbers: Any, monkeypatch: Any) -> None:
    prepare(numbers(), folder, shard_size=4)
    for tar in folder.glob("*.tar"):
        os.utime(tar)
    time.sleep(0.01)  # a clock tick of the file system
    prepare(numbers(), folder, shard_size=4)
    monkeypatch.setattr("imagen.data.prepare.preparing.sha256_of", None)
    again = numbers()
    prepare(again, folder, shard_size=4)
    assert not again.read
