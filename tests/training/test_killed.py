"""Killed by SIGKILL, anywhere, twenty times: the run ends as if nothing had happened, bit by bit."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from imagen.data.prepare.embedding import embed
from imagen.data.prepare.preparing import prepare
from imagen.data.sources.shapes import Shapes
from imagen.text import HashedWords

SCRIPT = Path(__file__).with_name("killed.py")

SPEED = {"images_per_second", "data_wait", "memory_gb", "tflops"}  # which no two runs share


def run(folder: Path, name: str, times: int) -> list[int]:
    """The steps at which it was killed."""
    words = [
        f"name={name}",
        f"runs={folder}",
        f"data.train={folder}/shards",
        "data.live=false",
        "experiment=toy",
    ]
    words += ["trainer.max_steps=60", "trainer.save_every=2", "trainer.log_every=1", "trainer.progress=false"]
    words += [
        "logger=none",
        "previews=grid",
        "previews.every=7",
        "previews.steps=2",
        "previews.prompts=[a red circle]",
    ]
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), str(times), *words],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=400,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return [int(line) for line in ran.stdout.splitlines() if line.isdigit()]


def equal(a: Any, b: Any, where: str = "") -> None:
    """Two checkpoints, bit by bit."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            equal(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b)):
            equal(x, y, f"{where}/{i}")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    else:
        assert a == b, where


def test_a_run_that_was_killed_is_the_run_that_was_not(tmp_path: Path) -> None:
    prepare(Shapes(count=40, resolution=16, held_out=4), tmp_path / "shards", shard_size=16)
    embed(tmp_path / "shards", [HashedWords(16)])
    assert run(tmp_path, "whole", 0) == []
    killed = run(tmp_path, "killed", 20)
    assert len(killed) == 20
    assert len(set(killed)) >= 6, "it was killed at different steps"
    whole, other = (
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)
        for name in ("whole", "killed")
    )
    for part in ("state_dict", "ema", "optimizer_states", "lr_schedulers", "global_step", "Shards"):
        equal(whole[part], other[part], part)
    curves = [
        [
            {k: v for k, v in json.loads(line).items() if k not in SPEED}
            for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        ]
        for name in ("whole", "killed")
    ]
    assert curves[0] == curves[1]
    drawn = [
        [p.read_bytes() for p in sorted((tmp_path / name / "previews").glob("*.png"))]
        for name in ("whole", "killed")
    ]
    assert len(drawn[0]) == 8
    assert drawn[0] == drawn[1]
