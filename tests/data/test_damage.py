"""Damaged folders and tars: one clear line that names the file, and prepare makes again what it can."""

import json
import logging
import os
import tarfile
import zlib
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from imagen.data.members import captions_of
from imagen.data.module import Shards
from imagen.data.pictures import png
from imagen.data.prepare.embedding import embed
from imagen.data.prepare.preparing import described, prepare
from imagen.data.shapes import draw, scene_of
from imagen.data.shards import Shard, split_of
from imagen.data.sources.shapes import Shapes
from imagen.data.sources.source import BadPair, Pair
from imagen.text import HashedWords

ENCODER = HashedWords(8)
TarOf = Callable[..., Path]


def source() -> Shapes:
    return Shapes(count=10, resolution=8, held_out=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare(source(), tmp_path / "out", shard_size=4)
    embed(tmp_path / "out", [ENCODER])
    return tmp_path / "out"


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def again(folder: Path) -> None:
    prepare(source(), folder, shard_size=4)
    embed(folder, [ENCODER])


def opened(train: Path | str) -> Shards:
    data = Shards(train, resolution=8, batch_size=2, encoder=ENCODER)
    data.setup("fit")
    return data


def read_all(train: Path) -> None:
    batches: Any = opened(train).train_dataloader().dataset
    for number in range(5):
        batches.batch(number)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("harm", [Path.unlink, truncate, lambda path: path.write_text("my thesis")])
@pytest.mark.parametrize(
    "name", ["train-000001.tar", "index/train-000001.json", "text/*/train-000001.safetensors"]
)
def test_prepare_makes_again_what_is_gone_or_cut(
    folder: Path, name: str, harm: Callable[[Path], None]
) -> None:
    before = content(folder)
    (path,) = folder.glob(name)
    harm(path)
    if name.startswith("index") and path.exists():
        with pytest.raises(
            ValueError, match=r"train-000001.json is damaged \(.*\); delete it and prepare again"
        ):
            read_all(folder)
        path.unlink()
    again(folder)
    assert content(folder) == before


def led_to(index: dict[str, Any], url: str) -> dict[str, Any]:
    """An index of which a tar lies elsewhere."""
    train = index["splits"]["train"]
    shards = [{**train["shards"][0], "url": url}, *train["shards"][1:]]
    return {**index, "splits": {**index["splits"], "train": {**train, "shards": shards}}}


@pytest.mark.parametrize(
    "change",
    [
        lambda index: [],
        lambda index: {},
        lambda index: {"splits": 5},
        lambda index: {"splits": {"train": {}}},
        lambda index: {**index, "splits": {}},
        lambda index: {**index, "splits": {"../x": index["splits"]["train"]}},
        lambda index: {**index, "splits": {"train": {**index["splits"]["train"], "shards": []}}},
        lambda index: {**index, "splits": {"train": {**index["splits"]["train"], "captions_left_out": "x"}}},
        lambda index: {**index, "splits": {"train": {**index["splits"]["train"], "bytes": 10**400}}},
        lambda index: {**index, "left_out": {"k": 10**400}},
        lambda index: {**index, "left_out": {"k": True}},
        lambda index: {**index, "examples": {"k": [5]}},
        lambda index: {**index, "unusable": None},
        lambda index: {**index, "unusable": {"pairs": 5, "rows": 4, "first": "x"}},
        lambda index: {**index, "unusable": {"pairs": -1, "rows": 4, "first": "x"}},
        lambda index: {**index, "unusable": {"pairs": 1, "rows": 10**400, "first": "x"}},
        lambda index: {**index, "unusable": {"pairs": 1, "rows": 4, "first": 5}},
        lambda index: led_to(index, "x" * 5000),
        lambda index: led_to(index, "/a/" + "x" * 256),
        lambda index: led_to(index, "s3://x/" + "x" * 100_000),
        lambda index: led_to(index, "a\0b"),
        lambda index: {**index, "left_out": 5},
        lambda index: {**index, "left_out": {"k": "x"}},
        lambda index: {**index, "examples": {"k": 5}},
        lambda index: {
            **index,
            "splits": {"train": {**index["splits"]["train"], "shards": [{"name": ".."}]}},
        },
        lambda index: {**index, "splits": {"train": {**index["splits"]["train"], "shards": [{"name": 5}]}}},
    ],
)
def test_a_damaged_index_is_named(folder: Path, change: Callable[[dict], Any]) -> None:
    path = folder / "index.json"
    before = content(folder)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    for use in (opened, again, lambda folder: embed(folder, [ENCODER])):
        with pytest.raises(ValueError, match=r"index.json is damaged \(.*\); delete it and prepare again"):
            use(folder)
    path.unlink()
    again(folder)
    assert content(folder) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda pairs: {},
        lambda pairs: {**pairs, "starts": 5},
        lambda pairs: {**pairs, "starts": []},
        lambda pairs: {**pairs, "ends": pairs["ends"][:-1]},
        lambda pairs: {**pairs, "starts": [b + 0.5 for b in pairs["starts"]]},
        lambda pairs: {**pairs, "starts": pairs["starts"][::-1]},
        lambda pairs: {**pairs, "captions": ["a"] * len(pairs["captions"])},
        lambda pairs: {name: column[:-1] for name, column in pairs.items()},
    ],
)
def test_damaged_places_are_named(folder: Path, change: Callable[[dict], Any]) -> None:
    path = folder / "index/train-000000.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, "pairs": change(index["pairs"])}))
    with pytest.raises(ValueError, match=r"train-000000.json is damaged \(.*\); delete it and prepare again"):
        read_all(folder)


