"""imagen-train: every experiment composes and can be built; the command trains, resumes, and refuses in one
line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from imagen.data.prepare.embedding import embed
from imagen.data.prepare.preparing import prepare
from imagen.data.sources.shapes import Shapes
from imagen.programs import train as program
from imagen.programs.build import build, build_optional
from imagen.text import HashedWords

EXPERIMENTS = sorted(p.stem for p in (Path(__file__).parents[2] / "conf" / "experiment").glob("*.yaml"))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes") / "shards"
    prepare(Shapes(count=12, resolution=16, held_out=4, captions=1), folder)
    embed(folder, [HashedWords(16)])
    return folder


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["imagen-train", *arguments])
    try:
        program.main()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_can_be_built(experiment: str) -> None:
    with initialize_config_module("imagen.conf", version_base="1.3"):
        cfg = compose("train", [f"experiment={experiment}", "name=x", "data.train=x"])
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    with torch.device("meta"):
        stage = build(cfg.stage)
    assert build(cfg.trainer).max_steps > 0
    assert build(cfg.data).encoder.dim == stage.denoiser.net.text_dim == cfg.text_dim
    previews, _ = build_optional(cfg.previews), build_optional(cfg.logger)
    for threshold in previews.thresholds.values() if previews else ():
        assert threshold(torch.zeros(2, 3, 4, 4)).shape == (2, 3, 4, 4)
    (optimizer,), (rate,) = stage.configure_optimizers()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(cfg.stage.optimizer.lr * stage.rate(0))
    assert rate["interval"] == "step"


def test_the_paper_s_experiments_have_the_paper_s_settings() -> None:
    with initialize_config_module("imagen.conf", version_base="1.3"):
        cfgs = {e: compose("train", [f"experiment={e}"]) for e in ("base64_2b", "sr256_paper", "sr1024_400m")}
    for cfg in cfgs.values():
        assert (cfg.data.batch_size, cfg.trainer.max_steps, cfg.stage.text_drop) == (2048, 2_500_000, 0.1)
        assert (cfg.stage.predict, cfg.stage.optimizer.lr, cfg.stage.rate.warmup) == ("eps", 1e-4, 10_000)
    optimizers = {e: cfg.stage.optimizer._target_.rsplit(".", 1)[1] for e, cfg in cfgs.items()}
    assert optimizers == {"base64_2b": "adafactor", "sr256_paper": "adamw", "sr1024_400m": "adamw"}
    schedules = {e: cfg.stage.schedule._target_.rsplit(".", 1)[1] for e, cfg in cfgs.items()}
    assert schedules == {
        "base64_2b": "CosineSchedule",
        "sr256_paper": "CosineSchedule",
        "sr1024_400m": "LinearSchedule",
    }
    lowres = cfgs["sr1024_400m"].stage.lowres
    assert (lowres.resolution, lowres.crop, lowres.max_level) == (256, 256, 1.0)


def test_a_run_trains_resumes_and_refuses_other_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shards: Path, tmp_path: Path
) -> None:
    given = (
        "experiment=toy_sr",
        "name=run",
        f"runs={tmp_path}",
        f"data.train={shards}",
        "trainer.progress=false",
    )
    code, out, err = run(monkeypatch, capsys, *given, "trainer.max_steps=5")
    assert (code, err) == (0, "")
    assert out.endswith("last.ckpt: step 5 of 5\n")
    assert len(list((tmp_path / "run/previews").glob("*.png"))) == 1
    code, out, _ = run(monkeypatch, capsys, *given, "trainer.max_steps=7", "previews=none")
    assert (code, json.loads((tmp_path / "run/progress.json").read_text())["step"]) == (0, 7)
    code, out, _ = run(monkeypatch, capsys, *given, "trainer.max_steps=7")
    assert (code, "is trained: step 7" in out) == (0, True)
    code, _, err = run(monkeypatch, capsys, *given, "stage.unet.blocks=[1,2]", "trainer.max_steps=9")
    assert code == 2
    assert "stage.unet.blocks was [1, 1] and is [1, 2]" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "no value for data.train, name: give"),
        (("name=x", "data.train=/nowhere"), "data.train=/nowhere"),
        (
            ("name=x", "data.train={shards}", "stage.unet.text_dim=12"),
            "stage.unet.text_dim=12: the text encoder gives width 16",
        ),
        (("name=x", "data.train={shards}", "data.live=false", "text.max_length=9"), "max_length"),
        (("name=x", "data.train={shards}", "trainer.accumulate=3"), "data.batch_size=4"),
        (("name=x", "data.train={shards}", "data.resolution=16"), "data.resolution=16: the stage's pictures"),
        (("name=x", "data.train={shards}", "trainer.precision=abc"), "abc"),
        (("name=x", "data.train={shards}", "+foo.bar=1"), "foo: no such setting; choose from: data"),
        (("name=x", "data.train={shards}", "+trainer.strategi=ddp"), "strategi"),
    ],
)
def test_what_cannot_be_trained_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    shards: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    line: str,
) -> None:
    given = [argument.format(shards=shards) for argument in arguments]
    code, _, err = run(
        monkeypatch, capsys, "experiment=toy", f"runs={tmp_path}", "trainer.progress=false", *given
    )
    assert code == 2
    assert err.startswith("error: ")
    assert line in err
    assert err.count("\n") == 1


def test_w_and_b_gets_values_and_pictures_offline(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shards: Path, tmp_path: Path
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    given: list[Any] = [
        "experiment=toy",
        "name=run",
        f"runs={tmp_path}",
        f"data.train={shards}",
        "logger=wandb",
    ]
    code, _, _ = run(monkeypatch, capsys, *given, "trainer.progress=false", "trainer.max_steps=5")
    assert code == 0
    media = list((tmp_path / "run/wandb").glob("offline-run-*-run/files/media/images/*.png"))
    grid = [file for file in media if file.name.startswith("previews_")]
    assert len(grid) == 1
    waiting = [file.read_bytes()[:4] for file in (tmp_path / "run/wandb/artifacts/staging").iterdir()]
    assert waiting.count(b"\x89PNG") == 2 * 6, "of the table: a picture a prompt and a column"
    table = json.loads(
        next((tmp_path / "run/wandb").glob("offline-run-*-run/files/media/table/previews_table*")).read_text()
    )
    assert table["columns"][:2] == ["prompt", "none w=1"]
    assert [row[0] for row in table["data"]] == ["a red circle", "two blue squares"]


def test_a_killed_command_resumes(shards: Path, tmp_path: Path) -> None:
    given = ["experiment=toy", "name=run", f"runs={tmp_path}", f"data.train={shards}", "previews=none"]
    command = [
        sys.executable,
        "-m",
        "imagen.programs.train",
        *given,
        "trainer.max_steps=100000",
        "trainer.save_every=1",
    ]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    started = time.monotonic()
    while not (tmp_path / "run/checkpoints/last.ckpt").exists() and time.monotonic() - started < 300:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "SIGTERM: saving after this step" in err
    assert json.loads((tmp_path / ".cells/run.json").read_text())["state"] == "stopped"
    step = json.loads((tmp_path / "run/progress.json").read_text())["step"]
    assert torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"] == step > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is an accelerator")
def test_an_accelerator_that_is_not_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shards: Path, tmp_path: Path
) -> None:
    given = ["experiment=toy", "name=x", f"runs={tmp_path}", f"data.train={shards}"]
    code, _, err = run(monkeypatch, capsys, *given, "trainer.accelerator=gpu")
    assert code == 2
    assert err.startswith("error: ")
    assert "gpu" in err
    assert err.count("\n") == 1


def test_a_wrong_setting_leaves_a_run_as_it_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shards: Path, tmp_path: Path
) -> None:
    given = ["experiment=toy", "name=x", f"runs={tmp_path}", f"data.train={shards}", "trainer.progress=false"]
    assert run(monkeypatch, capsys, *given, "trainer.max_steps=2", "previews=none")[0] == 0
    before = {p: p.read_bytes() for p in (tmp_path / "x").rglob("*") if p.is_file()}
    for wrong in ("previews.steps=0", "trainer.save_every=x", "stage.unet.blocks=-1", "logger=5"):
        assert run(monkeypatch, capsys, *given, "trainer.max_steps=4", wrong)[0] == 2
    assert {p: p.read_bytes() for p in (tmp_path / "x").rglob("*") if p.is_file()} == before
