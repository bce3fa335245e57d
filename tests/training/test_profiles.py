"""Power-function averages: the recurrence against the profile, and any length from a few kept ones."""

import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from imagen.training.averages import of_length
from imagen.training.ema import EMA
from imagen.training.profiles import Profile, decay_at, gamma_of, missed, mixture, similarity
from imagen.training.saved import shapes
from imagen.training.sharded import MARK, write


@pytest.mark.parametrize("length", [0.01, 0.05, 0.1, 0.25])
def test_a_profile_has_its_length(length: float) -> None:
    gamma = gamma_of(length)
    at = (np.arange(200_000) + 0.5) / 200_000
    density = (gamma + 1) * at**gamma
    mean = (density * at).mean()
    assert np.sqrt((density * (at - mean) ** 2).mean()) == pytest.approx(length, rel=1e-4)
    assert similarity(Profile(1, gamma), Profile(1, gamma)) == pytest.approx((density**2).mean(), rel=1e-3)


def test_profiles_of_two_times_have_their_integral() -> None:
    a, b = Profile(0.6, gamma_of(0.1)), Profile(1.0, gamma_of(0.05))
    at = (np.arange(200_000) + 0.5) / 200_000
    of_a = np.where(at < a.step, (a.gamma + 1) * at**a.gamma / a.step ** (a.gamma + 1), 0)
    of_b = (b.gamma + 1) * at**b.gamma
    assert similarity(a, b) == similarity(b, a) == pytest.approx((of_a * of_b).mean(), rel=1e-3)


