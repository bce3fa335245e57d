"""imagen-plan: what a run of imagen-train would cost: parameters, FLOPs, memory, disk, hours. Nothing is
allocated."""

import json
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from imagen.data.module import micro_batch
from imagen.files import write_text
from imagen.programs.build import build, program
from imagen.training.cost import Cost, measure, memory
from imagen.training.stage import Stage

TAR_BYTES = 2500  # tar headers, caption and json of a pair
PLANS: list[dict[str, Any]] = []
"""Of this process: the runs of a sweep, one after another."""


@program("plan")
def main(cfg: DictConfig) -> None:
    """Build the stage on the meta device, reckon, print."""
    given: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # pyright: ignore[reportAssignmentType]
    check(given["plan"])
    for part in (cfg.trainer, cfg.data):  # for what they say of their values; no shards are read
        build(part)
    with torch.device("meta"):
        stage: Stage = build(cfg.stage)
    found = reckon(given, stage, measure(stage, given["plan"]["tokens"]))
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        print(f"\n== {HydraConfig.get().job.override_dirname.replace(',', ' ')} ==")
    print(table(found))
    if advice := remedy(found):
        print(f"\n{advice}")
    swept = HydraConfig.get().mode == RunMode.MULTIRUN
    if not swept or HydraConfig.get().job.num == 0:
        PLANS.clear()
    PLANS.append(found)
    if swept:
        hours = sum(plan["time"]["device_hours"] for plan in PLANS)
        print(f"so far {len(PLANS)} runs, {hours:,.0f} hours of one {given['plan']['chip']} in all")
    if given["plan"]["json"] is not None:
        write_text(Path(given["plan"]["json"]), json.dumps(PLANS if swept else found, indent=2) + "\n")


def check(plan: dict[str, Any]) -> None:
    """ValueError for a chip that nobody knows."""
    if plan["chip"] not in plan["chips"]:
        raise ValueError(
            f"plan.chip={plan['chip']}: known: {', '.join(plan['chips'])}; or add plan.chips.NAME"
        )


def reckon(given: dict[str, Any], stage: Stage, cost: Cost) -> dict[str, Any]:
    """The plan as plain values: counts, FLOPs, bytes, hours."""
    plan, trainer, batch = given["plan"], given["trainer"], given["data"]["batch_size"]
    chip = plan["chips"][plan["chip"]]
    devices = plan["devices"] or device_count(trainer)
    micro = micro_batch(batch, devices, trainer["accumulate"])
    half = "16" in str(trainer["precision"])
    sharded = any(
        word in str(trainer["strategy"]).lower() for word in ("fsdp", "modelparallel", "model_parallel")
    )
    net: Any = stage.denoiser.net
    kinds = {c: memory(cost, micro, devices, sharded, half, c) for c in (False, True)}
    chosen = kinds[net.checkpointing]
    room = {c: chip["memory"] * 1e9 * 0.92 - kinds[c].fixed for c in kinds}
    fits = {c: max(0, int(room[c] / (kinds[c].activations / micro))) for c in kinds}
    step_flop = cost.step_flop * batch
    peak = chip["bf16" if half else "fp32"] * 1e12
    seconds = step_flop / (peak * plan["mfu"] * devices)
    pixels = stage.resolution**2
    per_sample = cost.sample_flop * plan["sample_steps"] * 2
    return {
        "stage": {
            "name": stage.name,
            "resolution": stage.resolution,
            "text": given["text"]["_target_"].rsplit(".", 1)[-1],
        },
        "parameters": cost.parameters,
        "flop": {
            "forward_an_image": cost.sample_flop,
            "training_an_image": cost.step_flop,
            "training_a_step": step_flop,
            "sampling_an_image": per_sample,
        },
        "batch": {
            "device": micro,
            "devices": devices,
            "accumulate": trainer["accumulate"],
            "global": batch,
        },
        "memory_a_device": {
            "strategy": "fsdp" if sharded else "ddp" if devices > 1 else "one device",
            "precision": str(trainer["precision"]),
            "checkpointing": net.checkpointing,
            "option": ("" if "checkpointing" in given["stage"]["unet"] else "+") + "stage.unet.checkpointing",
            "weights": chosen.weights,
            "gradients": chosen.gradients,
            "optimizer": chosen.optimizer,
            "ema": chosen.ema,
            "gathered": chosen.gathered,
            "activations": chosen.activations,
            "total": chosen.total,
            "activations_without_checkpointing": kinds[False].activations,
            "activations_with_checkpointing": kinds[True].activations,
            "chip": chip["memory"] * 1e9,
            "largest_batch_without_checkpointing": fits[False],
            "largest_batch_with_checkpointing": fits[True],
        },
        "disk": {
            "images": plan["images"],
            "shards": plan["images"] * (pixels * plan["bytes_a_pixel"] + TAR_BYTES),
            "embeddings": plan["images"] * plan["captions"] * (plan["tokens"] * net.text_dim * 2 + 16),
            "release": 4 * cost.parameters,
            "checkpoint": 4 * (2 * cost.parameters + cost.optimizer_state),
        },
        "time": {
            "chip": plan["chip"],
            "peak_flops": peak,
            "mfu": plan["mfu"],
            "steps": trainer["max_steps"],
            "images": trainer["max_steps"] * batch,
            "epochs": trainer["max_steps"] * batch / plan["images"],
            "seconds_a_step": seconds,
            "device_hours": seconds * trainer["max_steps"] * devices / 3600,
            "days": seconds * trainer["max_steps"] / 86400,
            "seconds_a_sample": per_sample / (peak * plan["mfu"]),
        },
    }


