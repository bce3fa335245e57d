"""Adafactor against optax's own numbers, learning rates against their definition."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from imagen.training.optimizers import Adafactor, Constant, Cosine, adafactor, adamw, factored_dims

SHAPES = {"matrix": (130, 140), "kernel": (128, 160, 3, 3), "narrow": (4, 200), "bias": (7,)}
# optax 0.2.8, adafactor(1e-2): after the four steps below, entries 0, 1, -1 and the sum
OPTAX = {
    "matrix": ([0.17395871877670288, 0.040218330919742584, -0.03442917764186859], -9.951827778873849),
    "kernel": ([-0.02472379058599472, 0.07335778325796127, -0.01830253005027771], 71.22387494053692),
    "narrow": ([-0.22338147461414337, -0.14290018379688263, -0.06327592581510544], 3.198165590001736),
    "bias": ([0.0800061821937561, -0.20046493411064148, -0.11162968724966049], -0.22102366015315056),
}


def test_adafactor_is_optax_s() -> None:
    random = np.random.RandomState(0)
    draw = {
        k: lambda shape=shape: torch.tensor(random.randn(*shape).astype(np.float32))
        for k, shape in SHAPES.items()
    }
    parameters = {name: torch.nn.Parameter(draw[name]() * 0.1) for name in SHAPES}
    optimizer = Adafactor(parameters.values(), lr=1e-2)
    for step in range(4):
        for name, parameter in parameters.items():
            parameter.grad = draw[name]() * 10.0 ** (step - 2)
        optimizer.step()
    for name, (entries, total) in OPTAX.items():
        result = parameters[name].detach()
        assert result.flatten()[[0, 1, -1]].tolist() == pytest.approx(entries, rel=1e-5), name
        assert result.double().sum().item() == pytest.approx(total, abs=1e-4), name


def test_adafactor_keeps_rows_and_columns_of_the_two_largest_dimensions() -> None:
    assert factored_dims((128, 160, 3, 3), 128) == (0, 1)
    assert factored_dims((160, 128, 3, 3), 128) == (1, 0)
    assert factored_dims((127, 500), 128) is None
    assert factored_dims((500,), 128) is None
    kernel = torch.nn.Parameter(torch.randn(128, 160, 3, 3))
    optimizer = Adafactor([kernel], lr=1e-3)
    kernel.grad = torch.randn_like(kernel)
    optimizer.step()
    assert sorted((k, tuple(v.shape)) for k, v in optimizer.state[kernel].items() if k != "step") == [
        ("column", (160, 3, 3)),
        ("row", (128, 3, 3)),
    ]


def test_a_constant_rate_warms_up() -> None:
    rate = Constant(warmup=4)
    assert [rate(step) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert Constant(warmup=0)(0) == 1


def test_a_cosine_rate_warms_up_and_falls() -> None:
    rate = Cosine(steps=12, warmup=2, floor=0.1)
    assert [rate(0), rate(1), rate(2)] == [0.5, 1, 1]
    assert rate(7) == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 2)))
    assert rate(12) == rate(99) == pytest.approx(0.1)
    with pytest.raises(
        ValueError, match=r"stage\.rate\.warmup=5: must be at least 0 and below stage\.rate\.steps=5"
    ):
        Cosine(steps=5, warmup=5)


def test_adamw_decays_matrices_alone() -> None:
    matrix, bias = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))
    matrix.grad, bias.grad = torch.zeros(2, 2), torch.zeros(2)
    adamw(lr=0.1, weight_decay=0.5)([matrix, bias]).step()
    assert torch.allclose(matrix, torch.tensor(0.95))
    assert torch.equal(bias, torch.ones(2))


@pytest.mark.parametrize(
    ("make", "values"),
    [
        (adamw, {"lr": 0}),
        (adamw, {"lr": math.inf}),
        (adafactor, {"lr": math.nan}),
        (adamw, {"eps": 0}),
        (adamw, {"weight_decay": -1}),
        (adamw, {"betas": [0.9]}),
        (adamw, {"betas": [0.9, 1]}),
        (Constant, {"warmup": -1}),
        (Cosine, {"warmup": -1, "steps": 5}),
        (Cosine, {"floor": 2, "steps": 5, "warmup": 0}),
    ],
)
def test_a_value_out_of_range_is_refused(make: Callable[..., object], values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=rf"^stage\.\w+\.{next(iter(values))}="):
        make(**values)


def test_adafactor_on_shards_is_adafactor(tmp_path: Path) -> None:
    """Factored over rows that lie apart, over columns, over a kernel's; and shapes that two do not divide."""
    script = Path(__file__).with_name("adafactor_on_shards.py")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    found, own = [], ("MASTER_", "RANK", "WORLD_", "LOCAL_", "NODE_", "GROUP_", "TORCHELASTIC_", "SLURM_")
    env = {
        key: value for key, value in os.environ.items() if not key.startswith(own)
    }  # what other tests left
    for world in ("1", "2"):
        out = tmp_path / f"{world}.pt"
        ran = subprocess.run(
            [*torchrun, world, str(script), str(out)], capture_output=True, text=True, timeout=120, env=env
        )
        assert ran.returncode == 0, ran.stderr[-3000:]
        found.append(torch.load(out, weights_only=True))
    assert len(found[0]) == 5
    for alone, shards in zip(*found, strict=True):
        assert torch.allclose(alone, shards, rtol=1e-5, atol=1e-6)
