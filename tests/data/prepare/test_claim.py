"""Who may write in a folder of shards: one process at a time, and one source's settings."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imagen.data.prepare.embedding import embed
from imagen.data.prepare.preparing import prepare
from imagen.data.sources.shapes import Shapes
from imagen.data.sources.source import BadPair, Pair
from imagen.text import HashedWords

SLOW = """
import sys
from imagen.data.sources.shapes import Shapes
from imagen.data.prepare.preparing import prepare
class Slow(Shapes):
    def pair(self, split, row):
        print(row, flush=True)
        if row == 6:
            sys.stdin.readline()
        return super().pair(split, row)
prepare(Slow(count=12, resolution=8, held_out=2), sys.argv[1], shard_size=4)
"""


def shapes() -> Shapes:
    return Shapes(count=12, resolution=8, held_out=2)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


class Failing(Shapes):
    """Fails in its first shard, as a full disk or an impatient person does."""

    def pair(self, split: str, row: int) -> Pair:
        if row == 2:
            raise KeyboardInterrupt
        return super().pair(split, row)


class Unusable(Shapes):
    def pair(self, split: str, row: int) -> Pair:
        raise BadPair("missing image", f"{row}.jpg: no such file")


def test_a_second_process_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(tmp_path / "out")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert first.stdout
    assert any(line == "6\n" for line in first.stdout)
    with pytest.raises(ValueError, match=r"out=.*out: another imagen-prepare is at work there; wait for it"):
        prepare(shapes(), tmp_path / "out", shard_size=4)
    first.communicate("go on\n")
    assert first.returncode == 0
    prepare(shapes(), tmp_path / "whole", shard_size=4)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_embeddings_have_one_writer_too(tmp_path: Path) -> None:
    prepare(shapes(), tmp_path)

    class Nested(HashedWords):
        def __call__(self, captions):
            embed(tmp_path, [HashedWords(4)])
            return super().__call__(captions)

    with pytest.raises(ValueError, match="another imagen-prepare is at work there"):
        embed(tmp_path, [Nested(8)])
    assert embed(tmp_path, [HashedWords(8)]) == 12 + 6


def test_the_lock_is_never_followed_nor_cut_short(tmp_path: Path) -> None:
    prepare(shapes(), tmp_path / "out")
    lock, thesis = tmp_path / "out/.lock", tmp_path / "thesis.tex"
    lock.write_text("somebody's")
    prepare(shapes(), tmp_path / "out")
    assert lock.read_text() == "somebody's"
    lock.unlink()
    lock.symlink_to(thesis)
    with pytest.raises(ValueError, match=r"\.lock is a link: delete it"):
        prepare(shapes(), tmp_path / "out")
    assert not thesis.exists()


@pytest.mark.parametrize(("source", "error"), [(Failing, KeyboardInterrupt), (Unusable, ValueError)])
def test_a_try_without_a_shard_binds_nobody(tmp_path: Path, source: type[Shapes], error: type) -> None:
    with pytest.raises(error):
        prepare(source(count=12, resolution=8, held_out=2), tmp_path / "out", shard_size=3)
    assert sorted(os.listdir(tmp_path / "out")) == [".lock", "settings.json"]
    (tmp_path / "out/.train-000000.tar.part").write_bytes(b"what a kill leaves")
    prepare(shapes(), tmp_path / "out", shard_size=4)
    prepare(shapes(), tmp_path / "whole", shard_size=4)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


@pytest.mark.parametrize("text", ["[]", "{", "[" * 100_000])
def test_damaged_settings_are_named(tmp_path: Path, text: str) -> None:
    prepare(shapes(), tmp_path)
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(ValueError, match=r"settings.json is damaged \(.*\); choose another out=, or delete"):
        prepare(shapes(), tmp_path)


def test_the_index_says_what_the_settings_were(tmp_path: Path) -> None:
    index = prepare(shapes(), tmp_path)
    assert index["settings"] == json.loads((tmp_path / "settings.json").read_text())
