"""imagen-prepare as a person calls it: what it refuses, and how it tells what others wrote."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from imagen.programs.prepare import main
from imagen.text import cache as text_cache

Called = Callable[..., tuple[int, str, str]]
WORDS = (
    "source=shapes",
    "source.count=6",
    "source.resolution=8",
    "source.held_out=2",
    "text=hashed_words",
    "text.dim=8",
)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("out=F", "device=[]"), "device=[]: give cpu, cuda, or a list of those"),
        (("out=F", "device=[]", "embed=false"), "device=[]: give cpu, cuda, or a list of those"),
        (
            ("out=s3://bucket/x",),
            "out=s3://bucket/x: must be a path on a disk of this machine, and no address",
        ),
    ],
)
def test_one_clear_line(called: Called, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    assert called(main, *WORDS, *words) == (2, "", f"error: {message}\n")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_while_embedding(called: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tensors: object, path: Path, metadata: object) -> None:
        raise text_cache.SafetensorError("I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr("imagen.text.cache.save_file", full)
        code, _, error = called(main, *WORDS, "out=F")
    assert code == 2
    assert re.fullmatch(r"error: out=F: the disk is full \(.*", error.splitlines()[-1])
    assert "Traceback" not in error
    assert called(main, *WORDS, "out=F")[0] == 0


def test_what_it_prints_of_an_index_is_plain(called: Called, tmp_path: Path) -> None:
    assert called(main, *WORDS, "out=F")[0] == 0
    path = tmp_path / "F/index.json"
    index = json.loads(path.read_text())
    index["left_out"], index["examples"] = {"\x1b[31mred": 1}, {"\x1b[31mred": ["\ud800"]}
    path.write_text(json.dumps(index))
    code, said, _ = called(main, *WORDS, "out=F", "dry_run=true")
    assert code == 0
    assert "\x1b" not in said
    assert "\ufffd[31mred (\\ud800)" in said


def test_a_card_says_what_is_known(called: Called, tmp_path: Path) -> None:
    assert called(main, *WORDS, "out=F", "embed=false")[0] == 0
    facts, card = json.loads((tmp_path / "F/card.json").read_text()), (tmp_path / "F/card.md").read_text()
    assert facts["licence"] == {"given": None, "source": "Apache-2.0"}
    assert facts["splits"]["train"]["samples"] == 6
    assert "| licence | Apache-2.0 (as the source says) |" in card
    assert "| train | 6 | 6 | 1 |" in card
    assert "faces" not in card, "drawn"
    made = (tmp_path / "F/card.md").stat().st_mtime_ns
    assert called(main, *WORDS, "out=F", "embed=false")[0] == 0
    assert (tmp_path / "F/card.md").stat().st_mtime_ns == made, "nothing new is nothing written"


def test_a_card_of_pictures_says_what_nobody_checked(called: Called, tmp_path: Path) -> None:
    (tmp_path / "P").mkdir()
    for name, side in {"a": 40, "b": 40, "c": 8}.items():
        Image.new("RGB", (side, side), "red" if name == "b" else "blue").save(tmp_path / f"P/{name}.png")
        (tmp_path / f"P/{name}.txt").write_text("a wall")
    words = ("source=folder", "source.path=P", "out=F", "embed=false", "filters.min_side=16")
    assert called(main, *words)[0] == 0
    card = (tmp_path / "F/card.md").read_text()
    assert "| licence | not stated |" in card
    assert "| captions by | not known |" in card
    assert "faces and other things" in card
    assert "(NSFW)" in card
    assert "consent" in card
    assert "| too small | 1 |" in card
    assert r"Filters: min\_side: 16." in card
    assert called(main, *words, "licence='CC0 <b>|</b>'")[0] == 0
    card = (tmp_path / "F/card.md").read_text()
    assert r"| licence | CC0 &lt;b&gt;\|&lt;/b&gt; (as stated by who prepared it) |" in card
    assert called(main, *words)[0] == 0, "what was stated once stays"
    assert (tmp_path / "F/card.md").read_text() == card


def test_a_damaged_card(called: Called, tmp_path: Path) -> None:
    assert called(main, *WORDS, "out=F", "embed=false")[0] == 0
    (tmp_path / "F/card.json").write_text('{"format": 1, "splits": []}')
    code, _, error = called(main, *WORDS, "out=F", "embed=false")
    assert code == 2
    assert "card.json is damaged" in error.splitlines()[-1]
    assert "delete it" in error
