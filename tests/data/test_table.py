"""Tables of paths and captions: what is read, and one clear line for what is wrong."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from imagen.data.pictures import png
from imagen.data.sources.source import BadPair
from imagen.data.sources.table import Table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        data = png(np.full((8, 8, 3), 50 * number, np.uint8))
        (tmp_path / f"pictures/{number}.png").write_bytes(data)
    return tmp_path


def table(folder: Path, text: str, name: str = "table.tsv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_tsv_with_splits_several_captions_and_fields(folder: Path) -> None:
    source = Table(
        table(
            folder,
            "path\tsplit\tlicence\tcaptions\n"
            "pictures/0.png\ttrain\tCC\tone ||| two ||| \n"
            'pictures/1.png\tval\t\t"a quoted ""caption"""\n'
            'pictures/2.png\t\t\t"no end of it\n',
        )
    )
    assert source.splits == {"train": 2, "val": 1}
    first = source.pair("train", 0)
    assert first.captions == ("one", "two")
    assert first.fields == {"path": "pictures/0.png", "split": "train", "licence": "CC"}
    assert (first.image, first.extension) == ((folder / "pictures/0.png").read_bytes(), "png")
    assert source.pair("train", 1).captions == ('"no end of it',)
    assert source.pair("val", 0).captions == ('a quoted "caption"',)


def test_csv_with_other_columns_and_folder(folder: Path) -> None:
    path = table(folder, 'file,what\n0.png,"a, b"\n', "t.csv")
    source = Table(path, images=folder / "pictures", image_column="file", caption_column="what")
    assert source.pair("train", 0).captions == ("a, b",)


def test_jsonl_with_a_list_of_captions(folder: Path) -> None:
    rows = [{"path": "pictures/0.png", "caption": ["a", " ", "b"], "size": 3}, {"path": "pictures/1.png"}]
    source = Table(table(folder, "\n".join(map(json.dumps, rows)) + "\n\n", "t.jsonl"))
    assert source.pair("train", 0).captions == ("a", "b")
    assert source.pair("train", 0).fields["size"] == 3
    with pytest.raises(BadPair, match="empty caption"):
        source.pair("train", 1)


def test_bad_pairs_say_what_and_which(folder: Path) -> None:
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    source = Table(table(folder, "path\tcaption\npictures/0.png\t \nnone.png\ta\nbroken.jpg\tb\n\tc\n"))
    kinds = []
    for row in range(4):
        with pytest.raises(BadPair) as caught:
            source.pair("train", row)
        kinds.append(caught.value.kind)
        assert row == 3 or ["0.png", "none.png", "broken.jpg"][row] in str(caught.value)
    assert kinds == ["empty caption", "missing image", "unreadable image", "missing image"]


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "pictures/../../secret.png", ".."])
def test_paths_may_not_leave_the_folder(folder: Path, path: str) -> None:
    inside = folder / "inside"
    inside.mkdir()
    (inside / "0.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"row 2 leads out of .*inside: "):
        Table(table(inside, f"path\tcaption\n0.png\tfine\n{path}\ta\n"))


def test_absolute_paths_within_the_folder_are_fine(folder: Path) -> None:
    source = Table(table(folder, f"path\tcaption\n{folder}/pictures/0.png\ta\n"), images=folder / "pictures")
    assert source.pair("train", 0).captions == ("a",)


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("path\tcaption\n", "t.tsv", "has no rows"),
        ("", "t.csv", "has no rows"),
        (
            "file,caption\na,b\n",
            "t.csv",
            "has no column 'path'; it has 'file', 'caption': give source.image_column=",
        ),
        (
            "path,text\na,b\n",
            "t.csv",
            "has no column 'caption'; it has 'path', 'text': give source.caption_column=",
        ),
        ("path,path,caption\na,b,c\n", "t.csv", "has 2 columns 'path': rename all but one"),
        ("path\tcaption\tcaption\na\tb\tc\n", "t.tsv", "has 2 columns 'caption': rename all but one"),
        ("{}\n" + "[" * 100_000 + "\n", "t.jsonl", "line 2 is not JSON"),
        ('{"path": ' + "1" * 10_000 + "}\n", "t.jsonl", "line 1 is not JSON: Exceeds the limit"),
        ("path,caption\na,b\n", "t.xlsx", "ends in .csv, .tsv, .jsonl or .parquet"),
        ("{\n", "t.jsonl", "line 1 is not JSON"),
        ("3\n", "t.jsonl", "line 1 is not an object"),
        (
            "path,caption\nx.png,b\n",
            "t.csv",
            "none of the first 1 pictures is in .*give source.images=FOLDER",
        ),
        ("path,caption,split\nx.png,b,../up\n", "t.csv", "'../up' in column 'split' cannot name a split"),
    ],
)
def test_one_clear_line(folder: Path, text: str, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Table(table(folder, text, name))


def test_missing_table_folder_and_encoding(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"source.path=.*none.csv: there is no such table"):
        Table(folder / "none.csv")
    path = table(folder, "path,caption\npictures/0.png,a\n", "t.csv")
    with pytest.raises(ValueError, match=r"source.images=nowhere: there is no such folder"):
        Table(path, images="nowhere")
    path.write_bytes("path,caption\nä,b\n".encode("latin-1"))
    with pytest.raises(ValueError, match="is not UTF-8"):
        Table(path)


def test_a_pipe_is_no_picture_and_a_reason_names_no_place_in_memory(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    (folder / "text.png").write_text("not a picture")
    source = Table(table(folder, "path\tcaption\npictures/0.png\ta\npipe.png\tb\ntext.png\tc\n"))
    for row, reason in (
        (1, "missing image: pipe.png: no such file"),
        (2, "unreadable image: text.png: not a picture"),
    ):
        with pytest.raises(BadPair) as caught:
            source.pair("train", row)
        assert str(caught.value) == reason


def test_no_separator_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"source.separator is empty: give"):
        Table(table(folder, "path\tcaption\npictures/0.png\ta\n"), separator="")


def test_identity_follows_the_content_not_the_place(folder: Path) -> None:
    text = "path,caption\npictures/0.png,a\n"
    one, other = Table(table(folder, text, "a.csv")), Table(table(folder, text, "b.csv"))
    changed = Table(table(folder, text.replace(",a", ",b"), "c.csv"))
    assert one.identity == other.identity != changed.identity


def test_the_real_tables(shared: Path) -> None:
    coco, flowers = Table(shared / "photos/coco_cc.tsv"), Table(shared / "photos/flowers.tsv")
    assert coco.splits == {"train": 111}
    assert len(coco.pair("train", 0).captions) == 5
    assert flowers.splits == {"train": 2934, "val": 736}
    assert flowers.pair("val", 735).fields["class"]
