"""Sources of pictures as they lie on people's disks: what each makes of them, and what it says when they are wrong."""

import decimal
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from PIL import Image

from imagen.data.pictures import png
from imagen.data.prepare.preparing import prepare
from imagen.data.shards import split_of
from imagen.data.sources.coco import Coco
from imagen.data.sources.folder import Folder
from imagen.data.sources.img2dataset import Img2dataset
from imagen.data.sources.source import BadPair
from imagen.data.sources.table import Table


def picture(level: int, width: int = 9, height: int = 7) -> bytes:
    return png(np.full((height, width, 3), level, np.uint8))


# A folder with captions beside the pictures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for level, name in enumerate(("b.png", "a.png", "deep/c.png", "deep/d.png", ".hidden/e.png")):
        file = tmp_path / "pictures" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(level))
        file.with_suffix(".txt").write_text(f"picture {level}\n\n  again {level} \n", encoding="utf-8-sig")
    return tmp_path / "pictures"


def test_a_folder_in_the_order_of_names(folder: Path) -> None:
    source = Folder(folder)
    assert source.splits == {"train": 4}
    pairs = [source.pair("train", row) for row in range(4)]
    assert [pair.fields["path"] for pair in pairs] == ["a.png", "b.png", "deep/c.png", "deep/d.png"]
    assert (pairs[0].captions, pairs[0].size) == (("picture 1", "again 1"), (9, 7))


def test_captions_that_are_missing_empty_or_not_text(folder: Path) -> None:
    (folder / "a.txt").unlink()
    (folder / "b.txt").write_text(" \n")
    (folder / "deep/c.txt").write_bytes(b"\xff\xfe")
    source = Folder(folder)
    for row, kind in enumerate(("missing caption", "empty caption", "unreadable text")):
        with pytest.raises(BadPair) as caught:
            source.pair("train", row)
        assert caught.value.kind == kind


def test_folders_that_are_splits(folder: Path) -> None:
    for split in ("train", "val"):
        (folder / split).mkdir()
        (folder / split / f"{split}.png").write_bytes(picture(1))
        (folder / split / f"{split}.txt").write_text(split)
    source = Folder(folder)
    assert source.splits == {"train": 1, "val": 1}
    assert source.pair("val", 0).captions == ("val",)


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"source.path=.*none: there is no such folder"):
        Folder(tmp_path / "none")
    with pytest.raises(ValueError, match=r"source.path=.*: no pictures \(jpg, "):
        Folder(tmp_path)


# COCO


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    (tmp_path / "val2017").mkdir()
    for number in (7, 3):
        (tmp_path / f"val2017/{number:012d}.jpg").write_bytes(picture(number))
    content = {
        "licenses": [{"id": 4, "name": "Attribution License", "url": "x"}],
        "images": [
            {"id": n, "file_name": f"{n:012d}.jpg", "license": 4, "flickr_url": f"f/{n}"} for n in (7, 3)
        ],
        "annotations": [
            {"image_id": n, "id": 1, "caption": f"{word} {n}\n"} for word in "ab" for n in (3, 7)
        ],
    }
    (tmp_path / "annotations").mkdir()
    path = tmp_path / "annotations/captions_val2017.json"
    path.write_text(json.dumps(content))
    return path


def test_coco(coco: Path) -> None:
    source = Coco(coco)
    assert source.splits == {"val": 2}
    pair = source.pair("val", 0)
    assert pair.captions == ("a 3", "b 3")
    assert pair.fields == {
        "path": "000000000003.jpg",
        "id": 3,
        "licence": "Attribution License",
        "source": "f/3",
    }
    assert Coco(coco, split="train").splits == {"train": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annotations": None}, "is no captions file of COCO"),
        ({"images": [{"id": 1}]}, "is no captions file of COCO"),
        ({"images": [{"id": 1, "file_name": "../x.jpg"}]}, "leads out of"),
        ({"images": [{"id": 1, "file_name": "/x.jpg"}]}, "leads out of"),
    ],
)
def test_annotations_that_are_none(coco: Path, change: dict[str, Any], message: str) -> None:
    coco.write_text(json.dumps({**json.loads(coco.read_text()), **change}))
    with pytest.raises(ValueError, match=rf"source.path=.*{message}"):
        Coco(coco)


