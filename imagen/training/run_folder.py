"""A run's folder: its settings and the guard over them, its lock, how far it came.

runs/NAME/config.yaml             the settings, resolved and plain
          checkpoints/last.ckpt   tensors and plain containers (weights_only=True loads it)
          progress.json           {"step", "seconds"}: how far the checkpoint is; read without torch
          metrics.jsonl           a line of JSON each `trainer.log_every` steps
          previews/, wandb/       pictures; W&B's own files
          nonfinite.json          where a loss stopped being finite, if it did
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from imagen.files import locked, read_json, write_text

OPERATIONAL = (
    "name",
    "runs",
    "experiment",
    "logger*",
    "previews*",
    "data.workers",
    "data.cache*",
    "data.memory",
    "data.val*",
    "trainer.max_steps",
    "trainer.log_every",
    "trainer.save_every",
    "trainer.validate_every",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.nodes",
    "trainer.strategy",
    "trainer.offload",
    "trainer.timeout",
    "trainer.accumulate",
    "trainer.compile",
    "trainer.progress",
)
"""Settings that may change when a run is resumed: they change how it runs or is watched, not what it
learns."""


class RunFolder:
    """`path`: the folder, made by `claim`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._claimed: dict[str, Any] | None = None

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
        if not file.exists():
            return {}
        remedy = "remove it: training goes on from the checkpoint all the same"
        progress = read_json(file, remedy)
        if not all(type(value) in (int, float) for value in progress.values()):
            raise ValueError(f"{file} is damaged (not numbers); {remedy}")
        return progress

    @property
    def settings(self) -> dict[str, Any]:
        """What config.yaml says: plain values. ValueError when it is not the settings of a training run."""
        file = self.path / "config.yaml"
        try:
            text = file.read_text(encoding="utf-8")
            check_plain(text)
            found = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            reason = f"not YAML of plain values: {' '.join(str(error).split()):.120}"
        except OSError as error:
            reason = error.strerror or type(error).__name__
        else:
            if isinstance(found, dict) and {"stage", "trainer"} <= set(found):
                return found
            reason = "no stage or no trainer in it"
        raise ValueError(
            f"{file}: not the settings of a training run ({reason}); put that run's own back, or give another "
            "name="
        )

    @contextmanager
    def claim(self, config: Mapping[str, Any]) -> Iterator[None]:
        """The folder for one process group (the first process claims it for all), with these settings, which
        `keep_settings` writes.

        Raises ValueError when the folder is another's or another process has it, or when it holds a
        checkpoint that was trained with other settings than `config` (plain containers), naming the keys that
        differ. Nothing that was there is touched.
        """
        if not first_process():
            yield
            return
        self._recognize()
        busy = f"{self.path} is in use by another process: give another name="
        with ExitStack() as held:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                held.enter_context(locked(self.path / "lock", busy))
            except OSError as error:
                raise ValueError(
                    f"{self.path}: cannot be a run's folder ({error.strerror}: {error.filename}); give another name="
                ) from None
            self._guard(config)
            self._claimed = dict(config)
            try:
                yield
            finally:
                self._claimed = None

    def keep_settings(self) -> None:
        """Write the settings that the folder was claimed with: now that everything was built from them."""
        if self._claimed is not None:
            with self._writing("config.yaml") as file:
                write_text(file, yaml.safe_dump(self._claimed, sort_keys=False))

    def _recognize(self) -> None:
        """ValueError when the folder is there and is none of ours."""
        if not self.path.is_dir():
            return
        names = {entry.name for entry in self.path.iterdir()}
        if "config.yaml" in names:
            assert self.settings
        # what a first start leaves that ended before training did
        elif (unknown := {n for n in names if not n.startswith(".config.yaml.")} - {"lock", "wandb"}) or (
            "lock" in names and (self.path / "lock").stat().st_size
        ):
            raise ValueError(
                f"{self.path}: holds {sorted(unknown or names)[0]} and no config.yaml, so it is no folder of "
                "imagen-train; give another name=, or put the run's config.yaml back"
            )

    def _guard(self, config: Mapping[str, Any]) -> None:
        if not self.checkpoint.exists():
            return
        if changed := differences(self.settings, config):
            raise ValueError(
                f"{self.path} was trained with other settings: {listed(changed)}. Give these as they were, or "
                "another name="
            )

    def record_progress(self, step: int, seconds: float) -> None:
        with self._writing("progress.json") as file:
            write_text(file, json.dumps({"step": step, "seconds": round(seconds, 3)}))

    def forget_after(self, step: int) -> None:
        """Drop the lines of metrics.jsonl that lie beyond `step`, which a run that was cut off repeats, and
        those cut off in the middle."""
        with self._writing("metrics.jsonl") as file:
            if file.exists():
                lines = file.read_text(errors="replace").splitlines()
                write_text(file, "".join(line + "\n" for line in lines if _step_of(line) <= step))

    def add_metrics(self, values: Mapping[str, Any]) -> None:
        with self._writing("metrics.jsonl") as file:
            # a link would lead the lines out of the folder
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
            with os.fdopen(os.open(file, flags, 0o666), "a") as lines:
                lines.write(json.dumps(values) + "\n")

    @contextmanager
    def _writing(self, name: str) -> Iterator[Path]:
        """A file of the folder; a full disk, and whatever else keeps it from being written, as one line."""
        try:
            yield self.path / name
        except OSError as error:  # which, of a full disk, has no name
            raise ValueError(
                f"{self.path / name}: cannot be written ({error.strerror or error}); make room, or the folder writable, and "
                "the same command goes on from the last checkpoint"
            ) from None


def check_plain(text: str) -> None:
    """ValueError for YAML that a loader would be at forever: nested without end, or repeated by aliases."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > 50:
            raise ValueError("it has aliases, or lists within lists without end")


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        return math.inf


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


def listed(changed: Mapping[str, tuple[Any, Any]]) -> str:
    """`differences` in words, the first five of them."""
    first = [f"{key} was {old!s:.60} and is {new!s:.60}" for key, (old, new) in list(changed.items())[:5]]
    return "; ".join(first) + (f"; and {len(changed) - 5} more" if len(changed) > 5 else "")