@pytest.mark.parametrize("key", ["rows", "name", "sha256", "pairs", "left_out"])
def test_a_shard_s_index_without_an_entry_is_named(folder: Path, key: str) -> None:
    (folder / "index.json").unlink()
    path = folder / "index/train-000000.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != key}))
    with pytest.raises(ValueError, match=r"train-000000.json is damaged \(.*\); delete it and prepare again"):
        again(folder)


def test_a_cut_validation_shard_is_no_missing_validation(folder: Path) -> None:
    truncate(folder / "test-000000.tar")
    with pytest.raises(ValueError, match=r"data.val=.*: test-000000.tar has 100 bytes"):
        opened(folder)


def test_what_is_no_tar_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.tar").touch()
    (tmp_path / "text.tar").write_text("not a tar " * 200)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.add(folder / "index.json")
    for name in ("out/index.json", "empty.tar", "text.tar", "a.tar.gz"):
        with pytest.raises(ValueError, match=rf"{name} is no tar: give tars"):
            opened(tmp_path / name)
    os.mkfifo(tmp_path / "pipe.tar")
    with pytest.raises(ValueError, match=r"data.train=.*pipe.tar is no file"):
        opened(tmp_path / "pipe.tar")


@pytest.mark.parametrize(
    "names", ["{000000000..999999999}", "{0..9" + "9" * 5000 + "}", "{a,b}" * 20 + "{a,b}"]
)
def test_patterns_without_end_are_refused(names: str) -> None:
    with pytest.raises(ValueError, match=r"data.train=x/.* names more than 1000000 shards"):
        opened(f"x/{names}.tar")


def test_unbalanced_braces_are_refused() -> None:
    with pytest.raises(ValueError, match=r"data.train=x/\{0..9.tar is no pattern: Unbalanced"):
        opened("x/{0..9.tar")


def test_a_member_that_is_there_twice_is_a_bad_pair(tmp_path: Path, tar_of: TarOf) -> None:
    shard = Shard.scanned(tar_of(tmp_path / "a.tar", ("k.txt", b"a"), ("k.png", b"1"), ("k.png", b"2")))
    with pytest.raises(BadPair) as caught:
        shard.read(0)
    assert str(caught.value).startswith(f"broken tar: {shard.path} at byte 0: k.png is there twice")


def test_captions_that_cannot_be_read_are_bad_pairs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tar_of: TarOf
) -> None:
    picture = png(draw(scene_of("train", 0, 0), 8))
    texts = [b"[" * 100_000, b'{"captions": ' + b"[" * 100_000, b'{"caption": "\\ud800"}', b"1" * 10_000]
    assert [captions_of({"json": text}) for text in texts] == [(), (), ("\ud800",), ()]
    members = [(f"{n}.{k}", v) for n, text in enumerate(texts) for k, v in (("png", picture), ("json", text))]
    good = [(f"good{n}.{k}", v) for n in range(20) for k, v in (("png", picture), ("txt", b"a circle"))]
    data = Shards(
        str(tar_of(tmp_path / "a.tar", *members, *good)),
        resolution=8, batch_size=24, encoder=ENCODER, max_bad=0.5,
    )  # fmt: skip
    data.setup("fit")
    with caplog.at_level(logging.WARNING):
        batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert set(batch["caption"]) == {"a circle"}
    assert sum("unreadable text" in r.getMessage() for r in caplog.records) == 4
    assert sum("unreadable text: 2: half a character" in r.getMessage() for r in caplog.records) == 1


