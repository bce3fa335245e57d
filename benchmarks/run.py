"""`make bench`: our networks against diffusers' and imagen-pytorch's, in one table and var/bench/bench.json.

A benchmark, not a test: it asserts nothing about time. Meant for a quiet machine; it says how steady it was.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import measure
import ours
import peers
import setting
import torch
from measure import Alone, Contestant, Row

OUT = Path(__file__).resolve().parents[1] / "var/bench/bench.json"
TASKS = ("train", "sample")
NOTES = """\
train: forward, loss, backward, optimizer (fused AdamW for all).
sample: both halves of guidance; ours with dynamic thresholding on top.
GFLOP: products, convolutions and attention, by torch's counter, which was taught the CPU's fused attention.
of peak: GFLOP / median seconds / float32 matmul peak. x peer: ours over the better peer of the same precision, in
useful FLOP/s. bf16: autocast, on processors with AMX. Each in a process of its own, as its users run it, by its own
defaults; ours with the memory settings of imagen-train. In brackets: extras, not the comparison."""


def processor() -> str:
    """The processor's name, as the system tells it."""
    found = Path("/proc/cpuinfo")
    lines = found.read_text().splitlines() if found.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def machine() -> dict[str, str | int | bool]:
    """What the numbers depend on."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "amx": torch.cpu._is_amx_tile_supported(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def contestants(network: str, tuned: bool, compiled: bool) -> list[Callable[[], Contestant]]:
    """How everybody's contestant for one network is made, by precision, ours first."""
    make, rivals, given = {
        "base": (ours.base, (peers.diffusers_base, peers.imagen_pytorch_base), setting.base),
        "efficient": (
            ours.efficient,
            (peers.diffusers_efficient, peers.imagen_pytorch_efficient),
            setting.efficient,
        ),
    }[network]
    found = []
    # without AMX, bfloat16 is slower than float32 on a CPU
    for bf16 in (False, True) if torch.cpu._is_amx_tile_supported() else (False,):
        found += [(make, {"bf16": bf16}), *((rival, {"bf16": bf16}) for rival in rivals)]
        if tuned:
            found += [(rivals[0], {"bf16": bf16, "kept": True, "channels_last": on}) for on in (False, True)]
        if compiled and not bf16:
            found.append((make, {"compiled": True}))
    return [partial(entered, given, make, variant) for make, variant in found]


def entered(
    given: Callable[[], setting.Setting], make: Callable[..., Contestant], variant: dict[str, bool]
) -> Contestant:
    """A contestant with what all are given."""
    return make(given(), **variant)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=200, help="about how long to measure (default %(default)s)"
    )
    parser.add_argument(
        "--rounds", type=int, default=9, help="repetitions at most, at least 3 (default %(default)s)"
    )
    parser.add_argument("--network", choices=["base", "efficient"], help="only this one")
    parser.add_argument(
        "--tuned", action="store_true", help="diffusers with our memory settings too, and in channels-last"
    )
    parser.add_argument(
        "--compile", action="store_true", help="ours with torch.compile too: minutes, and a C++ compiler"
    )
    chosen = parser.parse_args()
    torch.manual_seed(0)
    start, where = time.monotonic(), machine()
    print(", ".join(f"{key} {value}" for key, value in where.items()), flush=True)
    networks = [chosen.network] if chosen.network else ["base", "efficient"]
    rows: list[Row] = []
    peaks: list[float] = []
    for network in networks:
        alone = [Alone(make) for make in contestants(network, chosen.tuned, chosen.compile)]
        for task in TASKS:
            print(f"measuring {network} {task}: {', '.join(c.facts['name'] for c in alone)}", flush=True)
            found, peak = measure.run(alone, task, chosen.rounds, chosen.seconds / len(networks) / len(TASKS))
            rows += found
            peaks += peak
        for contestant in alone:
            contestant.end()
    peak = max(peaks)
    steady = statistics.median(peaks) / peak
    print(
        f"\nfloat32 matmul peak {peak / 1e9:.0f} GFLOP/s (best of {len(peaks)}; median {steady:.0%} of it)\n"
    )
    print(measure.table(rows, peak))
    print(f"\n{NOTES}")
    if steady < 0.9:
        print("warning: the machine was busy, or its clock moved: trust the ratios before the shares")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(
        json.dumps(
            {
                "machine": where,
                "seconds": round(time.monotonic() - start),
                "matmul_peak": peak,
                "matmul_peak_rounds": peaks,
                "rows": measure.as_json(rows, peak),
            },
            indent=1,
        )
    )
    print(f"written to {OUT}")


if __name__ == "__main__":
    main()
