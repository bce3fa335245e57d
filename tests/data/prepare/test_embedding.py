"""Embeddings beside shards: which count as done, and what a full disk leaves."""

import errno
import json
import os
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from imagen.data.members import captions_of
from imagen.data.prepare.embedding import embed
from imagen.data.prepare.preparing import prepare
from imagen.data.shards import split_of
from imagen.data.sources.source import Pair
from imagen.text import HashedWords, open_embeddings
from imagen.text import cache as text_cache


class Words:
    """9 pairs, of which number 5 is called `name`."""

    def __init__(self, name: str = "rose") -> None:
        self.splits, self.name = {"train": 9}, name
        self.identity: dict[str, Any] = {"source": "words"}

    def pair(self, split: str, row: int) -> Pair:
        said = self.name if row == 5 else f"leaf {row}"
        return Pair(bytes([row]) * 600, "png", (8, 8), (said,), {})


class Counting(HashedWords):
    """Counts the captions that it is asked for."""

    def __init__(self) -> None:
        super().__init__(8, 16)
        self.asked: list[str] = []

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        self.asked += captions
        return super().__call__(captions)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare(Words(), tmp_path / "out", shard_size=3)
    time.sleep(0.01)  # a clock tick of the file system
    embed(tmp_path / "out", [Counting()])
    return tmp_path / "out"


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("text/*/*.safetensors"))


def asked(folder: Path) -> list[str]:
    """The captions that another call embeds; after it those of each pair fit."""
    encoder = Counting()
    assert embed(folder, [encoder]) == 9
    there = open_embeddings(folder, encoder.key)
    for shard in split_of(folder, "train", "data"):
        for row in range(shard.samples):
            there(shard.name).of(shard.first_caption(row), captions_of(shard.read(row))[0])
    return encoder.asked


def test_a_finished_folder_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("imagen.data.prepare.embedding.scan", None)
        assert embed(folder, [Counting()]) == 9
    assert asked(folder) == []


def test_only_what_is_missing_has_a_bar(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert embed(folder, [Counting()]) == 9
    assert capsys.readouterr().err == ""
    files(folder)[0].unlink()
    assert embed(folder, [Counting()]) == 9
    assert "9/9" in capsys.readouterr().err


def test_a_file_copied_over_another_is_made_again(folder: Path) -> None:
    first, second, _ = files(folder)
    shutil.copy(first, second)
    assert sorted(asked(folder)) == ["leaf 3", "leaf 4", "rose"]
    assert asked(folder) == []


def test_a_tar_prepared_anew_with_another_caption(folder: Path) -> None:
    for path in (folder / "index.json", folder / "train-000001.tar", folder / "index/train-000001.json"):
        path.unlink()
    prepare(Words("lily"), folder, shard_size=3)
    for path in files(folder):  # as after a copy that did not keep times
        os.utime(path)
    assert sorted(asked(folder)) == ["leaf 3", "leaf 4", "lily"]


def test_a_tar_changed_in_its_place(folder: Path) -> None:
    tar = folder / "train-000001.tar"
    tar.write_bytes(tar.read_bytes().replace(b"rose", b"lily"))
    assert sorted(asked(folder)) == ["leaf 3", "leaf 4", "lily"]


def test_younger_tars_are_compared_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for tar in folder.glob("*.tar"):
        os.utime(tar)
    time.sleep(0.01)
    assert asked(folder) == []
    monkeypatch.setattr("imagen.data.prepare.embedding.scan", None)
    assert embed(folder, [Counting()]) == 9


def test_embeddings_that_name_no_tar_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = json.loads((folder / "index.json").read_text())
    for path in files(folder):
        there = text_cache.ShardEmbeddings(path, Counting().key)
        text_cache._save(there.tensors(), path, "")
    assert asked(folder) == []
    tars = [text_cache.ShardEmbeddings(path, Counting().key).tar for path in files(folder)]
    assert tars == [shard["sha256"] for shard in index["splits"]["train"]["shards"]]


@pytest.mark.parametrize("encoders", [1, 2])
def test_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch, encoders: int) -> None:
    shutil.rmtree(folder / "text")
    save, left = text_cache.save_file, [1]

    def full(tensors: Any, path: Path, metadata: Any) -> None:
        if not left:
            path.write_bytes(b"half")
            raise text_cache.SafetensorError("I/O error: No space left on device (os error 28)")
        left.pop()
        save(tensors, path, metadata)

    with monkeypatch.context() as patch:
        patch.setattr("imagen.text.cache.save_file", full)
        words = rf"^out={folder}: the disk is full \(.*B free\): make room, .* stays, and the same command goes on$"
        with pytest.raises(ValueError, match=words):
            embed(folder, [Counting() for _ in range(encoders)], "out")
    assert len(files(folder)) == 1
    assert not list(folder.rglob("*.part"))
    assert len(asked(folder)) == 6


def test_other_errors_of_files_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*words: object, metadata: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(folder / "x"))

    shutil.rmtree(folder / "text")
    monkeypatch.setattr("imagen.text.cache.save_file", gone)
    with pytest.raises(OSError, match="Read-only"):
        embed(folder, [Counting()])


@pytest.mark.parametrize("where", ["http://h/x", "s3://b/x/{0..3}.tar", "nowhere", "*.tar", "pipe:cat x"])
def test_only_a_folder_is_embedded(where: str) -> None:
    words = (
        rf"^data={re.escape(where)} .*: give a folder that imagen-prepare wrote, on a disk of this machine \("
    )
    with pytest.raises(ValueError, match=words):
        embed(where, [Counting()])