def device_count(trainer: dict[str, Any]) -> int:
    """Devices of the trainer's settings. ValueError where they are found only when the run starts."""
    if not isinstance(trainer["devices"], int):
        raise ValueError(
            f"trainer.devices={trainer['devices']}: only the machine knows how many; give plan.devices=N"
        )
    for name in ("devices", "nodes"):
        if trainer[name] < 1:
            raise ValueError(f"trainer.{name}={trainer[name]}: must be at least 1")
    return trainer["devices"] * trainer["nodes"]


def table(found: dict[str, Any]) -> str:
    """The plan for people."""
    flop, batch, at, disk, time = (found[k] for k in ("flop", "batch", "memory_a_device", "disk", "time"))
    stage = found["stage"]
    parts = ("weights", "gradients", "optimizer", "ema", "gathered", "activations")
    room = f"{large(at['chip'])}B of one {time['chip']}"
    fits = "fits" if at["total"] <= at["chip"] else "does NOT fit"
    split = f"{batch['device']} a device x {batch['devices']} x {batch['accumulate']} parts"
    rows: list[tuple[str, str, str]] = [
        ("stage", stage["name"], f"{stage['resolution']} x {stage['resolution']}, text by {stage['text']}"),
        ("parameters", large(found["parameters"]), f"{found['parameters']:,}"),
        ("", "", ""),
        ("forward, an image", f"{large(flop['forward_an_image'])}FLOP", "one evaluation of the network"),
        ("training, an image", f"{large(flop['training_an_image'])}FLOP", "forward and backward"),
        ("training, a step", f"{large(flop['training_a_step'])}FLOP", f"batch {batch['global']:,}: {split}"),
        ("sampling, an image", f"{large(flop['sampling_an_image'])}FLOP", "guided: two evaluations a step"),
        ("", "", ""),
        (
            "memory, a device",
            f"{large(at['total'])}B",
            f"{fits} in the {room}; {at['strategy']}, {at['precision']}",
        ),
        *[(f"  {part}", f"{large(at[part])}B", "") for part in parts],
        (
            "  largest batch",
            f"{at['largest_batch_without_checkpointing']:,}",
            f"a device; with {at['option']}=true {at['largest_batch_with_checkpointing']:,}",
        ),
        ("", "", ""),
        ("shards", f"{large(disk['shards'])}B", f"plan.images={disk['images']} stored at this resolution"),
        ("embeddings", f"{large(disk['embeddings'])}B", "half precision, true lengths"),
        ("checkpoint, release", f"{large(disk['checkpoint'])}B", f"release: {large(disk['release'])}B"),
        ("", "", ""),
        (
            "a step",
            span(time["seconds_a_step"]),
            f"at {time['mfu']:.0%} of {large(time['peak_flops'])}FLOP/s a device",
        ),
        (
            "the run",
            span(time["days"] * 86400),
            f"{time['steps']:,} steps, {time['epochs']:,.1f} epochs of {disk['images']:,} pictures",
        ),
        ("device-hours", f"{time['device_hours']:,.1f}", f"{batch['devices']} x {time['chip']}"),
        ("sampling, an image", span(time["seconds_a_sample"]), "on one device"),
    ]
    left, middle = (max(len(row[i]) for row in rows) for i in (0, 1))
    return "\n".join(f"{a:{left}}  {b:>{middle}}  {c}".rstrip() for a, b, c in rows)


def remedy(found: dict[str, Any]) -> str | None:
    """What to change when the run does not fit in the device's memory; None when it fits."""
    batch, at, chip = found["batch"], found["memory_a_device"], found["time"]["chip"]
    if at["total"] <= at["chip"]:
        return None
    wants = [] if at["checkpointing"] else [f"{at['option']}=true"]
    kind = "with" if at["checkpointing"] or at["largest_batch_without_checkpointing"] == 0 else "without"
    most = at[f"largest_batch_{kind}_checkpointing"]
    if most == 0:
        return (
            f"It does NOT fit in one {chip}, even a picture at a time: shard it (FSDP) or take a larger chip."
        )
    share = batch["global"] // batch["devices"]
    accumulate = next(n for n in range(1, share + 1) if share % n == 0 and share // n <= most)
    precision = [] if "16" in at["precision"] else ["trainer.precision=bf16-mixed"]
    found_by = [*(wants if kind == "with" else []), f"trainer.accumulate={accumulate}"]
    others = [*(wants if kind == "without" else []), *precision]
    also = f"; {' and '.join(others)} would leave more room" if others else ""
    return f"It does NOT fit as it is. It fits with {' '.join(found_by)} (the same batch in smaller parts){also}."


def large(number: float) -> str:
    """1234567 -> '1.23 M'."""
    for size, unit in (
        (1e24, "Y"),
        (1e21, "Z"),
        (1e18, "E"),
        (1e15, "P"),
        (1e12, "T"),
        (1e9, "G"),
        (1e6, "M"),
        (1e3, "k"),
    ):
        if abs(number) >= size:
            return f"{number / size:.3g} {unit}" if number < 999.5 * size else f"{number / size:.0f} {unit}"
    return f"{number:.3g} "


def span(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.3g} s" if seconds >= 0.1 else f"{seconds * 1e3:.3g} ms"


if __name__ == "__main__":
    main()
