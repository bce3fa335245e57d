"""imagen-prepare as a person calls it: what it refuses, and how it tells what others wrote."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

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
