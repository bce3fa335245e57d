"""The average against its formula, and the swap, which always goes back."""

import contextlib
from typing import Any

import pytest
import torch
from torch import nn

from imagen.training.ema import EMA


def test_the_average_follows_its_formula() -> None:
    net, ema = nn.Linear(3, 2), EMA(decay=0.3)
    ema.start(net)
    expected = net.weight.detach().double().clone()
    for n in range(6):
        with torch.no_grad():
            net.weight.add_(torch.randn(2, 3))
        ema.update(net)
        decay = min(0.3, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * net.weight.detach().double()
    assert torch.allclose(ema.weights["weight"].double(), expected, atol=1e-6)
    assert ema.updates == 6


def test_swapping_goes_back_bit_by_bit_even_after_an_error() -> None:
    net, ema = nn.Linear(3, 2), EMA(decay=0.9)
    ema.start(net)
    with torch.no_grad():
        net.weight.add_(1)
    ema.update(net)
    trained, average = net.weight.detach().clone(), ema.weights["weight"].clone()
    with contextlib.suppress(KeyError), ema.swapped(net):
        assert torch.equal(net.weight, average)
        raise KeyError
    assert torch.equal(net.weight, trained)
    assert torch.equal(ema.weights["weight"], average)


def test_averages_of_another_network_are_refused() -> None:
    ema = EMA()
    saved: Any = {"ema": {"updates": 1, "weights": {"other": torch.zeros(1)}}}
    ema.on_load_checkpoint(None, None, saved)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="another network"):
        ema.start(nn.Linear(1, 1))


def test_a_decay_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"stage\.ema\.decay=1"):
        EMA(decay=1)