class Odd(Shapes):
    """Half a character in the caption of row 3 and in the path of row 5; row 7 has no picture."""

    def pair(self, split: str, row: int) -> Pair:
        pair = super().pair(split, row)
        if split != "train":
            return pair
        if row == 3:
            return Pair(pair.image, "png", (8, 8), ("\ud800",))
        if row == 5:
            return Pair(pair.image, "png", (8, 8), pair.captions, {"path": "\udfff.png"})
        if row == 7:
            raise BadPair("missing image", "\ud800.jpg: no such file")
        return pair


def test_left_out_pairs_are_named_to_people(tmp_path: Path) -> None:
    index = prepare(Odd(count=10, resolution=8, held_out=2), tmp_path / "out", max_bad=0.5)
    assert index["left_out"] == {"unreadable text": 2, "missing image": 1}
    told, bad, missing = described(tmp_path / "out", index).splitlines()[-3:]
    assert told.startswith(f"{tmp_path / 'out'}: left out; which ones: ")
    assert "2  unreadable text (train row 3: " in bad
    assert missing.endswith(r"1  missing image (train row 7: \ud800.jpg: no such file)")
    prepare(Odd(count=10, resolution=8, held_out=2), tmp_path / "again", max_bad=0.5)
    assert content(tmp_path / "out") == content(tmp_path / "again")


@pytest.mark.parametrize("size", [0, -1])
def test_a_shard_has_at_least_one_row(tmp_path: Path, size: int) -> None:
    with pytest.raises(ValueError, match=f"shard_size={size}: give at least 1"):
        prepare(source(), tmp_path / "out", shard_size=size)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_max_bad_is_a_share(tmp_path: Path, share: float) -> None:
    with pytest.raises(ValueError, match=f"max_bad={share}: a share lies between 0 and 1"):
        prepare(source(), tmp_path / "out", max_bad=share)


@pytest.mark.parametrize("option", ["count", "resolution", "captions", "held_out", "seed"])
def test_shapes_out_of_range_are_refused(option: str) -> None:
    with pytest.raises(ValueError, match=rf"source.{option}=-1 must be at least [01]"):
        Shapes(**{option: -1})


def test_a_large_seed_is_a_seed() -> None:
    one, other = (Shapes(count=1, resolution=8, seed=10**40 + k).pair("train", 0) for k in range(2))
    assert one != other


def test_pictures_too_large_to_draw_are_refused() -> None:
    with pytest.raises(ValueError, match=r"source\.resolution=1000000 must be at most 4096"):
        Shapes(resolution=1_000_000)


