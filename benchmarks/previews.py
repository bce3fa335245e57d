"""How long previews of 16 prompts take one process, and two that share them, start-up apart: var/bench/previews.json.

A process stands for a device, and has one core: with both cores for one process, two would have nothing to gain. The second preview
of a run is timed: the first one finds the kernels.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "var/bench"
SPLITS = {
    "one process": ["trainer.devices=1"],
    "two, DDP": ["trainer.devices=2", "trainer.strategy=ddp"],
    "two, FSDP": ["trainer.devices=2", "trainer.strategy=fsdp"],
}
PROMPTS = [
    f"{count} {color} {shape}"
    for count in ("two", "three")
    for color in ("red", "blue")
    for shape in ("circles", "stars", "squares", "triangles")
]
ROUNDS = 2


def command(name: str, *words: str) -> None:
    ran = subprocess.run(
        [Path(sys.executable).with_name(name), *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if ran.returncode:
        sys.exit(f"{name} {' '.join(words)} failed:\n{ran.stderr[-3000:]}")


def seconds(name: str, split: list[str]) -> float:
    """Of the second preview of a fresh run."""
    words = [
        "experiment=flowers64_cpu",
        f"name={name}",
        f"runs={OUT}/previews",
        f"data.train={OUT}/shapes",
        "data.live=true",
    ]
    words += [
        "trainer=cpu",
        "trainer.max_steps=2",
        "trainer.progress=false",
        "previews.every=1",
        "previews.steps=4",
    ]
    words += [
        "data.batch_size=4",
        "previews.guidance=[1,3]",
        f"previews.prompts=[{','.join(PROMPTS)}]",
        *split,
    ]
    command("imagen-train", *words)
    return json.loads((OUT / f"previews/{name}/previews/step-00000002.json").read_text())["seconds"]


def main() -> None:
    if not (OUT / "shapes/index.json").exists():
        command(
            "imagen-prepare",
            "source=shapes",
            "source.count=64",
            "source.held_out=4",
            "text=minilm_2",
            f"out={OUT}/shapes",
        )
    times: dict[str, list[float]] = {name: [] for name in SPLITS}
    stamp = f"{os.getpid()}"
    for turn in range(ROUNDS):
        for name, split in SPLITS.items():
            times[name].append(
                seconds(f"{stamp}-{turn}-{len(times[name])}-{list(SPLITS).index(name)}", split)
            )
    best = {name: min(found) for name, found in times.items()}
    for name, found in best.items():
        print(
            f"{name:<12} {found:6.2f} s   {found / best['one process']:.2f} of one's   ({', '.join(f'{t:.2f}' for t in times[name])})"
        )
    (OUT / "previews.json").write_text(
        json.dumps({"seconds": times, "pictures": 2 * len(PROMPTS) * 3}, indent=1)
    )


if __name__ == "__main__":
    main()