def test_coco_without_its_pictures(coco: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"source.images=.*/none: there is no such folder"):
        Coco(coco, images=tmp_path / "none")
    (tmp_path / "val2017").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"source.images=.*val2017: there is no such folder"):
        Coco(coco)
    assert Coco(coco, images=tmp_path / "elsewhere").pair("val", 1).captions == ("a 7", "b 7")


# Tables


def test_rows_of_one_picture_are_one_pair(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(picture(3))
    (tmp_path / "t.csv").write_text(
        "path,caption,note\na.png,one,x\nb.png,two,y\na.png,three,z\na.png,one,w\n"
    )
    source = Table(tmp_path / "t.csv")
    assert source.splits == {"train": 2}
    pair = source.pair("train", 0)
    assert (pair.captions, pair.fields) == (("one", "three"), {"path": "a.png", "note": "x"})


def test_parquet_is_a_table_like_others(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [
        {"path": f"{n}.png", "captions": [f"picture {n}", "grey"], "aesthetic": n / 2, "clip": [0.5] * 8}
        for n in range(3)
    ]
    for row in rows:
        (tmp_path / row["path"]).write_bytes(picture(9))
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    pair = Table(tmp_path / "t.parquet").pair("train", 2)
    assert pair.captions == ("picture 2", "grey")
    assert pair.fields == {"path": "2.png", "aesthetic": 1.0}
    (tmp_path / "t.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(ValueError, match=r"source.path=.*t.parquet is no parquet file"):
        Table(tmp_path / "t.parquet")


# Tars of img2dataset, used where they lie


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    (tmp_path / "bucket").mkdir()
    for number in range(3):
        with webdataset.writer.TarWriter(str(tmp_path / f"bucket/{number:05d}.tar")) as writer:
            for row in range(4):
                level = 10 * number + row
                meta = {"caption": f"picture {level}", "url": "x", "similarity": level / 100, "width": 9}
                sample = {"__key__": f"{number:05d}{row:04d}", "txt": f"picture {level}", "json": meta}
                writer.write(sample | {"jpg": picture(level if level != 21 else 1)})
    return tmp_path / "bucket"


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_tars_are_used_in_place(bucket: Path, tmp_path: Path) -> None:
    from imagen.data.prepare.filters import Filters

    before = content(bucket)
    filters = Filters(columns={"similarity": [None, 0.225]})
    index = prepare(Img2dataset(bucket), tmp_path / "out", filters=filters)
    assert content(bucket) == before
    assert not list((tmp_path / "out").glob("*.tar"))
    # of 12 pairs number 21 has the picture of number 1, and number 23 is filtered out
    assert index["left_out"] == {"column similarity": 1, "exact duplicate": 1}
    shards = split_of(tmp_path / "out", "train", "data.train")
    said = [shard.read(row)["txt"].decode() for shard in shards for row in range(shard.samples)]
    assert said == [f"picture {n}" for n in (0, 1, 2, 3, 10, 11, 12, 13, 20, 22)]
    assert [shards[2].first_caption(row) for row in range(2)] == [0, 2]


def test_moved_tars_are_missed(bucket: Path, tmp_path: Path) -> None:
    prepare(Img2dataset(bucket), tmp_path / "out")
    (bucket / "00001.tar").unlink()
    with pytest.raises(ValueError, match=r"data.train=.*00001.tar is gone: put it back"):
        split_of(tmp_path / "out", "train", "data.train")


def test_a_damaged_tar_keeps_its_good_pairs(bucket: Path, tmp_path: Path) -> None:
    tar = bucket / "00001.tar"
    data = bytearray(tar.read_bytes())
    from imagen.data.members import scan

    second = list(scan(tar, pytest.fail))[1]
    data[second.start : second.start + 100] = b"x" * 100
    tar.write_bytes(data)
    index = prepare(Img2dataset(bucket), tmp_path / "out", max_bad=0.5)
    assert index["left_out"]["broken tar"] == 1
    said = {
        shard.read(row).get("txt")
        for shard in split_of(tmp_path / "out", "train", "x")
        for row in range(shard.samples)
    }
    assert {b"picture 10", b"picture 12", b"picture 13"} <= said


def test_no_tars(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"source.path=.*: no tars; give the folder that `img2dataset"):
        Img2dataset(tmp_path)


def test_hugging_face_data_sets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    from imagen.data.sources.huggingface import HuggingFace

    pictures = [Image.fromarray(np.full((7, 9, 3), level, np.uint8)) for level in range(3)]
    columns = {"image": pictures, "text": ["zero", "one", ""], "score": [0.5, 1.5, 2.5]}
    features = datasets.Features(
        {"image": datasets.Image(), "text": datasets.Value("string"), "score": datasets.Value("float32")}
    )
    saved = datasets.DatasetDict({"train": datasets.Dataset.from_dict(columns, features=features)})
    saved.save_to_disk(str(tmp_path / "hf"))
    source = HuggingFace(str(tmp_path / "hf"))
    pair = source.pair("train", 1)
    assert (pair.captions, pair.size, pair.fields) == (("one",), (9, 7), {"score": 1.5})
    with pytest.raises(BadPair, match="empty caption"):
        source.pair("train", 2)
    with pytest.raises(ValueError, match=r"has no column 'words' in every split; it has image, text, score"):
        HuggingFace(str(tmp_path / "hf"), caption_column="words")


def test_split_names_from_elsewhere_lead_nowhere(tmp_path: Path) -> None:
    class Evil(Folder):
        def __init__(self, split: str) -> None:
            self.splits, self.identity = {split: 1}, {"source": "evil"}

    (tmp_path / "victim").mkdir()
    for split in ("./../victim/train", "/tmp/x", "", "a" * 300, "a b"):
        with pytest.raises(ValueError, match=r"source: .* cannot name a split"):
            prepare(Evil(split), tmp_path / "out")
    assert not list((tmp_path / "victim").iterdir())


def test_links_out_of_the_folder_are_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("a secret")
    (tmp_path / "outside.png").write_bytes(picture(1))
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "b.png").unlink()
    (folder / "b.png").symlink_to(tmp_path / "outside.png")
    (folder / "inner.png").symlink_to(folder / "deep/c.png")
    (folder / "inner.txt").write_text("a link within")
    source = Folder(folder)
    for row in (0, 1):
        with pytest.raises(BadPair, match="outside the folder"):
            source.pair("train", row)
    assert source.pair("train", 2).captions == ("a link within",)
    (tmp_path / "t.csv").write_text("path,caption\nb.png,b\ndeep/c.png,c\n")
    table = Table(tmp_path / "t.csv", images=folder)
    with pytest.raises(BadPair, match=r"outside the folder: b.png leads to .*outside.png"):
        table.pair("train", 0)


def test_a_pipe_is_no_caption(folder: Path) -> None:
    (folder / "a.txt").unlink()
    os.mkfifo(folder / "a.txt")
    with pytest.raises(BadPair, match=r"missing caption: a\.png: a\.txt is no file"):
        Folder(folder).pair("train", 0)


def test_columns_that_json_does_not_have(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    (tmp_path / "a.png").write_bytes(picture(3))
    columns = {
        "path": ["a.png"],
        "caption": ["a"],
        "when": pyarrow.array([1], pyarrow.timestamp("s")),
        "bytes": [b"\xff"],
        "nan": [float("nan")],
        "price": pyarrow.array([decimal.Decimal("1.50")], pyarrow.decimal128(10, 2)),
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    prepare(Table(tmp_path / "t.parquet"), tmp_path / "out")
    (shard,) = split_of(tmp_path / "out", "train", "x")
    fields = json.loads(shard.read(0)["json"])
    assert fields == {"path": "a.png", "when": "1970-01-01 00:00:01", "price": "1.50", "captions": ["a"]}


def test_long_captions_in_a_csv(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(3))
    (tmp_path / "t.csv").write_text(f"path,caption\na.png,{'long ' * 60_000}\n")
    assert len(Table(tmp_path / "t.csv").pair("train", 0).captions[0]) == 300_000 - 1
