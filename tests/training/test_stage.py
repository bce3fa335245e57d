"""What a stage refuses before it trains; what a batch becomes."""

from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module

from imagen.diffusion.randomness import Randomness
from imagen.grid import captioned_grid, to_uint8
from imagen.programs.build import build
from imagen.training.stage import Stage


def stage(*overrides: str) -> Stage:
    with initialize_config_module("imagen.conf", version_base="1.3"):
        cfg = compose("train", ["experiment=toy_sr", "name=x", "data.train=x", *overrides])
    return build(cfg.stage)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stage.resolution=18", r"stage\.resolution=18: must divide by 4"),
        ("stage.lowres.resolution=16", r"stage\.lowres\.resolution=16: must be below stage\.resolution=16"),
        ("stage.lowres.crop=6", r"stage\.lowres\.crop=6: must divide by 4"),
        (
            "stage.lowres=null",
            r"stage\.unet\.lowres=true: the network takes low-resolution.*stage\.lowres is not set",
        ),
        ("stage.text_drop=2", r"stage\.text_drop=2"),
        ("stage.predict=noise", r"stage\.predict=noise: must be one of eps, x, v"),
        ("stage.resolution=0", r"stage\.resolution=0: must be at least 1"),
        ("stage.name='../x'", r"stage\.name='\.\./x': a plain name"),
        ("stage.lowres.resolution=0", r"stage\.lowres\.resolution=0: must be at least 1"),
        ("+stage.lowres.schedule.shift=99", r"stage\.lowres\.schedule\..*shift=99"),
        (
            "+stage.colour=1",
            r"stage .imagen.training.stage.Stage.*unexpected keyword argument 'colour'; it takes: name",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stage(override)


def test_a_batch_of_a_super_resolution_stage() -> None:
    batch: dict[str, Any] = {
        "image": torch.rand(5, 3, 16, 16) * 2 - 1,
        "text_emb": torch.randn(5, 3, 16, dtype=torch.float16),
        "text_mask": torch.ones(5, 3, dtype=torch.bool),
    }
    x, cond = stage("stage.lowres.crop=8").prepare(batch, Randomness(range(5)), text_drop=1.0)
    assert x.shape == (5, 3, 8, 8)
    assert cond.lowres is not None
    assert cond.lowres.shape == (5, 3, 8, 8)
    assert cond.lowres_logsnr is not None
    assert cond.lowres_logsnr.shape == (5,)
    assert not cond.text_emb.any()
    assert cond.text_mask.sum(1).tolist() == [1] * 5


def test_a_grid_holds_every_picture() -> None:
    pictures = np.zeros((2, 3, 4, 4, 3), np.uint8)
    pictures[1, 2] = (255, 0, 0)
    sheet = captioned_grid(
        pictures, ["a red circle", "two blue squares"], ["none w=1", "static w=3", "real"], side=32
    )
    corner = np.array(sheet)[-10, -10]
    assert corner.tolist() == [255, 0, 0]


def test_pictures_become_bytes() -> None:
    values = torch.tensor([-2.0, -1, 0, 1, 3]).reshape(1, 1, 5).expand(3, 1, 5)
    assert to_uint8(values)[0, :, 0].tolist() == [0, 0, 128, 255, 255]
