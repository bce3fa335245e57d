"""Whole toy runs: what they reach, and what must not change it."""

import contextlib
import json
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imagen.training.metrics import NonFiniteLoss
from imagen.training.stage import Stage

PARTS = ("state_dict", "ema", "optimizer_states", "lr_schedulers", "global_step", "imagen")
Same = Callable[[Any, Any], bool]

GOLDEN = [1.0231, 0.9630]
"""Losses of plain_run: changed on purpose only, with the network, the noise, the loss or the optimizer."""


def test_a_short_run_has_the_golden_losses(plain_run: Any) -> None:
    assert [row["loss"] for row in plain_run.metrics] == pytest.approx(GOLDEN, rel=1e-4)


def test_metrics_are_complete(plain_run: Any) -> None:
    first, last = plain_run.metrics
    assert (first["step"], last["step"]) == (5, 10)
    assert last["lr"] == pytest.approx(3e-3)
    assert first["grad_norm"] > 0
    assert first["images_per_second"] > 0
    assert 0 < first["data_wait"] < 1
    assert 0.05 < first["memory_gb"] < 100
    assert all(level > 0 for level in first["loss_by_logsnr"].values())


def test_a_checkpoint_holds_plain_things_alone(plain_run: Any) -> None:
    checkpoint = plain_run.checkpoint  # loaded with weights_only=True
    assert checkpoint["global_step"] == 10
    assert checkpoint["ema"]["updates"] == 10
    assert checkpoint["imagen"]["stage"] == "toy"
    names = {f"denoiser.net.{name}" for name in checkpoint["ema"]["weights"]}
    assert names == set(checkpoint["state_dict"])
    assert json.loads((plain_run.folder.path / "progress.json").read_text())["step"] == 10


@pytest.mark.parametrize("split", [5, 7])
def test_a_resumed_run_is_the_uninterrupted_one_bit_by_bit(
    fit: Any, plain_run: Any, same: Same, tmp_path: Path, split: int
) -> None:
    fit(tmp_path, f"trainer.max_steps={split}")
    torch.manual_seed(99)
    resumed = fit(tmp_path).checkpoint
    for part in PARTS:
        assert same(resumed[part], plain_run.checkpoint[part]), part
    losses = {row["step"]: row["loss"] for row in plain_run.metrics}
    if split == 5:
        assert fit(tmp_path).metrics[-1]["loss"] == losses[10]


def test_metrics_beyond_the_checkpoint_are_dropped_when_a_run_resumes(fit: Any, tmp_path: Path) -> None:
    run = fit(tmp_path, "trainer.max_steps=5")
    run.folder.add_metrics({"step": 6, "loss": 0.5})
    assert [row["step"] for row in fit(tmp_path, "trainer.max_steps=10").metrics] == [5, 10]


@pytest.mark.parametrize("experiment", ["toy", "toy_sr"])
def test_previews_do_not_change_training(fit: Any, same: Same, tmp_path: Path, experiment: str) -> None:
    states = []
    for previews in ("none", "grid"):
        random.seed(3)
        np.random.seed(3)  # noqa: NPY002
        folder = tmp_path / previews
        run = fit(folder, f"experiment={experiment}", "trainer.max_steps=6", f"previews={previews}")
        checkpoint = run.checkpoint
        states.append({part: checkpoint[part] for part in PARTS} | {"torch": torch.get_rng_state()})
        states[-1] |= {"random": random.random(), "numpy": np.random.rand()}  # noqa: NPY002
        assert run.stage.training
    assert same(states[0], states[1])
    sheet = json.loads((tmp_path / "grid/previews/step-00000005.json").read_text())
    assert len(sheet["columns"]) == 6 + (experiment == "toy_sr")
    assert len(sheet["rows"]) == 2
    assert (tmp_path / "grid/previews/step-00000005.png").stat().st_size > 1000


def test_accumulated_parts_have_the_losses_of_the_whole_batch(
    fit: Any, plain_run: Any, tmp_path: Path
) -> None:
    parts = fit(tmp_path, "trainer.accumulate=2")
    assert [row["loss"] for row in parts.metrics] == pytest.approx(
        [r["loss"] for r in plain_run.metrics], rel=1e-5
    )
    assert parts.checkpoint["ema"]["updates"] == 10


def test_one_batch_can_be_learnt(fit: Any, tmp_path: Path) -> None:
    run = fit(
        tmp_path, "trainer.max_steps=120", "trainer.log_every=20", "stage/optimizer=adamw", "stage.predict=v",
        "stage.optimizer.lr=5e-3", "trainer.save_every=1000", "stage.text_drop=0", "trainer.gradient_clip=1",
    )  # fmt: skip
    losses = [row["loss"] for row in run.metrics]
    assert losses[-1] < 0.6 * losses[0]


def test_a_loss_that_is_not_finite_stops_and_is_written_down(fit: Any, tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLoss, match=r"step 7 .1 of 4 images.*nonfinite.json.*step 5"):
        fit(tmp_path, spoil=26)
    report = json.loads((tmp_path / "nonfinite.json").read_text())
    assert report["step"] == 7
    bad = [image for image in report["images"] if image["loss"] == "nan"]
    assert [image["key"] for image in bad] == ["pair-26"]
    assert -15 <= bad[0]["logsnr"] <= 15
    checkpoint = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 5
    assert all(p.isfinite().all() for p in checkpoint["state_dict"].values())


