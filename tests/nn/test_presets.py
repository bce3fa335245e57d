"""The presets of conf/stage/unet have the paper's sizes."""

from importlib.resources import files
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from imagen.nn import NETWORKS, EfficientUNet, UNet

T5_XXL = 4096
MILLIONS = {  # preset: (the paper's count, how far from it ours may be)
    "base_300m": (300, 0.10),
    "base_500m": (500, 0.10),
    "base_1b": (1000, 0.10),
    "base_2b": (2100, 0.10),
    "sr256_paper": (470, 0.0426),  # 450 to 490: what the printed table makes
    "sr256_600m": (600, 0.10),
    "sr256_older": (482, 0.10),  # the size of sr256_paper
    "sr1024_400m": (400, 0.20),
}


def preset(name: str, text_dim: int) -> UNet | EfficientUNet:
    conf = OmegaConf.load(str(files("imagen.conf") / "stage" / "unet" / f"{name}.yaml"))
    root: Any = OmegaConf.to_container(OmegaConf.create({"text_dim": text_dim, "net": conf}), resolve=True)
    arguments = root["net"]
    package, _, network = arguments.pop("_target_").rpartition(".")
    assert package == "imagen.nn"
    return NETWORKS[network](**arguments)


@pytest.mark.parametrize("name", MILLIONS)
def test_size(name):
    expected, tolerance = MILLIONS[name]
    with torch.device("meta"):
        net = preset(name, T5_XXL)
    count = sum(p.numel() for p in net.parameters()) / 1e6
    assert abs(count - expected) <= tolerance * expected


def test_printed_tables():
    with torch.device("meta"):
        base, sr256, sr1024 = (preset(name, T5_XXL) for name in ("base_2b", "sr256_paper", "sr1024_400m"))
    assert (
        base.arguments
        | {
            "width": 512,
            "multipliers": [1, 2, 3, 4],
            "blocks": 3,
            "attention": [False, True, True, True],
            "head_channels": 64,
        }
        == base.arguments
    )
    for net, attention in ((sr256, "self"), (sr1024, "cross")):
        assert (
            net.arguments
            | {
                "widths": [128, 256, 512, 1024],
                "blocks": [2, 4, 8, 8],
                "attention": ["none", "none", "none", attention],
                "heads": 8,
                "lowres": True,
            }
            == net.arguments
        )


def test_every_preset_is_held():
    folder = files("imagen.conf") / "stage" / "unet"
    names = {entry.name.removesuffix(".yaml") for entry in folder.iterdir()}
    assert set(MILLIONS) <= names


@pytest.mark.parametrize("name", ["toy_base", "toy_sr"])
def test_toys_are_small(name):
    assert sum(p.numel() for p in preset(name, 32).parameters()) < 400_000
