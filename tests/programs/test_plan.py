"""imagen-plan: its figures for every experiment, against counts made otherwise; nothing is allocated or
trained."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from torch import nn

from imagen.nn import UNet
from imagen.programs import plan as program
from imagen.programs.build import build
from imagen.programs.plan import large, span
from imagen.training.cost import Kept, measure, memory
from imagen.training.stage import Stage

CONF = Path(__file__).resolve().parents[2] / "conf"
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
TOY = ["experiment=toy", "text=hashed_words", "text.dim=12"]


def planned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """What imagen-plan writes; of an experiment that is a sweep its last run."""
    file = tmp_path / "plan.json"
    monkeypatch.setattr(sys, "argv", ["imagen-plan", f"plan.json={file}", *arguments])
    program.main()
    found = json.loads(file.read_text())
    return found[-1] if isinstance(found, list) else found


def meta_stage(*overrides: str) -> Stage:
    with initialize_config_module("imagen.conf", version_base="1.3"):
        config = compose("plan", list(overrides))
    with torch.device("meta"):
        return build(config.stage)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_has_a_plan(
    experiment: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = planned(monkeypatch, tmp_path, f"experiment={experiment}", "plan.devices=4")
    assert found["parameters"] > 0
    assert found["flop"]["training_an_image"] > 0
    assert found["memory_a_device"]["total"] > 4 * 4 * found["parameters"]
    assert found["time"]["device_hours"] > 0
    at = found["memory_a_device"]
    assert at["activations_with_checkpointing"] < at["activations_without_checkpointing"]
    out = capsys.readouterr().out
    assert "parameters" in out
    assert "does NOT fit" in out or "fits in" in out


@pytest.mark.parametrize("side", [8, 32])
def test_counts_are_those_of_the_real_network(side: int) -> None:
    """Bytes that autograd keeps, counted again on a network that exists, and its parameters. At 32 x 32 the scores
    of attention, which fused kernels do not keep, would be most of it."""
    stage = meta_stage(*TOY, f"stage.resolution={side}")
    cost = measure(stage, tokens=5)
    arguments = stage.denoiser.net.arguments
    assert isinstance(arguments, dict)
    net = UNet(**arguments)
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        text = net.text(torch.zeros(1, 5, 12), torch.ones(1, 5, dtype=torch.bool))
        net(torch.zeros(1, 3, side, side), torch.zeros(1), text)
    weights = {p.untyped_storage()._cdata for p in net.parameters()}
    assert cost.parameters == sum(p.numel() for p in net.parameters())
    bytes_kept = sum(storage.nbytes() for at, storage in kept.items() if at not in weights)
    assert cost.activations == pytest.approx(bytes_kept, rel=0.05)
    assert 0 < cost.checkpointed < cost.activations
    assert cost.step_flop == 3 * cost.sample_flop


def test_a_convolution_is_counted_as_by_hand() -> None:
    found = measure(meta_stage(*TOY), tokens=1)
    wider = measure(meta_stage(*TOY), tokens=33)
    assert 0 < wider.sample_flop - found.sample_flop < found.sample_flop
    stage = meta_stage(*TOY, "+stage.unet.checkpointing=true")
    assert measure(stage, tokens=1).step_flop == 4 * found.sample_flop
    assert stage.denoiser.net.checkpointing is True, "left as it was"


def test_optimizers_memory() -> None:
    adam = measure(meta_stage(*TOY, "stage/optimizer=adamw"))
    factored = measure(meta_stage("experiment=base64_300m", "stage/optimizer=adafactor"))
    assert adam.optimizer_state == 2 * adam.parameters
    assert factored.optimizer_state < factored.parameters / 20


def test_sharding_divides_what_can_be_divided() -> None:
    cost = measure(meta_stage(*TOY))
    one, ddp, fsdp = (
        memory(cost, 4, n, sharded, False, False) for n, sharded in ((1, False), (4, False), (4, True))
    )
    assert one.weights == ddp.weights == 4 * cost.parameters == 4 * fsdp.weights
    assert one.gathered == 0
    assert ddp.gathered == 4 * cost.parameters
    assert fsdp.gathered == 8 * cost.largest_block
    assert one.activations == fsdp.activations == 4 * cost.activations
    assert memory(cost, 4, 1, False, True, True).activations == 2 * cost.checkpointed


def test_hours_follow_from_the_assumptions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one = planned(monkeypatch, tmp_path, *TOY, "trainer.max_steps=1000")
    two = planned(
        monkeypatch,
        tmp_path,
        *TOY,
        "trainer.max_steps=1000",
        "plan.devices=4",
        "plan.mfu=0.15",
        "plan.images=500",
    )
    assert one["batch"]["global"] == two["batch"]["global"] == 4 * two["batch"]["device"]
    assert two["time"]["seconds_a_step"] == pytest.approx(one["time"]["seconds_a_step"] / 2)
    assert two["time"]["device_hours"] == pytest.approx(2 * one["time"]["device_hours"])
    assert two["disk"]["shards"] * 2000 == pytest.approx(one["disk"]["shards"])
    assert one["time"]["images"] == two["time"]["images"] == 1000 * one["batch"]["global"]
    sharded = planned(monkeypatch, tmp_path, *TOY, "plan.devices=4", "trainer.strategy=fsdp")
    assert sharded["memory_a_device"]["strategy"] == "fsdp"


def test_what_does_not_fit_comes_with_what_would(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The remedy, given back to the program, fits."""
    asked = ["experiment=base64_300m", "plan.devices=8"]
    assert planned(monkeypatch, tmp_path, *asked)["memory_a_device"]["total"] > 80e9
    advice = capsys.readouterr().out.splitlines()[-1].split("It fits with ")[1].split(" (")[0].split()
    at = planned(monkeypatch, tmp_path, *asked, *advice)
    assert at["memory_a_device"]["total"] <= at["memory_a_device"]["chip"]
    assert "does NOT fit" not in capsys.readouterr().out.splitlines()[-1]
    small = ["experiment=base64_2b", "plan.chips.rtx3090.memory=1", "plan.chip=rtx3090"]
    planned(monkeypatch, tmp_path, *small)
    assert "shard it" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan.chip=b52"], "plan.chip=b52: known: v100"),
        (["plan.mfu=2"], "plan.mfu=2"),
        (["plan.images=0"], "plan.images=0"),
        (["trainer.devices=auto"], "give plan.devices=N"),
        (["experiment=toys"], "experiment=toys"),
        (["stage.unet.with=3"], "stage.unet.with"),
        (["stage.resolution=9"], "stage.resolution=9"),
        (["plan.devices=3"], "data.batch_size=4: must divide by 3 processes"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        planned(monkeypatch, tmp_path, *TOY, *arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_plan_starts_no_jobs(called: Any) -> None:
    code, _, err = called(program.main, *TOY, "launcher=slurm_nodes", "seed=0,1")
    assert code == 2
    assert (
        err
        == "error: launcher=slurm_nodes: imagen-plan does its work here and now; leave it out and give the number of devices as plan.devices=16\n"
    )


def test_the_runs_of_a_sweep_are_told_apart_and_added_up(called: Any, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    code, out, err = called(
        program.main, *TOY, "hydra.mode=MULTIRUN", "stage.unet.width=8,16", "seed=0,1", f"plan.json={file}"
    )
    assert code == 0, err
    for width in (8, 16):
        assert f"stage.unet.width={width} " in out
    plans = json.loads(file.read_text())
    assert len(plans) == 4
    assert "so far 4 runs" in out


def test_kept_counts_each_storage_once() -> None:
    net = nn.ModuleDict({"down": nn.ModuleList([nn.Linear(4, 4)])})
    kept = Kept(net)
    x = torch.zeros(2, 4)
    with kept.watching():
        y = net["down"][0](x)  # pyright: ignore[reportIndexIssue]
        net["down"][0](x)  # pyright: ignore[reportIndexIssue]
    assert y.shape == (2, 4)
    assert kept.total == 2 * 4 * 4, "x, for both products"


def test_numbers_for_people() -> None:
    assert [large(n) for n in (0, 950, 1234567, 2.23e9, 999.9e9)] == [
        "0 ",
        "950 ",
        "1.23 M",
        "2.23 G",
        "1000 G",
    ]
    assert [span(n) for n in (0.0123, 1.5, 90, 150, 86400 * 3)] == [
        "12.3 ms",
        "1.5 s",
        "90.0 s",
        "2.5 min",
        "3.0 days",
    ]
