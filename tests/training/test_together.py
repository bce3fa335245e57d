"""A rank that fails ends all of them soon, with its words; one that does not come is named with its step. Real processes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imagen.data.prepare.preparing import prepare
from imagen.data.sources.shapes import Shapes

FAILING = Path(__file__).with_name("failing.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    prepare(Shapes(count=40, resolution=16, held_out=4), folder / "shards", shard_size=16)
    return folder


def ended(folder: Path, how: str, rank: int, *words: str, name: str = "") -> tuple[int, str, float]:
    """Of two processes one fails in step 4: exit code, what all said, and seconds from the step before to the end."""
    name = name or f"{how}{rank}" + "".join(words).replace("=", "-")
    given = ["experiment=toy", "logger=none", "previews=none", "trainer=cpu", "trainer.progress=false"]
    given += [f"name={name}", f"runs={folder}", f"data.train={folder}/shards", "trainer.log_every=1"]
    given += ["trainer.devices=2", "trainer.strategy=ddp", *words]
    told = {"OMP_NUM_THREADS": "1", "FAILING_RANK": str(rank), "FAILING_HOW": how}
    ran = subprocess.run(
        [sys.executable, FAILING, *given],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **told},
    )
    last = (folder / name / "metrics.jsonl").stat().st_mtime  # of step 3
    return ran.returncode, ran.stderr, time.time() - last


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize("rank", [0, 1])
def test_what_one_rank_fails_of_ends_all_with_its_words(folder: Path, rank: int, strategy: str) -> None:
    code, said, seconds = ended(folder, "told", rank, f"trainer.strategy={strategy}")
    assert code == 2, said
    assert "error: data.planned=failure: do not" in said
    other = f"error: rank {rank}, which is in its forward pass (step 4), failed: data.planned=failure: do not"
    assert other in said, "the other process says it too"
    assert "Traceback" not in said
    assert seconds < 30


def test_a_line_of_steps_from_before_and_after_a_failure_is_of_all_of_them(folder: Path) -> None:
    """A line each two steps, saved after step 3: what it adds up so far is of both ranks, and goes to one."""
    words = ["trainer.log_every=2", "trainer.save_every=3", "trainer.max_steps=6"]
    for name, hows in (("cut", ("told", "")), ("whole", ("",))):
        assert [ended(folder, how, 1, *words, name=name)[0] for how in hows] == [2, 0][-len(hows) :]
    cut, whole = (
        [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("cut", "whole")
    )
    assert [row["step"] for row in cut] == [row["step"] for row in whole] == [2, 4, 6]
    assert [row["loss"] for row in cut] == pytest.approx([row["loss"] for row in whole], rel=1e-9)


def test_an_error_of_ours_keeps_its_traceback_and_ends_all(folder: Path) -> None:
    code, said, seconds = ended(folder, "raises", 1)
    assert code != 0
    assert said.count("RuntimeError: the planned failure") >= 1
    assert "error: rank 1, which is in its forward pass (step 4), failed: the planned failure" in said, said
    assert seconds < 30


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_killed_is_missed(folder: Path, rank: int) -> None:
    code, said, seconds = ended(folder, "killed", rank)
    assert code != 0
    gone = f"error: rank {rank} has gone without a word (killed, or out of memory), while rank {1 - rank} is in its "
    assert gone in said, said
    assert "(step 4)" in said.split(gone)[1]
    assert seconds < 30


@pytest.mark.parametrize(
    ("how", "phase"), [("hangs", "is in its forward pass"), ("reads", "reads its batch")]
)
def test_a_step_that_never_ends_is_told_with_the_rank_that_is_waited_for(
    folder: Path, how: str, phase: str
) -> None:
    code, said, seconds = ended(folder, how, 1, "trainer.timeout=0.1")
    assert code == 2, said
    assert "error: no process went on for " in said
    assert "(trainer.timeout=0.1 minutes)" in said
    assert f"rank 1 {phase} (step 4), while 1 wait in step 4" in said, said
    assert seconds < 30
