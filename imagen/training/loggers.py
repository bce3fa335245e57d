"""Dashboards: W&B, offline unless there is a key."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


class Wandb:
    """Makes Lightning's W&B logger for a run. The run's id is made of its name, so a resumed run goes on in
    the same curve.

    `project`, `entity`, `group`, `tags`: as W&B has them. `mode`: "online", "offline", or "auto": online when
    WANDB_API_KEY is set. Files go to the run folder (`wandb sync FOLDER/wandb/offline-*` uploads an offline
    run later).
    """

    def __init__(
        self,
        project: str = "imagen",
        entity: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        mode: str = "auto",
    ) -> None:
        if mode not in ("auto", "online", "offline"):
            raise ValueError(f"logger.mode={mode}: choose from auto, online, offline")
        self.project, self.entity, self.group, self.tags, self.mode = project, entity, group, tags, mode
        self._data: str | None = None

    def start(self, name: str, folder: Path, config: dict[str, Any]) -> Any:
        """The logger of run `name`; W&B is imported here and not before."""
        from lightning.pytorch.loggers import WandbLogger

        os.environ.setdefault("WANDB_SILENT", "true")
        if "WANDB_DATA_DIR" not in os.environ:  # where a table's pictures wait for `wandb sync`
            os.environ["WANDB_DATA_DIR"] = self._data = str((folder / "wandb").resolve())
        online = self.mode == "online" or (self.mode == "auto" and bool(os.environ.get("WANDB_API_KEY")))
        (folder / "wandb").mkdir(parents=True, exist_ok=True)
        logger = WandbLogger(
            name=name,
            save_dir=str(folder),
            id=re.sub(r"[^A-Za-z0-9_-]", "-", name),
            project=self.project,
            entity=self.entity,
            group=self.group,
            tags=self.tags,
            offline=not online,
            resume="allow" if online else None,
            config=config,
        )
        logger._wandb_init.pop("anonymous", None)  # W&B warns of it at every start, given or not
        return logger

    def keep_release(self, name: str, folder: Path, release: Path) -> str:
        """The release folder as an artifact of run `name`, of type "model"; returns its name."""
        import wandb

        logger = self.start(name, folder, {})
        artifact = wandb.Artifact(f"{logger.version}-release", type="model")
        artifact.add_dir(str(release))
        logger.experiment.log_artifact(artifact)
        self.finish()
        return artifact.name

    def finish(self) -> None:
        """Close the run, so that a next one of this process (a sweep) begins its own."""
        import wandb

        wandb.finish()
        if self._data is not None and os.environ.get("WANDB_DATA_DIR") == self._data:
            del os.environ["WANDB_DATA_DIR"]


def log_previews(
    logger: Any,
    step: int,
    grid: Image.Image,
    captions: Sequence[str],
    columns: Sequence[str],
    pictures: np.ndarray,
) -> None:
    """A captioned grid, which W&B shows with a slider of steps, and a table: a row a prompt, a column a guidance weight and
    threshold. `pictures`: uint8 (n, columns, R, R, 3). Loggers that take no pictures get none."""
    if not hasattr(logger, "log_image"):
        return
    import wandb

    caption = f"step {step}: columns {', '.join(columns)}"
    logger.log_image("previews", [grid], step=step, caption=[caption])
    rows = [[text, *map(wandb.Image, row)] for text, row in zip(captions, pictures)]
    logger.log_table("previews_table", columns=["prompt", *columns], data=rows, step=step)
