"""The demo at toy size, through the real commands: all that it promises is written, and a second run does nothing again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from imagen.evaluation.shapes_judge import KEYS


def demo(out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = [
        sys.executable,
        "-m",
        "imagen.programs.demo",
        f"out={out}",
        "pictures=40",
        "held_out=8",
        "samples=8",
    ]
    small = [
        "encoder=hashed_words",
        "train=['trainer.max_steps=2','trainer.progress=false','previews=none','data.batch_size=4']",
    ]
    steps = ["sample.steps=[2,2,2]", "sweep.guidance=[1,2]", "sweep.prompts=1", "batch_size=4"]
    return subprocess.run([*words, *small, *steps, *more], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("demo") / "out"
    ran = demo(out)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return out, ran.stdout


def test_summary_has_what_is_relied_on(done: tuple[Path, str]) -> None:
    summary = json.loads((done[0] / "summary.json").read_text())
    assert summary["samples"] == 8
    assert set(summary["seconds"]) == {"prepare", "train", "sample"}
    assert list(summary["seconds"]["train"]) == ["base16", "sr32", "sr64"]
    for part in ("alignment", "alignment_unseen", "ceiling"):
        assert set(summary[part]) == set(KEYS)
    assert summary["ceiling"]["scene"] == 1.0
    assert set(summary["color_drift"]) == {"sr32", "sr64"}
    assert set(summary["parameters"]) == {"base16", "sr32", "sr64"}


def test_what_was_missed_is_said(done: tuple[Path, str]) -> None:
    assert "not reached: alignment.scene" in done[1]
    assert "figures" in done[1]
    assert "gallery" in done[1]


def test_a_second_run_finishes_at_once_with_the_same_figures(done: tuple[Path, str]) -> None:
    out = done[0]
    before = json.loads((out / "summary.json").read_text())
    again = demo(out)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("done before") == 5
    after = json.loads((out / "summary.json").read_text())
    assert after["alignment"] == before["alignment"]
    assert after["seconds"]["train"] == before["seconds"]["train"]


def test_other_settings_are_refused_by_name(done: tuple[Path, str]) -> None:
    refused = demo(done[0], "seed=3")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")
    assert "(seed)" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