def test_an_error_within_a_step_leaves_the_last_checkpoint(
    fit: Any, plain_run: Any, same: Same, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its batch counts as read, and was not learnt: a checkpoint of that moment would leave it out."""
    losses = Stage.losses

    def failing(self: Stage, *given: Any) -> Any:
        if self.global_step == 7:
            raise ValueError("no loss")
        return losses(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Stage, "losses", failing)
        with pytest.raises(ValueError, match="no loss"):
            fit(tmp_path)
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 5
    resumed = fit(tmp_path).checkpoint
    assert all(same(resumed[part], plain_run.checkpoint[part]) for part in PARTS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_step_in_hand_and_the_run_resumes(
    fit: Any,
    plain_run: Any,
    same: Same,
    tmp_path: Path,
    number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def step(self: Stage, *_: Any) -> None:
        if self.global_step == 3:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(Stage, "on_before_zero_grad", step)
        fit(tmp_path)
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["global_step"] in (3, 4)
    resumed = fit(tmp_path)
    assert all(same(resumed.checkpoint[part], plain_run.checkpoint[part]) for part in PARTS)
    curves = [[(row["step"], row["loss"]) for row in run.metrics] for run in (resumed, plain_run)]
    assert curves[0] == curves[1], "a line of steps from before and after the stop is of all of them"


def test_previews_are_given_up_when_the_run_is_to_end(
    fit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def guide(*given: Any) -> Any:
        drawn.append(given[2])
        os.kill(os.getpid(), signal.SIGINT)
        return lambda z, logsnr: z

    monkeypatch.setattr("imagen.training.previews.guide", guide)
    run = fit(tmp_path, "previews=grid")
    assert drawn == [1], "of the columns of step 5 the first alone: guidance weight 1"
    assert not (tmp_path / "previews").exists()
    assert run.checkpoint["global_step"] == 5


def test_training_goes_on_while_a_checkpoint_is_written(
    fit: Any, plain_run: Any, same: Same, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is done with step 5 when step 8 has begun: what is saved is step 5 all the same."""
    begun, save, found = threading.Event(), torch.save, []

    def slow(content: Any, file: Any) -> None:
        assert begun.wait(60), "training waits for the disk"
        save(content, file)

    def step(self: Stage, *_: Any) -> None:
        if self.global_step == 8:
            begun.set()
            while not (tmp_path / "checkpoints/last.ckpt").exists():
                time.sleep(0.01)
            found.append(torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True))

    monkeypatch.setattr(torch, "save", slow)
    monkeypatch.setattr(Stage, "on_before_zero_grad", step)
    ended = fit(tmp_path).checkpoint
    assert all(same(ended[part], plain_run.checkpoint[part]) for part in PARTS)
    assert found[0]["global_step"] == 5
    monkeypatch.undo()
    fit(tmp_path / "five", "trainer.max_steps=5")
    five = torch.load(tmp_path / "five/checkpoints/last.ckpt", weights_only=True)
    assert all(same(found[0][part], five[part]) for part in PARTS)


def test_another_stages_checkpoint_is_refused(fit: Any, plain_run: Any, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    os.link(plain_run.folder.checkpoint, tmp_path / "checkpoints/last.ckpt")
    with pytest.raises(ValueError, match=r"last\.ckpt: .* another stage: stage was toy and is other$"):
        fit(tmp_path, "stage.name=other", "trainer.max_steps=20")


@pytest.mark.parametrize(
    "saved",
    [
        {"sums": torch.zeros(2, 7, dtype=torch.float64), "more": {}},
        {"sums": torch.full((2, 8), float("nan"), dtype=torch.float64), "more": {}},
        {"sums": -torch.ones(2, 8, dtype=torch.float64), "more": {}},
        {"sums": torch.zeros(2, 8), "more": {}},
        {"sums": torch.zeros(2, 8, dtype=torch.float64), "more": {"step": 3}},
        {"sums": torch.zeros(2, 8, dtype=torch.float64), "more": {"val_loss": "0.5"}},
        [1],
    ],
)
def test_sums_of_losses_that_are_none_are_refused(
    fit: Any, plain_run: Any, tmp_path: Path, saved: Any
) -> None:
    shutil.copytree(plain_run.folder.path, tmp_path / "run")
    checkpoint = plain_run.checkpoint | {"metrics": saved}
    torch.save(checkpoint, tmp_path / "run/checkpoints/last.ckpt")
    with pytest.raises(
        ValueError, match=r"last.ckpt: its metrics are no sums of losses: damaged; put a whole copy"
    ):
        fit(tmp_path / "run", "trainer.max_steps=12")


@pytest.mark.parametrize(
    "change", [{"updates": -1}, {"lengths": [1]}, {"lengths": {"0.05": {"x": torch.ones(1)}}}]
)
def test_averages_that_are_none_are_refused(fit: Any, plain_run: Any, tmp_path: Path, change: Any) -> None:
    shutil.copytree(plain_run.folder.path, tmp_path / "run")
    checkpoint = plain_run.checkpoint
    checkpoint["ema"] |= change
    torch.save(checkpoint, tmp_path / "run/checkpoints/last.ckpt")
    with pytest.raises(ValueError, match=r"last.ckpt: .*(damaged|do not fit)"):
        fit(tmp_path / "run", "trainer.max_steps=12")


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoints/saving.ckpt"])
def test_a_link_in_the_run_folder_leads_nothing_out_of_it(fit: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run" / name).symlink_to(tmp_path / "mine")
    with contextlib.suppress(ValueError):
        fit(tmp_path / "run")
    assert (tmp_path / "mine").read_text() == "mine"
