"""The record of each start of a run: RUNS/.cells/NAME.json, by which imagen-sweep knows what runs, ended or failed.

{"name", "overrides": [...], "cwd", "job", "host", "pid", "birth", "started", "ended", "state", "error", "max_steps",
"parameters"}. A process that is killed leaves the state "started".
"""

import contextlib
import hashlib
import json
import os
import re
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from imagen.files import NAME, read_json, write_text
from imagen.programs.build import one_line
from imagen.training.requeue import job_id
from imagen.training.run_folder import RunFolder, first_process

RECORDS = ".cells"
BUSY = "is in use by another process"
GUARD = "was trained with other settings"


@contextlib.contextmanager
def recorded(cfg: DictConfig) -> Iterator[None]:
    """Write down that this run starts, and how it ends. A record that cannot be written stops no run, and a wrong command that is
    none of a sweep's makes no folder for it."""
    file = _file(cfg) if first_process() else None
    if file is None:
        yield
        return
    before: dict[str, Any] = {}
    with contextlib.suppress(ValueError):
        before = read_json(file, "")
    of_many = HydraConfig.get().mode == RunMode.MULTIRUN or job_id() is not None
    if of_many or file.parent.parent.is_dir():
        _write(file, {"parameters": before.get("parameters"), **_started(cfg, file.stem)})
    try:
        yield
    except Exception as error:
        # of one that still runs, or of a run that a wrong command left as it was, the record stays
        whole = before.get("state") in ("done", "stopped") and not _has_begun(file)
        whole = whole and (not of_many or GUARD in str(error))
        if before and (BUSY in str(error) or whole):
            _write(file, before)
        else:
            tell(file, state="failed", ended=time.time(), error=_told(error))
        raise
    except BaseException:  # Ctrl-C, SIGTERM; submitit leaves so when it has requeued the job
        tell(file, state="stopped", ended=time.time())
        raise
    tell(file, state="done" if _is_trained(cfg) else "stopped", ended=time.time())


def _has_begun(file: Path) -> bool:
    with contextlib.suppress(ValueError):
        return bool(read_json(file, "").get("begun"))
    return False


@contextlib.contextmanager
def recorded_typos(words: Sequence[str]) -> Iterator[None]:
    """Write down a start of a job whose settings do not even compose, such as one with a misspelt key, under the name= that
    is among its `words`. A person at a terminal sees it; of a task of an array nobody else would tell."""
    began = time.time()
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        given = dict(word.split("=", 1) for word in words if re.match(r"(name|runs)=", word))
        name, runs = given.get("name", ""), given.get("runs", "")
        if job_id() is not None and first_process() and NAME.fullmatch(name) and runs and "://" not in runs:
            start = {"name": name, "overrides": list(words), "cwd": os.getcwd(), "job": job_id()}
            start |= {"host": socket.gethostname(), "pid": os.getpid(), "birth": birth(os.getpid())}
            end = {"started": began, "ended": time.time(), "state": "failed", "error": _told(error)}
            _write(record_of(Path(runs), name), {**start, "max_steps": None, **end})
        raise


def tell(file: Path, **more: Any) -> None:
    """Add to a record."""
    with contextlib.suppress(ValueError):
        _write(file, {**read_json(file, ""), **more})


def tell_begun(cfg: DictConfig, **more: Any) -> None:
    """Now that the run has its folder: the record of its start, if there was no place for it before, and more."""
    if first_process() and (file := _file(cfg)) is not None:
        if not file.exists():
            _write(file, _started(cfg, file.stem))
        tell(file, begun=True, **more)


def record_of(runs: Path, name: str) -> Path:
    """Where the record of the run of that name is."""
    return runs / RECORDS / f"{name}.json"


def birth(pid: int) -> int | None:
    """When a process of this machine began, in ticks since it was started; None when there is none, or it is not to be
    known. A number that was given to another process since tells otherwise."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])


def _file(cfg: DictConfig) -> Path | None:
    """Where the record goes; None when not even the folder of the runs is known, or a start that is no cell has no
    name."""
    try:
        given = cfg.runs
    except OmegaConfBaseException:
        return None
    if not isinstance(given, str) or not given.strip() or "://" in given:
        return None
    runs = Path(given)
    try:
        name = str(cfg.name)
    except OmegaConfBaseException:
        name = ""
    if NAME.fullmatch(name):
        return record_of(runs, name)
    if HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    return record_of(runs, f"unnamed-{hashlib.sha256(repr(_overrides()).encode()).hexdigest()[:8]}")


def _started(cfg: DictConfig, name: str) -> dict[str, Any]:
    try:
        max_steps = cfg.trainer.max_steps
    except OmegaConfBaseException:
        max_steps = None
    return {
        "name": name,
        "overrides": _overrides(),
        "cwd": os.getcwd(),
        "job": job_id(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "birth": birth(os.getpid()),
        "started": time.time(),
        "state": "started",
        "max_steps": max_steps if isinstance(max_steps, int) else None,
    }


def _overrides() -> list[str]:
    return [str(word) for word in HydraConfig.get().overrides.task]


def _is_trained(cfg: DictConfig) -> bool:
    try:
        return RunFolder(Path(str(cfg.runs)) / str(cfg.name)).step >= cfg.trainer.max_steps
    except (ValueError, OSError):
        return False


def _told(error: Exception) -> str:
    """One line; of an error of ours with its kind, which is half of what it says."""
    ours = not isinstance(error, (HydraException, OmegaConfBaseException, ValueError, OSError))
    text = f"{type(error).__name__}: {one_line(error)}" if ours else one_line(error)
    return re.sub(r"\s+", " ", text)[:1000]


def _write(file: Path, record: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        write_text(file, json.dumps(record, indent=1))
