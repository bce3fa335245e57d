"""What SLURM's queue says of jobs, where there is one."""

import contextlib
import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

JOB = re.compile(r"\d+(_\d+)?")
WAITING = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"}


class Job(NamedTuple):
    """`reason`: why it is where it is, in SLURM's word."""

    waits: bool
    reason: str


def queue() -> dict[str, Job] | None:
    """The jobs that wait or run, by number (of an array "12_3"); None where there is no SLURM that answers."""
    command = ["squeue", "--noheader", "--array", "--format=%i|%T|%r"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=30, errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        return None
    if told.returncode:
        return None
    rows = [line.strip().split("|", 2) for line in told.stdout.splitlines() if line.count("|") >= 2]
    return {number: Job(state in WAITING, reason) for number, state, reason in rows}


def jobs_of(sweep: dict[str, Any], file: Path) -> dict[int, str]:
    """Cell number -> job of the sweep that `sweep` describes, which lies in `file` (Hydra's multirun.yaml): submitit makes
    a folder .submitit/JOB for each when it submits. Empty for other launchers."""
    hydra = sweep.get("hydra")
    try:
        if "submitit" not in str(hydra["launcher"]["_target_"]) or hydra["sweeper"]["max_batch_size"]:  # pyright: ignore
            return {}
    except (KeyError, TypeError):
        return {}
    began, found = file.stat().st_mtime, {}
    for folder in file.parent.glob(".submitit/*_*"):
        if JOB.fullmatch(folder.name):
            pickled = folder / f"{folder.name}_submitted.pkl"  # its date alone is looked at
            if pickled.is_file() and pickled.stat().st_mtime >= began - 5:
                array, number = map(int, folder.name.split("_"))
                found.setdefault(array, {})[number] = folder.name
    return found[max(found)] if found else {}


def log_of(folder: Path, cwd: Path | None, job: str | None) -> Path | None:
    """What a job wrote, the newest: submitit's log in the folder of runs, or sbatch's in the folder where it was
    submitted."""
    if job is None or not JOB.fullmatch(job):
        return None
    found = list(folder.glob(f".submitit/{job}/{job}_*_log.err"))
    for place in {folder, folder.parent, *([cwd] if cwd else [])}:
        with contextlib.suppress(OSError, ValueError):  # what a record names need be no folder
            found += place.glob(f"slurm-*{job}.out")
    found = [
        log for log in found if log.is_file() and re.search(rf"(^|\D){job}(_\d+_log\.err|\.out)$", log.name)
    ]
    return max(found, key=lambda log: log.stat().st_mtime, default=None)
