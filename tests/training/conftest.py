"""A toy run, in process: the settings of conf/experiment/toy*.yaml on pictures made here."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, IterableDataset

from imagen.diffusion.randomness import mix
from imagen.programs.build import build
from imagen.text import HashedWords
from imagen.training.run_folder import RunFolder
from imagen.training.stage import Stage

CAPTIONS = ["a red circle", "two blue squares", "a green star left of a pink moon", "nothing"]


class Pictures(LightningDataModule):
    """Endless batches of four smooth pictures with captions, in an order of their own; they resume."""

    def __init__(self, resolution: int, batch_size: int, spoil: int | None = None) -> None:
        super().__init__()
        self.encoder, self.batch_size, self.consumed, self.spoil = HashedWords(16), batch_size, 0, spoil
        generator = torch.Generator().manual_seed(1)
        small = torch.rand(len(CAPTIONS), 3, 3, 3, generator=generator) * 2 - 1
        self.images = torch.nn.functional.interpolate(small, (resolution, resolution), mode="bilinear")

    def batch(self, start: int, size: int) -> dict[str, Any]:
        rows = [mix("order", position) % len(CAPTIONS) for position in range(start, start + size)]
        image = self.images[rows]
        if self.spoil is not None and start <= self.spoil < start + size:
            image[self.spoil - start, 0, 0, 0] = float("nan")
        captions = [CAPTIONS[row] for row in rows]
        emb, mask = self.encoder(captions)
        keys = [f"pair-{position}" for position in range(start, start + size)]
        return {"image": image, "text_emb": emb, "text_mask": mask, "caption": captions, "key": keys}

    def train_dataloader(self) -> DataLoader:
        size = self.batch_size // (self.trainer.accumulate_grad_batches if self.trainer else 1)
        return DataLoader(Stream(self, self.consumed, size), batch_size=None)

    def val_dataloader(self) -> list[dict[str, Any]]:
        torch.rand(
            3
        )  # a data set that uses the global random state must not change training through previews
        return [self.batch(0, self.batch_size)]

    def finished(self, batch: dict[str, Any]) -> dict[str, Any]:
        return batch

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        self.consumed += len(batch["image"])
        return batch

    def state_dict(self) -> dict[str, Any]:
        return {"consumed": self.consumed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.consumed = state_dict["consumed"]


class Stream(IterableDataset):
    def __init__(self, data: Pictures, start: int, size: int) -> None:
        self.data, self.start, self.size = data, start, size

    def __iter__(self) -> Any:
        position = self.start
        while True:
            yield self.data.batch(position, self.size)
            position += self.size


@dataclass
class Run:
    folder: RunFolder
    stage: Stage

    @property
    def checkpoint(self) -> dict[str, Any]:
        return torch.load(self.folder.checkpoint, weights_only=True)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder.path / "metrics.jsonl").read_text().splitlines()]


Fit = Callable[..., Run]


@pytest.fixture(scope="session")
def fit() -> Fit:
    """fit(folder, *overrides, spoil=None): train a toy stage there, or resume it."""

    def run(folder: Path, *overrides: str, spoil: int | None = None) -> Run:
        with initialize_config_module("imagen.conf", version_base="1.3"):
            base = [
                "experiment=toy",
                "previews=none",
                "name=toy",
                "data.train=none",
                "trainer.progress=false",
            ]
            given = {override.split("=")[0] for override in overrides}
            cfg = compose("train", [*(b for b in base if b.split("=")[0] not in given), *overrides])
        torch.manual_seed(0)
        stage, training = build(cfg.stage), build(cfg.trainer)
        previews = build(cfg.previews) if "_target_" in (cfg.previews or {}) else None
        data = Pictures(stage.resolution, cfg.data.batch_size, spoil)
        done = Run(RunFolder(folder), stage)
        done.folder.path.mkdir(parents=True, exist_ok=True)
        training.fit(stage, data, done.folder, previews, [])
        return done

    return run


@pytest.fixture(scope="session")
def plain_run(fit: Fit, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """10 steps of the toy base stage, without previews."""
    return fit(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="session")
def same() -> Callable[[Any, Any], bool]:
    """same(a, b): whether two plain containers of tensors are equal bit by bit."""
    return _same


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    return a == b
