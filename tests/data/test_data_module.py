"""The data module under Lightning: what a run gets, and that a resumed run gets what would have come."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from imagen.data.module import Shards
from imagen.data.prepare.embedding import embed
from imagen.data.prepare.preparing import prepare
from imagen.data.sources.shapes import Shapes
from imagen.text import HashedWords

ENCODER = HashedWords(8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes") / "shards"
    prepare(Shapes(count=22, resolution=16, held_out=10, captions=3), folder, shard_size=6)
    embed(folder, [ENCODER])
    return folder


def module(folder: Path | str, **options: Any) -> Shards:
    return Shards(folder, **{"resolution": 8, "batch_size": 4, "encoder": ENCODER, **options})


class Watcher(LightningModule):
    """Writes down what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[str] = []
        self.validated: list[str] = []

    def training_step(self, batch: dict[str, Any], step: int) -> torch.Tensor:
        assert batch["image"].shape == (4 // self.trainer.accumulate_grad_batches, 3, 8, 8)
        assert batch["text_emb"].shape[:2] == batch["text_mask"].shape
        self.seen += [key + caption for key, caption in zip(batch["key"], batch["caption"])]
        return self.weight * batch["text_emb"].mean()

    def validation_step(self, batch: dict[str, Any], step: int) -> None:
        self.validated += batch["key"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(data: Shards, steps: int, folder: Path, resume: str | None = None, **options: Any) -> Watcher:
    watcher = Watcher()
    checkpoint = ModelCheckpoint(folder, "{step}", every_n_train_steps=5, save_top_k=-1)
    trainer = Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[checkpoint], val_check_interval=4, check_val_every_n_epoch=None, **options,
    )  # fmt: skip
    trainer.fit(watcher, data, ckpt_path=resume, weights_only=True)
    return watcher


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_goes_on_with_the_batch_that_would_have_come(
    folder: Path, tmp_path: Path, workers: int
) -> None:
    whole = fit(module(folder), 14, tmp_path / "a")
    assert len(whole.seen) == 14 * 4
    fit(module(folder, workers=workers), 7, tmp_path / "b")  # stopped at 7, saved at 5
    resumed = fit(module(folder, workers=workers), 14, tmp_path / "b", str(tmp_path / "b/step=5.ckpt"))
    assert resumed.seen == whole.seen[5 * 4 :]
    assert whole.validated[:8] == whole.validated[8:16] == [f"test-{row:08d}" for row in range(8)]


def test_accumulated_gradients_count_every_batch(folder: Path, tmp_path: Path) -> None:
    whole = fit(module(folder), 8, tmp_path / "a", accumulate_grad_batches=2)
    resumed = fit(
        module(folder), 8, tmp_path / "a", str(tmp_path / "a/step=5.ckpt"), accumulate_grad_batches=2
    )
    assert whole.seen == fit(module(folder), 8, tmp_path / "b").seen  # the same pairs a step, in two parts
    assert resumed.seen == whole.seen[5 * 4 :]


def test_a_second_fit_starts_anew(folder: Path, tmp_path: Path) -> None:
    data = module(folder, memory=True)
    assert fit(data, 3, tmp_path).seen == fit(data, 3, tmp_path).seen


def test_live_encoding_equals_the_cache(folder: Path) -> None:
    cached, live = module(folder), module(folder, live=True)
    for data in (cached, live):
        data.setup("fit")
    one, other = (
        data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0) for data in (cached, live)
    )
    assert one["key"] == other["key"]
    assert torch.equal(one["text_mask"], other["text_mask"])
    assert torch.allclose(one["text_emb"], other["text_emb"], atol=2e-3)


def test_validation_is_the_training_folders_or_the_one_given(folder: Path, tmp_path: Path) -> None:
    tars = str(folder / "train-*.tar")
    for options, first in (
        ({}, "test-00000000"),
        ({"val": str(folder / "unseen-*.tar")}, "unseen-00000000"),
        ({"val": folder}, "test-00000000"),
    ):
        data = module(folder, val_pairs=5, **options)
        data.setup("fit")
        keys = [key for batch in data.val_dataloader() for key in batch["key"]]
        assert keys[0] == first
        assert len(keys) == 4
    data = module(tars)
    assert not fit(data, 2, tmp_path).validated
    assert data.val_dataloader() == []


def test_one_clear_line(folder: Path, tmp_path: Path) -> None:
    for options, message in (
        ({"train": tmp_path / "none"}, r"data.train=.*none matches no shards"),
        ({"train": tmp_path}, r"data.train=.* has no index.json"),
        ({"train": folder, "val": tmp_path / "none"}, r"data.val=.*none matches no shards"),
        (
            {"train": folder, "encoder": HashedWords(16)},
            r"of another encoder than the one configured: dim is 8 there, 16 here",
        ),
    ):
        data = module(options.pop("train"), **options)
        with pytest.raises(ValueError, match=message):
            data.setup("fit")
    with pytest.raises(ValueError, match=r"data.crop=middle: center or random"):
        module(folder, crop="middle")
    for name, value in (
        ("resolution", 0),
        ("batch_size", -4),
        ("batch_size", 100_000_000_000),
        ("window", 0),
        ("window", -1),
        ("workers", -1),
        ("seed", -1),
        ("val_pairs", 0),
        ("max_bad", 1.5),
        ("max_bad", float("nan")),
    ):
        with pytest.raises(ValueError, match=rf"^data\.{name}={value}: "):
            module(folder, **{name: value})
    with pytest.raises(ValueError, match=r"data.crop=random cuts"):
        module(folder, crop="random", memory=True)
    data = module(folder, seed=1)
    with pytest.raises(ValueError, match=r"data.seed=1, but the checkpoint's run has 0"):
        data.load_state_dict(module(folder).state_dict())
