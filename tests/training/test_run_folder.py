"""The guard, the lock and what is written."""

import errno
import os
import re
from pathlib import Path

import pytest
import yaml

from imagen.training.run_folder import RunFolder, differences, first_process

CONFIG = {
    "name": "a",
    "stage": {"unet": {"width": 64, "levels": [1, 2]}},
    "trainer": {"max_steps": 5},
    "previews": None,
}


def trained(path: Path) -> RunFolder:
    folder = RunFolder(path)
    with folder.claim(CONFIG):
        folder.keep_settings()
        folder.checkpoint.parent.mkdir()
        folder.checkpoint.touch()
        folder.record_progress(5, 1.5)
    return folder


def test_a_changed_setting_is_refused_and_named(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    changed = {**CONFIG, "stage": {"unet": {"width": 128, "levels": [1, 3], "lowres": True}}}
    with (
        pytest.raises(
            ValueError,
            match=r"levels was \[1, 2\] and is \[1, 3\].*lowres was absent.*width was 64 and is 128",
        ),
        folder.claim(changed),
    ):
        pass
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == CONFIG


def test_how_a_run_is_carried_out_may_change(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    with folder.claim(
        {**CONFIG, "trainer": {"max_steps": 9}, "previews": {"every": 3}, "logger": {"mode": "auto"}}
    ):
        assert folder.step == 5
        assert folder.settings == CONFIG, "not before training starts"
        folder.keep_settings()
    assert folder.settings["trainer"]["max_steps"] == 9


def test_settings_may_change_while_nothing_is_trained(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with folder.claim(CONFIG):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["lock"]
    with folder.claim(CONFIG):
        folder.keep_settings()
    with folder.claim({**CONFIG, "stage": None}):
        assert folder.step == 0


@pytest.mark.parametrize(
    "files",
    [
        {"config.yaml": "mine: 1", "progress.json": "[]", "lock": "mine"},
        {"lock": "mine"},
        {"notes.txt": "mine", "lock": ""},
        {"checkpoints": "", "lock": ""},
        {"config.yaml": "stage: 1\ntrainer: 2", "lock": None},
    ],
)
def test_a_folder_of_other_things_is_left_alone(tmp_path: Path, files: dict[str, str | None]) -> None:
    folder, victim = tmp_path / "run", tmp_path / "victim.txt"
    folder.mkdir()
    victim.write_text("mine")
    for name, text in files.items():
        if text is None:
            (folder / name).symlink_to(victim)
        else:
            (folder / name).write_text(text)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(ValueError, match=f"^{folder}.*give another name="), RunFolder(folder).claim(CONFIG):
        pass
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert victim.read_text() == "mine"


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b"\xff\xfe",
        b"{",
        b"null",
        b"stage: !!python/object/apply:os.getcwd []\ntrainer: 1",
        b"stage: &a [1]\ntrainer: *a",
        None,
    ],
)
def test_settings_that_are_damaged_are_one_line(tmp_path: Path, text: bytes | None) -> None:
    folder = trained(tmp_path)
    (tmp_path / "config.yaml").unlink()
    if text is not None:
        (tmp_path / "config.yaml").write_bytes(text)
    with pytest.raises(ValueError, match="give another name=") as caught, folder.claim(CONFIG):
        pass
    assert "config.yaml" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize("text", ["[]", "{", '{"step": "x"}', '{"step": null}'])
def test_progress_that_is_damaged_is_one_line(tmp_path: Path, text: str) -> None:
    folder = trained(tmp_path)
    (tmp_path / "progress.json").write_text(text)
    with pytest.raises(ValueError, match=r"progress\.json is damaged .*remove it"):
        _ = folder.step


def test_two_processes_cannot_have_one_folder(tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path).claim(CONFIG),
        pytest.raises(ValueError, match="in use by another process"),
        RunFolder(tmp_path).claim(CONFIG),
    ):
        pass


def test_only_the_first_process_claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not first_process()
    with RunFolder(tmp_path / "new").claim(CONFIG):
        assert not (tmp_path / "new").exists()
    monkeypatch.setenv("RANK", "0")
    assert first_process()


def test_metrics_are_forgotten_after_a_step(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for step in (5, 10, 15):
        folder.add_metrics({"step": step})
    (tmp_path / "metrics.jsonl").write_text((tmp_path / "metrics.jsonl").read_text() + '{"st')
    folder.forget_after(10)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 5}\n{"step": 10}\n'


def test_differences_leave_operational_settings_aside() -> None:
    assert differences({"logger": {"mode": 1}, "seed": 0}, {"logger": None, "seed": 1}) == {"seed": (0, 1)}


def test_a_full_disk_is_told_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path)
    folder.add_metrics({"step": 1})

    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # writing, unlike opening, names no file

    monkeypatch.setattr("imagen.training.run_folder.write_text", full)
    told = r"cannot be written \(No space left on device\); make room, .* the same command goes on"
    with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path))}/progress.json: {told}"):
        folder.record_progress(1, 2.0)
    with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path))}/metrics.jsonl: {told}"):
        folder.forget_after(1)
    new = RunFolder(tmp_path / "new")
    with (
        new.claim(CONFIG),
        pytest.raises(ValueError, match=f"^{re.escape(str(new.path))}/config.yaml: {told}"),
    ):
        new.keep_settings()
