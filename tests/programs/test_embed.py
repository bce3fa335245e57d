"""imagen-embed as a person calls it: one more encoder beside the shards, which stay as they are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imagen.data.prepare.preparing import prepare
from imagen.data.sources.shapes import Shapes
from imagen.programs.embed import main
from imagen.text import HashedWords, open_embeddings

Called = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare(Shapes(count=9, resolution=8, held_out=2, captions=2), tmp_path / "out", shard_size=4)
    return tmp_path / "out"


def test_another_encoder_leaves_the_pictures_alone(folder: Path, called: Called) -> None:
    before = {p: p.stat().st_mtime_ns for p in folder.glob("*.tar")}
    words = (f"data={folder}", "text=hashed_words", "text.dim=8")
    code, said, _ = called(main, *words, "device=[cpu,cpu]")
    assert code == 0
    assert said.startswith(f"{folder}/text/hashed_words-")
    assert "captions, " in said
    assert len(open_embeddings(folder, HashedWords(8).configured)("train-000000.tar")) >= 4
    assert {p: p.stat().st_mtime_ns for p in folder.glob("*.tar")} == before
    assert called(main, *words)[:2] == (0, said)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("data={none}", "text=hashed_words"), "data={none} has no index.json"),
        (("text=hashed_words",), "no value for data.path: give data.path=..."),
        (("data={folder}", "device=[cpu,gpu9]"), "device="),
        (("data={folder}", "device=[]"), "device=[]: give cpu, cuda, or a list of those"),
        (
            ("data=http://h/x", "text=hashed_words"),
            "data=http://h/x is an address: give a folder that imagen-prepare",
        ),
        (
            ("data='{folder}/*.tar'", "text=hashed_words"),
            "data={folder}/*.tar has no index.json: give a folder",
        ),
    ],
)
def test_one_clear_line(folder: Path, called: Called, words: tuple[str, ...], message: str) -> None:
    places = {"none": folder.parent / "none", "folder": folder}
    code, _, error = called(main, *(word.format(**places) for word in words))
    assert code == 2
    assert error.startswith(f"error: {message.format(**places)}")
    assert error.count("\n") == 1
