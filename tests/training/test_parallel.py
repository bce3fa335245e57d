"""One run is one run, however it is split: over processes (DDP, FSDP), or into micro-batches. Real processes, over gloo."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from imagen.data.prepare.embedding import embed
from imagen.data.prepare.preparing import prepare
from imagen.data.sources.shapes import Shapes
from imagen.programs import export
from imagen.text import HashedWords
from imagen.training.run_folder import RunFolder
from imagen.training.trainer import Training

Called = Callable[..., tuple[int, str, str]]

STEPS = 50
GOLDEN = Path(__file__).with_name("golden_curve.json")
PROGRAM = ("-m", "imagen.programs.train")
KILLED = (str(Path(__file__).with_name("killed_saving.py")),)
SPLITS = {
    "one": [],
    "accumulated": ["trainer.accumulate=2"],
    "ddp": ["trainer.strategy=ddp", "trainer.devices=2"],
    "fsdp": ["trainer.strategy=fsdp", "trainer.devices=2"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parallel")
    prepare(Shapes(count=40, resolution=16, held_out=4), folder / "shards", shard_size=16)
    embed(folder / "shards", [HashedWords(16)])
    return folder


def settings(folder: Path, name: str, *words: str) -> list[str]:
    given = ["experiment=toy", "logger=none", "previews=none", "trainer=cpu", "trainer.progress=false"]
    given += ["trainer.log_every=1", f"name={name}", f"runs={folder}", f"data.train={folder}/shards"]
    return [*given, *words]


def train(
    folder: Path, name: str, *words: str, steps: int = STEPS, program: tuple[str, ...] = PROGRAM, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *program, *settings(folder, name, *words, f"trainer.max_steps={steps}")],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", **env},
    )


def curve(folder: Path, name: str) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / name / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def curves(folder: Path) -> dict[str, list[float]]:
    for name, words in SPLITS.items():
        ran = train(folder, name, *words, "trainer.validate_every=20")
        assert ran.returncode == 0, ran.stderr[-3000:]
    return {name: curve(folder, name) for name in SPLITS}


def test_the_curve_is_the_golden_one(curves: dict[str, list[float]]) -> None:
    """What these settings gave when they were written down; IMAGEN_GOLDEN=1 writes it anew."""
    if os.environ.get("IMAGEN_GOLDEN"):
        GOLDEN.write_text(json.dumps(curves["one"]) + "\n")
    golden = json.loads(GOLDEN.read_text())
    assert curves["one"] == pytest.approx(golden, rel=1e-5)


@pytest.mark.parametrize("name", ["accumulated", "ddp", "fsdp"])
def test_the_curve_is_that_of_one_process(curves: dict[str, list[float]], name: str) -> None:
    assert len(curves["one"]) == STEPS
    assert curves[name] == pytest.approx(curves["one"], rel=1e-5)


def test_a_run_goes_from_one_split_to_another(folder: Path, curves: dict[str, list[float]]) -> None:
    for number, split in enumerate(["fsdp", "ddp", "one", "fsdp", "accumulated"], 1):
        ran = train(folder, "moving", *SPLITS[split], steps=10 * number)
        assert ran.returncode == 0, ran.stderr[-3000:]
    assert curve(folder, "moving") == pytest.approx(curves["one"], rel=1e-5)
    assert sorted(path.name for path in (folder / "moving/checkpoints").iterdir()) == ["last.ckpt"]
    moved, whole = (
        torch.load(folder / name / "checkpoints/last.ckpt", weights_only=True)["ema"]
        for name in ("moving", "one")
    )
    assert moved["updates"] == whole["updates"] == STEPS
    for name, average in whole["weights"].items():
        assert torch.allclose(moved["weights"][name], average, rtol=1e-3, atol=2e-5), f"the average of {name}"


def test_a_sharded_run_is_exported_as_any_other(
    folder: Path, curves: dict[str, list[float]], called: Called
) -> None:
    for name in ("one", "fsdp"):
        assert called(export.main, f"run={folder}/{name}", f"out={folder}/release-{name}")[0] == 0
    one, shards = (
        load_file(next((folder / f"release-{name}").glob("*.safetensors"))) for name in ("one", "fsdp")
    )
    assert one.keys() == shards.keys()
    for name, tensor in one.items():
        assert torch.allclose(shards[name], tensor, rtol=1e-3, atol=1e-5), name


def test_the_validation_loss_is_that_of_one_process(curves: dict[str, list[float]], folder: Path) -> None:
    """And looking at it changes nothing: the golden curve is of a run that did not."""
    told = {}
    for name in SPLITS:
        lines = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
        told[name] = [line["val_loss"] for line in lines if "val_loss" in line]
    assert len(told["one"]) == 2
    assert told["one"][1] != told["one"][0] > 0
    for name in SPLITS:
        assert told[name] == pytest.approx(told["one"], rel=1e-5), name


@pytest.mark.parametrize("split", ["ddp", "fsdp"])
def test_previews_are_shared_out_and_change_nothing(
    folder: Path, curves: dict[str, list[float]], split: str
) -> None:
    words = ["previews=grid", "previews.every=4", "previews.steps=3", "previews.guidance=[1,3]"]
    words += ["previews.prompts=[a red circle,two blue stars,three green squares]"]
    if not (folder / "previewed").exists():
        assert train(folder, "previewed", *words, steps=8).returncode == 0
    ran = train(folder, f"previewed-{split}", *words, *SPLITS[split], steps=8)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert curve(folder, f"previewed-{split}") == curves[split][:8]
    for name in ("step-00000004.png", "step-00000008.png"):
        drawn, alone = (
            np.asarray(Image.open(folder / run / "previews" / name)).astype(int)
            for run in (f"previewed-{split}", "previewed")
        )
        assert np.abs(drawn - alone).max() <= 2, "pictures depend on their seeds, not on who draws them"


@pytest.mark.parametrize(
    ("split", "at"), [("one", "middle"), ("one", "end"), ("fsdp", "begin"), ("fsdp", "end")]
)
def test_a_kill_in_the_middle_of_saving_leaves_the_last_good_one(
    folder: Path, curves: dict[str, list[float]], split: str, at: str
) -> None:
    name, words = f"killed-{split}-{at}", [*SPLITS[split], "trainer.save_every=4"]
    started = time.monotonic()
    ran = train(folder, name, *words, steps=12, program=KILLED, KILLED_AT=at)
    assert ran.returncode != 0
    assert time.monotonic() - started < 60, "the other processes do not wait for it"
    assert 8 <= len(curve(folder, name)) <= 12, "it trains on while it saves"
    assert RunFolder(folder / name).step == 4
    ran = train(folder, name, *words, steps=12)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert curve(folder, name) == curves[split][:12]
    left = {path.name for path in (folder / name / "checkpoints").iterdir()}
    assert left == ({"last.ckpt", "step-00000012"} if split == "fsdp" else {"last.ckpt"})


def test_shards_go_with_checkpointing_and_averages_of_any_length(
    folder: Path, curves: dict[str, list[float]], called: Called
) -> None:
    words = ["+stage.unet.checkpointing=true", "stage.ema.lengths=[0.05,0.1]", "stage.ema.keep_every=4"]
    made = {}
    for split in ("one", "fsdp"):
        name = f"averaged-{split}"
        ran = train(folder, name, *words, *SPLITS[split], steps=12)
        assert ran.returncode == 0, ran.stderr[-3000:]
        assert curve(folder, name) == pytest.approx(curves["one"][:12], rel=1e-5)
        told = called(export.main, f"run={folder}/{name}", f"out={folder}/release-{name}", "ema=0.08")
        assert told[0] == 0, told[2]
        made[split] = load_file(next((folder / f"release-{name}").glob("*.safetensors")))
    for name, tensor in made["one"].items():
        assert torch.allclose(made["fsdp"][name], tensor, rtol=1e-2, atol=2e-3), name


@pytest.mark.parametrize("split", ["one", "fsdp"])
def test_half_precision_stays_near(folder: Path, curves: dict[str, list[float]], split: str) -> None:
    ran = train(folder, f"half-{split}", *SPLITS[split], "trainer.precision=bf16-mixed", steps=12)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert curve(folder, f"half-{split}") == pytest.approx(curves["one"][:12], rel=0.03)


def test_offloading_needs_an_accelerator() -> None:
    with pytest.raises(ValueError, match=r"trainer.offload=true: only trainer.strategy=fsdp can"):
        Training(1, strategy="ddp", offload=True)
    if not torch.accelerator.is_available():
        with pytest.raises(ValueError, match=r"trainer.offload=true: there is no accelerator here"):
            Training(1, strategy="fsdp", offload=True)
