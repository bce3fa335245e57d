"""A base run, its release, and a super-resolution run that shows what it makes of that: the cascade on one picture, and in W&B."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imagen.cascade import Cascade
from imagen.conditioning import upsample
from imagen.data.prepare.preparing import prepare
from imagen.data.sources.shapes import Shapes
from imagen.grid import captioned_grid, to_uint8
from imagen.programs import export, train

Called = Callable[..., tuple[int, str, str]]
PROMPTS = ["a red circle", "two blue stars"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cascade")
    prepare(Shapes(count=12, resolution=16, held_out=4), folder / "shards")
    return folder


def words(folder: Path, experiment: str, *more: str) -> list[str]:
    given = [
        f"experiment={experiment}",
        f"name={experiment}",
        f"runs={folder}/runs",
        f"data.train={folder}/shards",
    ]
    return [*given, "trainer.max_steps=5", "trainer.progress=false", *more]


def test_the_cascade_is_seen_while_its_second_stage_trains(folder: Path, called: Called) -> None:
    assert called(train.main, *words(folder, "toy", "previews=none"))[0] == 0
    assert called(export.main, f"run={folder}/runs/toy", f"out={folder}/release")[0] == 0
    before = f"previews.before={folder}/release"
    prompts = f"previews.prompts=[{','.join(PROMPTS)}]"
    code, _, err = called(
        train.main, *words(folder, "toy_sr", before, prompts, "logger=wandb", "logger.mode=offline")
    )
    assert code == 0, err
    sheet = json.loads((folder / "runs/toy_sr/previews/step-00000005.json").read_text())
    assert sheet["rows"][2:] == PROMPTS, "after the two real pictures"
    assert sheet["columns"][0] == "given"
    cascade = Cascade.load(folder / "release")
    drawn = to_uint8(upsample(cascade.sample(PROMPTS, [0, 1])[-1], 16))
    shown = np.asarray(Image.open(folder / "runs/toy_sr/previews/step-00000005.png"))
    alone = np.asarray(captioned_grid(drawn[:, None], PROMPTS, ["given"]))
    assert all(contains(shown, tile) for tile in drawn), "the first column has what the base stage drew"
    assert all(contains(alone, tile) for tile in drawn)

    told = called(
        export.main, f"run=[{folder}/runs/toy,{folder}/runs/toy_sr]", f"out={folder}/both", "artifact=true"
    )
    assert told[0] == 0, told[2]
    assert "W&B artifact toy_sr-release" in told[1]
    records = [file.read_bytes() for file in (folder / "runs/toy_sr/wandb").glob("offline-run-*/*.wandb")]
    assert any(b"toy_sr-release" in record for record in records)


def contains(picture: np.ndarray, tile: np.ndarray) -> bool:
    """Whether `tile` (R, R, 3) stands somewhere in `picture`, pixels repeated by a whole number or not at all."""
    for times in range(1, 17):
        large = tile.repeat(times, 0).repeat(times, 1)
        side = len(large)
        if side > min(picture.shape[:2]):
            return False
        corners = np.argwhere((picture[: 1 - side or None, : 1 - side or None] == large[0, 0]).all(-1))
        if any(np.array_equal(picture[y : y + side, x : x + side], large) for y, x in corners):
            return True
    return False


@pytest.mark.parametrize(
    ("experiment", "more", "line"),
    [
        ("toy", [], "this stage draws from text alone"),
        ("toy_sr", ["stage.lowres.resolution=4"], "it draws 8 x 8, and this stage enlarges pictures of 4"),
        ("toy_sr", ["text.max_length=9"], "another text encoder"),
        ("toy_sr", ["previews.before=/nowhere"], "/nowhere"),
    ],
)
def test_a_stage_before_that_does_not_fit_is_one_line_at_the_start(
    folder: Path, called: Called, experiment: str, more: list[str], line: str
) -> None:
    if not (folder / "release").exists():
        assert called(train.main, *words(folder, "toy", "previews=none"))[0] == 0
        assert called(export.main, f"run={folder}/runs/toy", f"out={folder}/release")[0] == 0
    given = words(folder, experiment, f"previews.before={folder}/release", *more)
    code, _, err = called(train.main, *given, "name=refused", "previews.every=1000")
    assert code == 2
    assert "error: previews.before=" in err
    assert line in err
    assert torch.is_grad_enabled()


def test_a_run_without_wandb_has_no_artifact(folder: Path, called: Called) -> None:
    if not (folder / "runs/toy").exists():
        assert called(train.main, *words(folder, "toy", "previews=none"))[0] == 0
    code, _, err = called(export.main, f"run={folder}/runs/toy", f"out={folder}/alone", "artifact=true")
    assert code == 2
    assert "artifact=true: " in err
