"""imagen-prepare as a person calls it."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagen.data.module import Shards
from imagen.data.pictures import png
from imagen.programs.prepare import main
from imagen.text import HashedWords

Prepare = Callable[..., tuple[int, str]]


@pytest.fixture
def prepare(called: Callable[..., tuple[int, str, str]]) -> Prepare:
    """Calls it with words; returns the exit code and what it said (what went wrong, if anything did)."""

    def run(*words: str) -> tuple[int, str]:
        code, out, err = called(main, *words)
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        return code, "\n".join(errors) if code else out

    return run


def test_shapes_and_again(prepare: Prepare, tmp_path: Path) -> None:
    words = (
        "source=shapes",
        "source.count=6",
        "source.resolution=16",
        "source.held_out=2",
        "text=hashed_words",
        "text.dim=8",
        "out=F",
    )
    code, said = prepare(*words)
    assert code == 0
    assert "F: train 6 pairs, 6 captions" in said
    written = {p: p.stat().st_mtime_ns for p in (tmp_path / "F").rglob("*")}
    assert tmp_path / "F/train-000000.tar" in written
    assert prepare(*words) == (0, said)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "F").rglob("*")} == written
    code, said = prepare(*words, "source.count=7")
    assert (code, said) == (
        2,
        "error: out=F holds shards of other settings (count is 6 there, 7 here): "
        "choose another out=, or delete it",
    )
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "F").rglob("*")} == written
    assert prepare(*words, "text.dim=4")[0] == 0  # another encoder: the pictures are left alone
    assert len(list((tmp_path / "F/text").iterdir())) == 2


def test_table_without_embeddings(prepare: Prepare, tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes(png(np.full((9, 7, 3), number, np.uint8)))
    rows = [
        {"path": f"{n}.png", "captions": [f"picture {n}", "a grey one"], "split": "val" if n > 9 else "train"}
        for n in range(12)
    ]
    rows[3]["captions"] = []
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    code, said = prepare("source=table", "source.path=t.jsonl", "out=F", "embed=false")
    assert code == 0
    assert said.splitlines()[0].startswith("F: train 9 pairs, 18 captions")
    assert "1  empty caption (train row 3: 3.png)" in said
    assert not (tmp_path / "F/text").exists()
    data = Shards(tmp_path / "F", resolution=4, batch_size=2, encoder=HashedWords(8))
    data.setup("fit")
    assert len(list(data.val_dataloader())) == 1
    assert next(iter(data.train_dataloader()))["image"].shape == (2, 4, 4, 3)


def test_what_is_wrong_is_said_in_one_line(prepare: Prepare, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,caption\na.png,a\n")
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    for words, message in {
        (
            "out=F",
        ): "error: no source: give source=table source.path=TABLE, or source=folder, coco, img2dataset, huggingface or shapes",
        ("source=table", "out=F"): "error: no value for source.path: give source.path=...",
        ("source=table", "source.path=t.csv"): "error: no value for out: give out=...",
        (
            "source=table",
            "source.path=none.csv",
            "out=F",
        ): "error: source.path=none.csv: there is no such table",
        ("source=table", "source.path=t.csv", "out=F"): (
            "error: source.path=t.csv has no column 'path'; it has 'file', 'caption': "
            "give source.image_column=NAME"
        ),
    }.items():
        assert prepare(*words) == (2, message)
    for words in (("source=shape", "out=F"), ("source=shapes", "source.cuont=3", "out=F")):
        code, said = prepare(*words)
        assert (code, len(said.splitlines())) == (2, 1)
    assert not (tmp_path / "F").exists()


def test_help_says_what_and_how(prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = prepare("--help")
    assert code == 0
    for word in (
        "imagen-prepare source=table source.path=",
        "source=shapes source.count=20000",
        "max_bad",
        "minilm",
    ):
        assert word in said


def test_the_real_photos(prepare: Prepare, shared: Path, tmp_path: Path) -> None:
    code, said = prepare(
        "source=table",
        f"source.path={shared}/photos/coco_cc.tsv",
        "out=F",
        "text=hashed_words",
        "shard_size=50",
    )
    assert code == 0
    assert "F: train 111 pairs" in said
    data = Shards(
        os.path.relpath(tmp_path / "F"), resolution=32, batch_size=16, encoder=HashedWords(), memory=True
    )
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (16, 32, 32, 3)
    assert batch["text_emb"].shape[2] == 384


def test_filters_on_columns_as_the_help_writes_them(prepare: Prepare, tmp_path: Path) -> None:
    rows = [{"path": f"{n}.png", "caption": f"picture {n}", "aesthetic": n} for n in range(6)]
    for n, row in enumerate(rows):
        (tmp_path / row["path"]).write_bytes(png(np.full((9, 7, 3), n, np.uint8)))
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ("source=table", "source.path=t.jsonl", "embed=false")
    code, said = prepare(*words, "out=F", "filters.columns={aesthetic: [2, null]}")
    assert code == 0
    assert "F: train 4 pairs" in said
    assert "2  column aesthetic (train row 0: 0.png: 0; train row 1: 1.png: 1)" in said
    code, said = prepare(*words, "out=G", "dry_run=true")
    assert (code, said) == (0, "")
    assert not (tmp_path / "G").exists()
