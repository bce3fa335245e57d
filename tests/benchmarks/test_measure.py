"""The benchmark counts what it should and prints what it found; nothing here looks at a clock."""

import importlib.util
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F


@pytest.fixture(scope="module")
def measure() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks/measure.py"
    spec = importlib.util.spec_from_file_location("benchmarks_measure", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_convolution_counts_as_multiplications_and_additions(measure: ModuleType) -> None:
    x, weight = torch.randn(2, 4, 8, 8), torch.randn(6, 4, 3, 3, requires_grad=True)
    forward = 2 * (2 * 8 * 8) * 6 * (4 * 3 * 3)
    assert measure.count(lambda: F.conv2d(x, weight, padding=1)) == (forward, forward)
    # backward: the weight's gradient alone, since x asks for none
    both = measure.count(lambda: F.conv2d(x, weight, padding=1).sum().backward())
    assert both == (2 * forward, 2 * forward)


def test_fused_attention_counts_like_attention_written_out(measure: ModuleType) -> None:
    q, k, v = (torch.randn(2, 3, n, 16, requires_grad=True) for n in (64, 40, 40))

    def fused() -> None:
        F.scaled_dot_product_attention(q, k, v).sum().backward()

    def written_out() -> None:
        ((q @ k.transpose(2, 3)).softmax(-1) @ v).sum().backward()

    total, by_torch = measure.count(fused)
    assert (total, by_torch) == (measure.count(written_out)[1], 0)


def test_everybody_has_as_many_turns(measure: ModuleType) -> None:
    calls: list[str] = []

    def asked(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    seconds = measure.in_turns({name: partial(asked, name) for name in "abc"}, rounds=4, budget=60)
    assert "".join(calls) == "abcbcacababc"
    assert seconds == {"a": [1, 6, 8, 10], "b": [2, 4, 9, 11], "c": [3, 5, 7, 12]}


def test_the_table_compares_with_the_better_peer(measure: ModuleType) -> None:
    def row(
        name: str,
        library: str,
        task: str,
        flop: float,
        seconds: float,
        kind: str = "float32",
        compared: bool = True,
    ) -> object:
        times = [seconds, seconds, 9.0]
        return measure.Row(name, library, "base", 10**6, kind, compared, task, int(flop), int(flop), times)

    rows = [
        row("ours", "ours", "train", 300e9, 2.0),
        row("diffusers", "diffusers", "train", 200e9, 2.0),
        row("imagen-pytorch", "imagen-pytorch", "train", 400e9, 8.0),
        row("diffusers, tuned", "diffusers", "train", 200e9, 0.1, compared=False),
        row("ours", "ours", "sample", 100e9, 1.0),
        row("ours, bf16", "ours", "train", 300e9, 1.0, "bf16"),
        row("diffusers, bf16", "diffusers", "train", 300e9, 2.0, "bf16"),
    ]
    lines = measure.table(rows, peak=300e9).splitlines()
    assert lines[2].split()[-2:] == ["50.0%", "1.50"]
    assert lines[3].split()[-1] == "33.3%"
    assert "(diffusers, tuned)" in lines[5]
    assert lines[6] == ""
    assert lines[7].split()[-1] == "33.3%", "no peer, no ratio"
    found = measure.as_json(rows, peak=300e9)
    assert (found[0]["better_peer"], found[0]["times_better_peer"]) == ("diffusers", pytest.approx(1.5))
    assert "better_peer" not in found[4]
    assert (found[5]["better_peer"], found[5]["times_better_peer"]) == ("diffusers, bf16", pytest.approx(2))