def bomb() -> bytes:
    """A png of a few bytes that says it has 4,000,000,000 pixels."""
    data = bytearray(png(draw(scene_of("train", 0, 0), 8)))
    data[16:24] = (64000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


def test_every_kind_of_bad_member_is_counted_by_its_kind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tar_of: TarOf
) -> None:
    good = png(draw(scene_of("train", 0, 0), 8))
    said = {"txt": b"a circle"}
    bad: dict[str, tuple[str, dict[str, bytes]]] = {
        "truncated": ("unreadable image", {"png": good[:60], **said}),
        "zero": ("unreadable image", {"png": b"", **said}),
        "bomb": ("unreadable image", {"png": bomb(), **said}),
        "silent": ("missing caption", {"png": good}),
        "blank": ("empty caption", {"png": good, "txt": b" "}),
        "latin": ("unreadable text", {"png": good, "txt": b"caf\xe9"}),
        "unknown": ("missing image", {"xyz": good, **said}),
        "broken": ("unreadable text", {"png": good, "txt": b"a circle", "json": b"{"}),
    }
    members = [(f"{key}.{k}", v) for key, (_, sample) in bad.items() for k, v in sample.items()]
    members += [(f"good{n}.{k}", v) for n in range(60) for k, v in {"png": good, **said}.items()]
    tar_of(tmp_path / "a.tar", *members)
    data = Shards(str(tmp_path / "a.tar"), resolution=8, batch_size=4, encoder=ENCODER, max_bad=0.5)
    data.setup("fit")
    batches: Any = data.train_dataloader().dataset
    with caplog.at_level(logging.WARNING):
        for number in range(3 * 68 // 4):
            assert set(batches.batch(number)["caption"]) == {"a circle"}
    assert sorted(batches.bad.values()) == sorted(kind for kind, _ in bad.values())
    told = [record for record in caplog.records if record.name == "imagen.data.pipeline"]
    assert len(told) == len(bad), "each is logged once"
    data.max_bad = 0.1
    with pytest.raises(
        ValueError, match=r"pairs cannot be used \(unreadable image 3, .*\), more than data.max_bad"
    ):
        for _, _ in zip(data.train_dataloader(), range(3 * 68 // 4)):
            pass


def test_a_shard_that_goes_away_while_training_is_counted_and_skipped(folder: Path) -> None:
    data = opened(folder)
    batches: Any = data.train_dataloader().dataset
    (folder / "train-000001.tar").unlink()
    for number in range(10):
        batches.batch(number)
    assert set(batches.bad.values()) == {"missing shard"}
    assert len(batches.bad) == 4


def replaced(path: Path, old: bytes, new: bytes) -> None:
    """By another file of the same size and time, as a copy is that keeps times."""
    before = path.stat()
    beside = path.with_name("beside")
    beside.write_bytes(path.read_bytes().replace(old, new))
    os.utime(beside, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(beside, path)


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("change", [(b"IDAT", b"IDAt"), (b".png", b".gnp"), (b"ustar", b"UUUUU")])
def test_a_tar_that_was_replaced_since_is_not_trained_on(
    folder: Path, change: tuple[bytes, bytes], memory: bool
) -> None:
    """Each of its pairs is a bad one, as if it were broken: the run ends when they are more than data.max_bad."""
    tar = folder / "train-000000.tar"
    replaced(tar, *change)
    before = content(folder)
    shard = split_of(folder, "train", "data.train")[0]
    for row in range(shard.samples):
        with pytest.raises(BadPair):
            shard.read(row)
    if change[0] == b"IDAT":
        with pytest.raises(
            BadPair, match=r"at byte \d+: not the one that was indexed: run imagen-prepare again"
        ):
            shard.read(0)
    data = Shards(folder, resolution=8, batch_size=2, encoder=ENCODER, memory=memory)

    def train() -> None:
        data.setup("fit")
        list(islice(data.train_dataloader(), 100))

    with pytest.raises(ValueError, match=r"pairs cannot be used \(.*\), more than data.max_bad"):
        train()
    assert content(folder) == before
    again(folder)
    read_all(folder)


def test_captions_that_were_replaced_since_are_not_trained_on(folder: Path) -> None:
    for tar in folder.glob("train*.tar"):
        replaced(tar, b"red", b"RED")
        replaced(tar, b"blue", b"BLUE")
        replaced(tar, b"green", b"GREEN")
        replaced(tar, b"yellow", b"YELLOW")
    with pytest.raises(ValueError, match=r"other captions than its shard has now .*run imagen-prepare again"):
        read_all(folder)
    embed(folder, [ENCODER])
    read_all(folder)


def test_a_copied_folder_is_read_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of its tars are younger than their indexes; a folder that nothing was done to is not held against them."""
    before = content(folder)
    monkeypatch.setattr("imagen.data.shards.read_digests", None)
    read_all(folder)
    monkeypatch.undo()
    for tar in folder.glob("*.tar"):
        os.utime(tar)
    read_all(folder)
    assert content(folder) == before


def test_an_index_that_promises_too_much(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    prepare(Shapes(count=4, resolution=8, held_out=2), folder)
    path, whole = folder / "index/train-000000.json", (folder / "index.json").read_text()
    index = json.loads(path.read_text())
    index["pairs"]["ends"][-1] = 10**15
    path.write_text(json.dumps(index))
    with pytest.raises(BadPair, match=r"broken tar: .*has \d+ bytes, and the pair ends at 1000000000000000"):
        split_of(folder, "train", "x")[0].read(3)
    for samples in (10**12, 10**30):
        lists = json.loads(whole)
        lists["splits"]["train"]["shards"][0]["samples"] = samples
        (folder / "index.json").write_text(json.dumps(lists))
        with pytest.raises(ValueError, match=r"index.json is damaged"):
            split_of(folder, "train", "x")
