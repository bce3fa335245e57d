"""A real SLURM on this machine: jobs that end, are requeued, run out of time, are cancelled; sweeps as arrays."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagen.data.prepare.embedding import embed
from imagen.data.prepare.preparing import prepare
from imagen.data.sources.shapes import Shapes
from imagen.text import HashedWords
from imagen.training.run_folder import RunFolder

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parents[2]
SLURM = Path(__file__).with_name("slurm.sh")
STEPS = 600


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slurm")
    prepare(Shapes(count=40, resolution=16, held_out=4), folder / "shards", shard_size=16)
    embed(folder / "shards", [HashedWords(16)])
    return folder


@pytest.fixture(scope="module", autouse=True)
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    if shutil.which("slurmctld") is None:
        pytest.skip("no SLURM here: make test-cluster installs one (Debian's slurm-wlm and munge)")
    place = tmp_path_factory.mktemp("slurmd")
    conf = subprocess.run([SLURM, "start", place], check=True, capture_output=True, text=True).stdout.strip()
    bins = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", conf)
        patch.setenv("PATH", bins)
        yield
    subprocess.run([SLURM, "stop", place], check=True)


def words(folder: Path, name: str, *more: str) -> list[str]:
    given = ["experiment=toy", "trainer=cpu", "logger=none", "previews=none", "trainer.progress=false"]
    given += [f"name={name}", f"runs={folder}", f"data.train={folder}/shards", f"trainer.max_steps={STEPS}"]
    return [*given, "trainer.save_every=1000", "trainer.log_every=1", *more]


def submit(folder: Path, options: list[str], given: list[str], tasks: int = 1, script: str = "train") -> str:
    command = ["sbatch", "--parsable", f"--ntasks-per-node={tasks}", "--cpus-per-task=1", *options]
    command += [str(ROOT / f"slurm/{script}.sbatch"), *given]
    return subprocess.run(command, check=True, cwd=folder, capture_output=True, text=True).stdout.strip()


def state(job: str) -> str:
    told = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True).stdout
    return found[1] if (found := re.search(r"JobState=(\w+)", told)) else "GONE"


def until(what: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


def ended(folder: Path, job: str, seconds: float = 180) -> str:
    """Its output, when it is done."""
    until(lambda: state(job) not in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED"), seconds)
    return (folder / f"slurm-imagen-{job}.out").read_text()


def curve(folder: Path, name: str) -> list[float]:
    file = folder / name / "metrics.jsonl"
    return [json.loads(line)["loss"] for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture(scope="module")
def whole(folder: Path, slurm: None) -> list[float]:
    """The curve of a job that nothing happened to."""
    job = submit(folder, [], words(folder, "whole"))
    assert "step 600 of 600" in ended(folder, job)
    assert state(job) == "COMPLETED"
    return curve(folder, "whole")


def test_two_tasks_are_one_run(folder: Path, whole: list[float]) -> None:
    job = submit(folder, [], words(folder, "two", "trainer.strategy=ddp"), tasks=2)
    assert ended(folder, job).count("step 600 of 600") == 1
    assert curve(folder, "two")[:50] == pytest.approx(whole[:50], rel=1e-5)


@pytest.mark.parametrize("how", ["signal", "scontrol"])
def test_a_requeued_job_trains_the_steps_of_one_that_is_not(
    folder: Path, whole: list[float], how: str
) -> None:
    """Before its time is up SLURM sends SIGUSR1; an administrator, or preemption, requeues at once (SIGTERM)."""
    job = submit(folder, [], words(folder, how))
    for least in (50, 300):
        until(lambda least=least: len(curve(folder, how)) >= least and state(job) == "RUNNING")
        command = {"signal": ["scancel", "--signal=USR1", job], "scontrol": ["scontrol", "requeue", job]}[how]
        subprocess.run(command, check=True)
        until(lambda: state(job) != "RUNNING")
    said = ended(folder, job)
    assert state(job) == "COMPLETED", said
    if how == "signal":
        assert said.count(f"job {job} goes back into the queue") == 2
    assert curve(folder, how) == whole


def test_a_job_whose_time_limit_comes_goes_on_in_the_next_one(folder: Path, whole: list[float]) -> None:
    """SLURM itself sends the signal, 5 to 35 s before the end of a job of one minute, and the job is in the queue again."""
    given = words(folder, "limited", "trainer.max_steps=100000", "trainer.log_every=10")
    job = submit(folder, ["--time=1", "--signal=USR1@5"], given)
    output = folder / f"slurm-imagen-{job}.out"
    until(lambda: output.exists() and f"job {job} goes back into the queue" in output.read_text(), 150)
    saved = RunFolder(folder / "limited").step
    assert saved >= 10
    until(lambda: len(steps(folder, "limited")) > saved // 10 + 5, 150)
    told = subprocess.run(["scontrol", "show", "job", job], check=True, capture_output=True, text=True).stdout
    assert "Restarts=1" in told
    subprocess.run(["scancel", job], check=True)
    ended(folder, job)
    reached = steps(folder, "limited")
    assert reached == [10 * n for n in range(1, len(reached) + 1)], "no step is lost or repeated"


def steps(folder: Path, name: str) -> list[int]:
    file = folder / name / "metrics.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line)["step"] for line in lines if line.endswith("}")]


def test_a_cancelled_job_leaves_its_checkpoint_and_stays_away(folder: Path, whole: list[float]) -> None:
    job = submit(folder, [], words(folder, "cancelled"))
    until(lambda: len(curve(folder, "cancelled")) >= 50)
    subprocess.run(["scancel", job], check=True)
    ended(folder, job)
    assert state(job) == "CANCELLED"
    assert RunFolder(folder / "cancelled").step >= 50
    again = submit(folder, [], words(folder, "cancelled"))
    ended(folder, again)
    assert curve(folder, "cancelled") == whole


def sweep(folder: Path, *given: str) -> subprocess.CompletedProcess[str]:
    command = ["imagen-train", "launcher=slurm", "hydra.launcher.cpus_per_task=1", *given]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def test_a_sweep_is_an_array_and_a_cell_that_fails_takes_no_other_down(
    folder: Path, whole: list[float]
) -> None:
    given = words(
        folder, "cell_${seed}_${data.batch_size}", "trainer.max_steps=20", "seed=0,1", "data.batch_size=4,0"
    )
    ran = sweep(folder, *given)
    assert ran.returncode != 0
    assert {name: RunFolder(folder / name).step for name in ("cell_0_4", "cell_1_4")} == {
        "cell_0_4": 20,
        "cell_1_4": 20,
    }
    assert curve(folder, "cell_0_4") == whole[:20]
    errors = [path.read_text() for path in (folder / ".submitit").glob("*/*.err")]
    assert sum("error: data.batch_size=0: give at least 1" in error for error in errors) == 2


def test_the_runs_of_a_sweep_have_several_tasks(folder: Path, whole: list[float]) -> None:
    given = words(folder, "tasks_${seed}", "trainer.max_steps=20", "seed=0,1", "trainer.strategy=fsdp")
    ran = sweep(folder, "hydra.launcher.tasks_per_node=2", *given)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert curve(folder, "tasks_0") == pytest.approx(whole[:20], rel=1e-5)
    assert len(curve(folder, "tasks_1")) == 20


def test_a_cell_whose_time_is_up_goes_on(folder: Path, whole: list[float]) -> None:
    """submitit sends SIGUSR2 before the end of the time; here by hand."""
    command = [
        "imagen-train",
        "launcher=slurm",
        "hydra.launcher.cpus_per_task=1",
        *words(folder, "requeued_${seed}", "seed=0"),
    ]
    ran = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: len(curve(folder, "requeued_0")) >= 50)
    job = subprocess.run(
        ["squeue", "--noheader", "--format=%i"], capture_output=True, text=True
    ).stdout.split()[0]
    subprocess.run(["scancel", "--signal=USR2", job], check=True)
    until(lambda: state(job) != "RUNNING")
    assert RunFolder(folder / "requeued_0").step >= 50
    assert ran.wait(240) == 0
    assert curve(folder, "requeued_0") == whole


def told(folder: Path, runs: Path) -> str:
    """What imagen-sweep says of the runs."""
    command = ["imagen-sweep", "status", str(runs)]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_an_array_takes_a_line_for_each_cell(folder: Path) -> None:
    """One of two fails; nothing in a line is evaluated."""
    runs = folder / "lines"
    (folder / "cells.txt").write_text(
        """name=good 'seed=0'\nname=bad seed=0 "data.train='$(touch evil) `touch evil`'"\n"""
    )
    given = [w for w in words(runs, "", "trainer.max_steps=20") if not w.startswith(("name=", "data.train="))]
    options = ["--array=0-1%1", "--job-name=array"]
    job = submit(folder, options, ["cells.txt", f"data.train={folder}/shards", *given], script="array")
    for task in (f"{job}_0", f"{job}_1"):
        until(lambda task=task: state(task) in ("COMPLETED", "FAILED"), 180)
    assert (state(f"{job}_0"), state(f"{job}_1")) == ("COMPLETED", "FAILED")
    assert len(curve(runs, "good")) == 20
    assert not (folder / "evil").exists()
    said = told(folder, runs)
    assert said.endswith("2 cells: 1 done, 1 failed\n")
    assert f"slurm-array-{job}_1.out:\n" in said
    assert said.count("error: ") >= 1
    assert "data.train='\"'\"'$(touch evil) `touch evil`'\"'\"''" in said


def test_the_status_of_a_sweep_tells_what_runs_waits_and_failed(folder: Path) -> None:
    runs = folder / "looked"
    given = words(runs, "at_${data.batch_size}", "data.batch_size=0,4,8", f"data.train={folder}/shards")
    command = [
        "imagen-train",
        "launcher=slurm",
        "hydra.launcher.cpus_per_task=1",
        "hydra.launcher.array_parallelism=1",
    ]
    ran = subprocess.Popen(
        [*command, *given], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until(lambda: len(curve(runs, "at_4")) >= 10, 240)
    said = told(folder, runs)
    rows = {line.split()[0]: line.split()[1] for line in said.split("\n\n")[0].splitlines()[1:]}
    assert rows == {"at_0": "failed", "at_4": "runs", "at_8": "waits"}, said
    assert "at_0: failed: data.batch_size=0: give at least 1\n" in said
    assert "_0_log.err:\n" in said
    assert re.search(r"at_8: waits: job \d+_2: JobArrayTaskLimit", said), said
    queued = ["squeue", "--noheader", "--format=%A"]
    array = subprocess.run(queued, capture_output=True, text=True).stdout.split()
    subprocess.run(["scancel", *array], check=True)
    until(lambda: not subprocess.run(queued, capture_output=True, text=True).stdout)
    ran.kill()  # submitit would ask SLURM's accounting, which there is none of here
    ran.wait()
    said = told(folder, runs)
    assert said.endswith("3 cells: 1 stopped, 2 failed\n"), said
    assert re.search(r"at_8: failed: job \d+_2 is gone, and the run had not begun", said)