def test_the_recurrence_is_the_weighted_sum() -> None:
    net, ema = nn.Linear(3, 2), EMA(lengths=[0.1])
    ema.start(net)
    steps, gamma, seen = 30, gamma_of(0.1), []
    for _ in range(steps):
        with torch.no_grad():
            net.weight.add_(torch.randn(2, 3))
        ema.update(net)
        seen.append(net.weight.detach().double())
    shares = np.diff((np.arange(steps + 1) / steps) ** (gamma + 1))
    expected = sum(float(share) * weight for share, weight in zip(shares, seen))
    assert isinstance(expected, torch.Tensor)
    torch.testing.assert_close(ema.powers[0.1]["weight"].double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("length", [0.03, 0.07, 0.1, 0.15, 0.2])
def test_any_length_is_made_of_two(length: float) -> None:
    """Of a random walk, whose averages differ by their lengths as those of training do; 16 kept steps."""
    walk = np.random.default_rng(0).standard_normal((1600, 50)).cumsum(0)
    held: dict[float, np.ndarray] = {own: np.zeros(50) for own in (0.05, 0.1, length)}
    kept, values = [], []
    for step, now in enumerate(walk, 1):
        for own, average in held.items():
            held[own] = average + (1 - decay_at(step, gamma_of(own))) * (now - average)
        if step % 100 == 0:
            kept += [Profile(step, gamma_of(own)) for own in (0.05, 0.1)]
            values += [held[0.05], held[0.1]]
    wanted = Profile(1600, gamma_of(length))
    made = mixture(kept, wanted) @ np.stack(values)
    assert missed(kept, wanted) < 0.06
    assert np.linalg.norm(made - held[length]) < 0.02 * np.linalg.norm(walk[-1] - held[length])


def test_a_run_keeps_averages_of_which_others_are_made(fit: Any, tmp_path: Path) -> None:
    settings = ["stage.ema.lengths=[0.05,0.1]", "stage.ema.keep_every=2", "trainer.save_every=4"]
    fit(tmp_path / "resumed", "trainer.max_steps=5", *settings)
    fit(tmp_path / "resumed", *settings)
    run = fit(tmp_path / "whole", *settings)
    lengths = run.checkpoint["ema"]["lengths"]
    assert lengths.keys() == {"0.05", "0.1"}
    for folder in ("whole", "resumed"):
        made, distance = of_length(tmp_path / folder / "averages", 0.1, 10, shapes(lengths["0.1"]))
        assert distance < 1e-6
        for name, tensor in lengths["0.1"].items():
            torch.testing.assert_close(made[name], tensor, rtol=2e-3, atol=2e-3)
    earlier, _ = of_length(tmp_path / "whole/averages", 0.1, 5, shapes(made))
    assert earlier.keys() == made.keys(), "as it was at step 4"


def test_what_cannot_be_made_is_one_line(kept: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^ema=0.1: .*nowhere has no averages .*stage.ema.lengths=\[0.05,0.1\]"
    ):
        of_length(kept.with_name("nowhere"), 0.1, 10, EXPECTED)
    with pytest.raises(
        ValueError, match=r"^ema=0.2: what .* keeps \(1 steps\) makes no average of that length"
    ):
        of_length(kept, 0.2, 10, EXPECTED)
    for lengths in ([0.3], [0], [-1]):
        with pytest.raises(ValueError, match=r"^stage.ema.lengths=\[.*\]: .* is no length of an average"):
            EMA(lengths=lengths)


@pytest.mark.parametrize("length", [1e-300, 5e-324, 0.3, math.inf, math.nan])
def test_what_is_no_length_is_told_with_the_option(length: float, kept: Path) -> None:
    with pytest.raises(ValueError, match=f"^ema={length:g}: .* is no length of an average"):
        of_length(kept, length, 10, EXPECTED)


EXPECTED = {"weight": (4, 3)}
WEIGHTS = {"weight": torch.ones(4, 3).half()}


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """What a run keeps of one average."""
    folder = tmp_path / "averages"
    write(folder / "step-00000008", {"step": 8, "lengths": {"0.05": WEIGHTS}}, {}, 0, 1)
    return folder


@pytest.mark.parametrize(
    "content",
    [
        5,
        {},
        {"step": 9, "lengths": {"0.05": WEIGHTS}},
        {"step": 10**400, "lengths": {"0.05": WEIGHTS}},
        {"step": True, "lengths": {"0.05": WEIGHTS}},
        {"step": 8, "lengths": {}},
        {"step": 8, "lengths": [0.05]},
        {"step": 8, "lengths": {"inf": WEIGHTS}},
        {"step": 8, "lengths": {"nan": WEIGHTS}},
        {"step": 8, "lengths": {"1e-300": WEIGHTS}},
        {"step": 8, "lengths": {10**400: WEIGHTS}},
        {"step": 8, "lengths": {"0.05": 5}},
        {"step": 8, "lengths": {"0.05": WEIGHTS, "0.1": {}}},
        {"step": 8, "lengths": {"0.05": {"other": WEIGHTS["weight"]}}},
        {"step": 8, "lengths": {"0.05": {"weight": torch.ones(3, 4).half()}}},
        {"step": 8, "lengths": {"0.05": {"weight": torch.ones(4, 3).long()}}},
        {"step": 8, "lengths": {"0.05": {"weight": torch.ones(4, 3).to(torch.complex64)}}},
        {"step": 8, "lengths": {"0.05": {"weight": torch.ones(4, 3).to_sparse()}}},
        {"step": 8, "lengths": {"0.05": {"weight": torch.full((4, 3), math.nan)}}},
        {"step": 8, "lengths": {"0.05": {"weight": torch.zeros(1).expand(10**13)}}},
        {"step": 8, "lengths": {"0.05": {"weight": {MARK: "x", "shape": [10**12]}}}},
        {"step": 8, "lengths": {"0.05": {"weight": {MARK: "x", "shape": [4, 3]}}}},
        {"step": 8, "lengths": {"0.05": {"weight": {MARK: "other", "shape": [4, 3]}}}},
        {"step": 8, "lengths": {"0.05": {"weight": {MARK: "whole", "shape": [4, 3]}}}},
        {"step": 8, "lengths": {"0.05": {"weight": {MARK: "single", "shape": [4, 3]}}}},
    ],
)
def test_averages_of_nobody_are_refused_with_their_folder(content: Any, kept: Path) -> None:
    rows = {"other": torch.ones(4, 2), "whole": torch.ones(4, 3).long(), "single": torch.ones(())}
    write(kept / "step-00000008", content, rows, 0, 1)
    with pytest.raises(ValueError, match=f"^{re.escape(str(kept / 'step-00000008'))}: {NONE}$"):
        of_length(kept, 0.05, 10, EXPECTED)


NONE = "no averages of a run, or damaged; remove it to go without"


def test_an_expanded_tensor_asks_for_no_memory_even_if_the_network_has_that_shape(kept: Path) -> None:
    content = {"step": 8, "lengths": {"0.05": {"weight": torch.zeros(1).expand(10**13)}}}
    write(kept / "step-00000008", content, {}, 0, 1)
    with pytest.raises(ValueError, match=NONE):
        of_length(kept, 0.05, 10, {"weight": (10**13,)})


@pytest.mark.parametrize("name", ["", "step-00000008", "step-00000008/plain.ckpt"])
@pytest.mark.parametrize("kind", ["link", "pipe", "cut"])
def test_averages_are_plain_folders_and_files(kind: str, name: str, kept: Path) -> None:
    path = kept / name
    aside = kept.with_name("aside")
    path.rename(aside)
    if kind == "link":
        path.symlink_to(aside)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"x")
    named = path.parent if name.endswith("ckpt") else path
    with pytest.raises(ValueError, match=f"^{re.escape(str(named))}: {NONE}$"):
        of_length(kept, 0.05, 10, EXPECTED)
