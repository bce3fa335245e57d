"""Data that means harm, or that nobody looked at: counted by its kind, never run, printed raw or fatal."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from imagen.data.members import captions_of, plain_pair, scan
from imagen.data.pictures import decode, png, size_of, storable
from imagen.data.prepare.embedding import captions_in
from imagen.data.prepare.estimate import estimate
from imagen.data.prepare.left_out import LeftOut
from imagen.data.prepare.preparing import described, prepare
from imagen.data.shards import Shard
from imagen.data.sources.coco import Coco
from imagen.data.sources.folder import Folder
from imagen.data.sources.huggingface import HuggingFace
from imagen.data.sources.img2dataset import Img2dataset
from imagen.data.sources.shapes import Shapes
from imagen.data.sources.source import BadPair, Pair
from imagen.data.sources.table import Table

TarOf = Callable[..., Path]
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"


def picture(level: int) -> bytes:
    return png(np.full((8, 8, 3), level, np.uint8))


def indexed(folder: Path) -> dict[str, Any]:
    """Prepared, and every caption of it found again by the number that the index gives."""
    index = prepare(Img2dataset(folder), folder / "out", max_bad=1)
    for shard in index["splits"]["train"]["shards"]:
        assert len(captions_in(folder / "out", shard)) == shard["captions"]
    return index


def table(folder: Path, *rows: dict[str, Any], good: int = 1) -> Table:
    """A jsonl of these rows, behind good ones."""
    for number in range(good):
        (folder / f"good{number}.png").write_bytes(picture(number))
    all_rows = [{"path": f"good{number}.png", "caption": "good"} for number in range(good)] + list(rows)
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in all_rows))
    return Table(folder / "t.jsonl")


# Pictures


@pytest.mark.parametrize("data", [EPS, b"P6 1 1 255\n\x01\x02\x03", b"\0\0\1\0"])
def test_only_the_formats_that_are_named_are_read(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*given: object, **more: object) -> None:
        pytest.fail("a program was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", run)
    for read in (decode, size_of, storable):
        with pytest.raises(BadPair, match=r"^unreadable image: not a picture$"):
            read(data)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "MPO"])
def test_every_format_that_is_named_is_read(form: str) -> None:
    file, red = io.BytesIO(), Image.new("RGB", (8, 6), (200, 30, 40))
    more = {"save_all": True, "append_images": [red]} if form == "MPO" else {}
    red.save(file, form, **more)
    assert decode(file.getvalue()).size == size_of(file.getvalue()) == (8, 6)
    assert storable(file.getvalue())[1] == ("jpg" if form in ("JPEG", "MPO") else "png")


# Members of tars


def test_extensions_of_either_case(tmp_path: Path, tar_of: TarOf) -> None:
    said = json.dumps({"captions": ["one", "two"]}).encode()
    members = [("a.PNG", picture(1)), ("a.TXT", b"one"), ("b.Png", picture(2)), ("b.JSON", said)]
    tar = tar_of(tmp_path / "0.tar", *members)
    assert indexed(tmp_path)["splits"]["train"]["captions"] == 3
    shard = Shard.scanned(tar)
    assert [shard.first_caption(row) for row in range(2)] == [0, 1]
    assert captions_of(shard.read(1)) == ("one", "two")


NOT_TEXT = [None, True, 1, 0.5, ["a"], {"a": "b"}]


def test_captions_that_are_not_text_are_as_blank(tmp_path: Path, tar_of: TarOf) -> None:
    fields: list[dict[str, Any]] = [{"captions": [*NOT_TEXT, "a"]}, {"captions": NOT_TEXT}]
    fields += [{"caption": cell} for cell in NOT_TEXT]
    texts = [json.dumps(part).encode() for part in fields]
    assert captions_of({"json": texts[0]}) == ("",) * len(NOT_TEXT) + ("a",)
    members = [
        (f"{n}.{k}", v) for n, text in enumerate(texts) for k, v in (("png", picture(n)), ("json", text))
    ]
    tar_of(tmp_path / "0.tar", *members)
    index = indexed(tmp_path)
    assert index["splits"]["train"]["captions"] == len(NOT_TEXT) + 1, "each keeps its number"
    assert index["left_out"] == {"empty caption": len(NOT_TEXT), "missing caption": 1}


def test_a_member_that_is_there_twice_is_not_indexed(tmp_path: Path, tar_of: TarOf) -> None:
    twice = [("a.png", picture(1)), ("a.png", picture(2)), ("a.txt", b"a")]
    again = [(f"b.{k}", v) for _ in range(2) for k, v in (("png", picture(3)), ("TXT", b"b"), ("txt", b"b"))]
    unread = [("c.png", picture(4)), ("c.txt", b"c"), ("c.npy", b"1"), ("c.NPY", b"2")]
    good = [("d.png", picture(5)), ("d.txt", b"d")]
    tar = tar_of(tmp_path / "0.tar", *twice, *again, *unread, *good)
    index = indexed(tmp_path)
    assert index["left_out"] == {"broken tar": 3}
    assert index["examples"]["broken tar"][0].endswith("row 0: a.png is there twice")
    assert estimate(Img2dataset(tmp_path), 8).left_out == {"broken tar": 3}
    assert index["splits"]["train"]["samples"] == 1
    shard = Shard.scanned(tar)
    for row in range(3):
        with pytest.raises(BadPair, match=r"^broken tar: .*0.tar at byte \d+: \S+ is there twice$"):
            shard.read(row)


def test_odd_names_of_members(tmp_path: Path, tar_of: TarOf) -> None:
    named = [("a.__key__", b"b"), ("a.png", picture(1)), ("a.txt", b"a")]
    nameless = [("b.", b"1"), ("b.txt", b"b")]
    good = [("c.png", picture(2)), ("c.txt", b"c")]
    tar = tar_of(tmp_path / "0.tar", *named, *nameless, *good)
    assert indexed(tmp_path)["left_out"] == {"broken tar": 1, "missing image": 1}
    start, end = (lambda entry: (entry.start, entry.end))(next(scan(tar, pytest.fail)))
    assert plain_pair(tar.read_bytes()[start:end]) is None


# Rows of tables and annotations


def test_captions_of_sources_that_are_not_text(tmp_path: Path) -> None:
    source = table(
        tmp_path, *({"path": f"{n}.png", "caption": cell} for n, cell in enumerate([*NOT_TEXT, NOT_TEXT]))
    )
    kept = source.pair("train", 0)
    assert kept.captions == ("good",)
    for row, cell in enumerate([*NOT_TEXT, NOT_TEXT], 1):
        if isinstance(cell, list):  # several captions, of which some are text
            continue
        with pytest.raises(BadPair, match=r"^empty caption: "):
            source.pair("train", row)


def test_brackets_without_end_in_another_column(tmp_path: Path) -> None:
    (tmp_path / "deep.png").write_bytes(picture(7))
    table(tmp_path, good=3)
    text = (tmp_path / "t.jsonl").read_text()
    row = json.dumps({"path": "deep.png", "caption": "deep", "more": "HERE"}).replace(
        '"HERE"', "[" * 900 + "]" * 900
    )
    (tmp_path / "t.jsonl").write_text(text + row + "\n")
    source = Table(tmp_path / "t.jsonl")
    assert estimate(source, 8).left_out == {"unreadable text": 1}
    index = prepare(source, tmp_path / "out", max_bad=0.5)
    assert index["left_out"] == {"unreadable text": 1}
    assert "train row 3: " in index["examples"]["unreadable text"][0]


DEEP: Any = []
for _ in range(900):
    DEEP = [DEEP]
PATHS = [
    DEEP,
    "a\0b.png",
    "\ud800.png",
    "x" * 5000 + ".png",
    "y/" * 2500 + "z.png",
    ["a.png"],
    {"a": 1},
    True,
    None,
    ["/../.."],
]


@pytest.mark.parametrize("name", PATHS)
def test_paths_that_no_file_has_are_missing_pictures(tmp_path: Path, name: Any) -> None:
    source = table(tmp_path, {"path": name, "caption": "a"})
    assert source.splits == {"train": 2}
    index = prepare(source, tmp_path / "out", max_bad=0.5)
    assert index["left_out"] == {"missing image": 1}
    (told,) = index["examples"]["missing image"]
    assert told.startswith("train row 1: ")
    assert len(told) < 200
    (tmp_path / "t.jsonl").write_text(json.dumps({"path": name, "caption": "a"}))
    with pytest.raises(ValueError, match=r"none of the first 1 pictures is in .*give source.images=FOLDER"):
        Table(tmp_path / "t.jsonl")


@pytest.mark.parametrize("name", PATHS)
def test_file_names_of_coco_that_no_file_has(tmp_path: Path, name: Any) -> None:
    (tmp_path / "images").mkdir()
    images = [{"id": 1, "file_name": "good.png"}, {"id": 2, "file_name": name}]
    said = [{"image_id": n, "caption": caption} for n in (1, 2) for caption in ("a", None, 3)]
    (tmp_path / "a.json").write_text(json.dumps({"images": images, "annotations": said}))
    (tmp_path / "images/good.png").write_bytes(picture(1))
    source = Coco(tmp_path / "a.json", images=tmp_path / "images")
    assert source.pair("train", 0).captions == ("a",)
    with pytest.raises(BadPair, match=r"^missing image: "):
        source.pair("train", 1)


def test_paths_of_hugging_face_that_no_file_has(tmp_path: Path) -> None:
    source: Any = HuggingFace.__new__(HuggingFace)
    source.image_column, source.caption_column = "image", "text"
    rows = [{"image": {"path": name}, "text": "a"} for name in PATHS if isinstance(name, str)]
    source._data = {"train": [*rows, {"image": {"bytes": picture(1)}, "text": 3}]}
    for row in range(len(rows)):
        with pytest.raises(BadPair, match=r"^missing image: "):
            source.pair("train", row)
    with pytest.raises(BadPair, match=r"^empty caption: "):
        source.pair("train", len(rows))


def test_a_link_to_itself_is_a_missing_file(tmp_path: Path) -> None:
    for name in ("a.png", "b.txt"):
        (tmp_path / name).symlink_to(tmp_path / name)
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.png").write_bytes(picture(1))
    source = Folder(tmp_path)
    for row, kind in enumerate(("missing image", "missing caption")):
        with pytest.raises(BadPair, match=rf"^{kind}: "):
            source.pair("train", row)


# What is told to people


ESCAPES = "\x1b[31mred\x1b]0;title\x07\x9b2J\r\n\u202e"
PLAIN = r"\x1b[31mred\x1b]0;title\x07\x9b2J\r\n\u202e"


def test_terminals_are_not_sent_what_names_and_captions_say(tmp_path: Path) -> None:
    (tmp_path / f"{ESCAPES}.png").write_bytes(b"no picture")
    (tmp_path / f"{ESCAPES}.txt").write_text("a")
    (tmp_path / "good.png").write_bytes(picture(1))
    (tmp_path / "good.txt").write_text("an ordinary caption — naïve, 東京")
    index = prepare(Folder(tmp_path), tmp_path / "out", max_bad=0.5)
    told = described(tmp_path / "out", index)
    assert all(line.isprintable() for line in told.splitlines())
    assert PLAIN in told
    with pytest.raises(BadPair) as caught:
        Folder(tmp_path).pair("train", 0)
    assert str(caught.value) == f"unreadable image: {PLAIN}.png: not a picture"


def test_reasons_of_an_index_that_came_from_elsewhere_are_plain() -> None:
    left_out = LeftOut(None, 0)
    left_out.add(
        "train", [{"row": 0, "kind": "missing image", "reason": f"missing image: {ESCAPES}東京", "bad": True}]
    )
    left_out.add_duplicates(1, [ESCAPES])
    assert left_out.examples["missing image"] == [f"train row 0: {PLAIN}東京"]
    assert left_out.examples["exact duplicate"] == [PLAIN]
    with pytest.raises(ValueError, match=r"the first is train row 0: .*東京\)") as caught:
        left_out.refuse(1)
    assert str(caught.value).isprintable()


def test_a_path_that_leads_out_is_refused_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"row 2 leads out of") as caught:
        table(tmp_path, {"path": f"../{ESCAPES}", "caption": "a"})
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("split", [["train"], {"train": 1}, DEEP])
def test_a_list_names_no_split(tmp_path: Path, split: Any) -> None:
    with pytest.raises(ValueError, match=r"'(list|dict)\(\)' in column 'split' cannot name a split"):
        table(tmp_path, {"path": "a.png", "caption": "a", "split": split})


class Long(Shapes):
    """Captions of a megabyte."""

    def pair(self, split: str, row: int) -> Pair:
        pair = super().pair(split, row)
        return Pair(pair.image, "png", pair.size, ("word " * 200_000,))


def test_a_caption_takes_no_more_embeddings_than_encoders_make() -> None:
    pairs = 8
    assert estimate(Long(count=pairs, resolution=8, held_out=0), 16).embeddings == pairs * 128 * 16 * 2
