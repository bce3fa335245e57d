"""imagen-train on a run that is there: its settings change with what is trained, never with what failed."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from imagen.data.prepare.embedding import embed
from imagen.data.prepare.preparing import prepare
from imagen.data.sources.shapes import Shapes
from imagen.programs import train as program
from imagen.text import HashedWords

Train = Callable[..., int]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards in shards/, and the runs beside them."""
    folder = tmp_path_factory.mktemp("resume")
    prepare(Shapes(count=12, resolution=16, held_out=4, captions=1), folder / "shards")
    embed(folder / "shards", [HashedWords(16)])
    return folder


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Train:
    """train(*settings) -> its exit code, in this process."""

    def call(*given: str) -> int:
        words = ["experiment=toy", f"runs={folder}", f"data.train={folder}/shards", "previews=none"]
        words += ["trainer.progress=false", "logger=none"]
        monkeypatch.setattr(sys, "argv", ["imagen-train", *words, *given])
        try:
            program.main()
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    return call


def test_settings_are_kept_when_training_starts_and_not_before(
    train: Train, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = folder / "run/config.yaml"
    assert train("name=run", "trainer.max_steps=2", "data.batch_size=3", "trainer.accumulate=2") == 2
    assert {p.name for p in (folder / "run").glob("*")} <= {"lock"}, "a start that failed can be mended"
    assert train("name=run", "trainer.max_steps=2") == 0
    trained = config.read_text()
    capsys.readouterr()
    for mistake in ("data.workers=abc", "trainer.max_steps=abc", "trainer.strategy=abc", "data.val=/nowhere"):
        assert train("name=run", "trainer.max_steps=4", mistake) == 2, mistake
        assert capsys.readouterr().err.count("\n") == 1
        assert config.read_text() == trained, mistake
    assert train("name=run", "trainer.max_steps=1") == 0
    assert config.read_text() == trained, "nothing was trained"
    assert train("name=run", "trainer.max_steps=3") == 0
    assert config.read_text() == trained.replace("max_steps: 2", "max_steps: 3")


def test_a_users_folder_of_that_name_is_left_alone(
    train: Train, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine").mkdir()
    files = {"config.yaml": "mine: 1\n", "progress.json": "{}", "lock": "mine", "notes.txt": "mine"}
    for name, text in files.items():
        (folder / "mine" / name).write_text(text)
    assert train("name=mine", "trainer.max_steps=2") == 2
    assert "config.yaml: not the settings of a training run" in capsys.readouterr().err
    assert {p.name: p.read_text() for p in (folder / "mine").iterdir()} == files
