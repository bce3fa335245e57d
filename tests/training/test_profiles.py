"""Power-function averages: the recurrence against the profile, and any length from a few kept ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from imagen.training.averages import of_length
from imagen.training.ema import EMA
from imagen.training.profiles import Profile, decay_at, gamma_of, missed, mixture, similarity


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
        made, distance = of_length(tmp_path / folder / "averages", 0.1, 10)
        assert distance < 1e-6
        for name, tensor in lengths["0.1"].items():
            torch.testing.assert_close(made[name], tensor, rtol=2e-3, atol=2e-3)
    assert of_length(tmp_path / "whole/averages", 0.1, 5)[0].keys() == made.keys(), "as it was at step 4"


def test_what_cannot_be_made_is_one_line(fit: Any, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^ema=0.1: .*averages has no averages .*stage.ema.lengths=\[0.05,0.1\]"
    ):
        of_length(tmp_path / "averages", 0.1, 10)
    fit(tmp_path, "stage.ema.lengths=[0.05]", "stage.ema.keep_every=10")
    with pytest.raises(
        ValueError, match=r"^ema=0.2: what .* keeps \(1 steps\) makes no average of that length"
    ):
        of_length(tmp_path / "averages", 0.2, 10)
    (tmp_path / "averages/step-00000010/plain.ckpt").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"plain.ckpt: damaged"):
        of_length(tmp_path / "averages", 0.05, 10)
    for lengths in ([0.3], [0], [-1]):
        with pytest.raises(ValueError, match=r"^stage.ema.lengths=\[.*\]: .* is no length of an average"):
            EMA(lengths=lengths)
