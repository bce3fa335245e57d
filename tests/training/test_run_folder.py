"""The guard, the lock and what is written."""

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
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["trainer"]["max_steps"] == 9


def test_settings_may_change_while_nothing_is_trained(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with folder.claim(CONFIG):
        pass
    with folder.claim({**CONFIG, "stage": None}):
        assert folder.step == 0


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
    folder.forget_after(10)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 5}\n{"step": 10}\n'


def test_differences_leave_operational_settings_aside() -> None:
    assert differences({"logger": {"mode": 1}, "seed": 0}, {"logger": None, "seed": 1}) == {"seed": (0, 1)}
