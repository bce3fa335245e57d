"""A run's folder: its settings and the guard over them, its lock, how far it came.

runs/NAME/config.yaml             the settings, resolved and plain
          checkpoints/last.ckpt   tensors and plain containers (weights_only=True loads it)
          progress.json           {"step", "seconds"}: how far the checkpoint is; read without torch
          metrics.jsonl           a line of JSON each `trainer.log_every` steps
          previews/, wandb/       pictures; W&B's own files
          nonfinite.json          where a loss stopped being finite, if it did
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from imagen.files import write_text

OPERATIONAL = (
    "name",
    "runs",
    "experiment",
    "logger*",
    "previews*",
    "data.workers",
    "data.memory",
    "data.val*",
    "trainer.max_steps",
    "trainer.log_every",
    "trainer.save_every",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.nodes",
    "trainer.strategy",
    "trainer.compile",
    "trainer.progress",
)
"""Settings that may change when a run is resumed: they change how it runs or is watched, not what it
learns."""


class RunFolder:
    """`path`: the folder, made by `claim`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def step(self) -> int:
        """Optimizer steps that the checkpoint has behind it; 0 when there is none."""
        return int(self.progress.get("step", 0)) if self.checkpoint.exists() else 0

    @property
    def progress(self) -> dict[str, Any]:
        file = self.path / "progress.json"
        return json.loads(file.read_text()) if file.exists() else {}

    @contextmanager
    def claim(self, config: Mapping[str, Any]) -> Iterator[None]:
        """The folder for one process group (the first process claims it for all), with these settings.

        Raises ValueError when another process has it, or when it holds a checkpoint that was trained with
        other settings than `config` (plain containers), naming the keys that differ.
        """
        if not first_process():
            yield
            return
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"{self.path} is in use by another process: give another name=") from None
            self._guard(config)
            write_text(self.path / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False))
            yield

    def _guard(self, config: Mapping[str, Any]) -> None:
        if not self.checkpoint.exists():
            return
        changed = differences(yaml.safe_load((self.path / "config.yaml").read_text()), config)
        if changed:
            listed = "; ".join(f"{key} was {old} and is {new}" for key, (old, new) in changed.items())
            raise ValueError(
                f"{self.path} was trained with other settings: {listed}. Give these as they were, or "
                "another name="
            )

    def record_progress(self, step: int, seconds: float) -> None:
        write_text(self.path / "progress.json", json.dumps({"step": step, "seconds": round(seconds, 3)}))

    def forget_after(self, step: int) -> None:
        """Drop the lines of metrics.jsonl that lie beyond `step`: a run that was cut off repeats them."""
        file = self.path / "metrics.jsonl"
        if file.exists():
            lines = [line for line in file.read_text().splitlines() if json.loads(line)["step"] <= step]
            write_text(file, "".join(line + "\n" for line in lines))

    def add_metrics(self, values: Mapping[str, Any]) -> None:
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(values) + "\n")


def first_process() -> bool:
    """Whether this is rank 0, by the environment of torchrun, Lightning or SLURM; torch is not imported
    yet."""
    ranks = (os.environ.get(name) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
    return next((rank for rank in ranks if rank is not None), "0") == "0"


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}; lists are values."""
    if not isinstance(config, Mapping) or not config:
        return {prefix: config}
    return {
        k: v for key, value in config.items() for k, v in flat(value, f"{prefix}.{key}".lstrip(".")).items()
    }


def differences(old: Any, new: Any) -> dict[str, tuple[Any, Any]]:
    """Keys whose values differ, operational ones aside: {key: (old, new)}, "absent" for a missing one."""
    before, after = flat(old), flat(new)
    return {
        key: (before.get(key, "absent"), after.get(key, "absent"))
        for key in sorted(before.keys() | after.keys())
        if before.get(key, "absent") != after.get(key, "absent")
        and not any(fnmatchcase(key, pattern) for pattern in OPERATIONAL)
    }
