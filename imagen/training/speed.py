"""How fast a run is, and what of: arithmetic a second, its share of what the device can do, memory, waiting for data."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Arithmetic:
    """`flop`: of a training step, a picture (cost.py). `chips`: name -> peak TFLOP/s {"bf16", "fp32"} of a device."""

    flop: int
    chips: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def of(self, images_a_second: float, device: torch.device, half: bool) -> dict[str, float]:
        """{"tflops"} that a device does, and where its peak is known {"mfu"}, the share of that."""
        done = {"tflops": images_a_second * self.flop / 1e12}
        if device.type != "cuda":
            return done
        name = torch.cuda.get_device_name(device).lower().replace(" ", "")
        chip = next((peaks for known, peaks in self.chips.items() if known in name), None)
        return done | ({"mfu": done["tflops"] / chip["bf16" if half else "fp32"]} if chip else {})


class Waiting:
    """Seconds spent between the end of a step and the next batch."""

    def __init__(self) -> None:
        self.seconds, self._since = 0.0, time.perf_counter()

    def begin(self) -> None:
        """All is done that there is to do without another batch."""
        self._since = time.perf_counter()

    def end(self) -> None:
        """The batch is there."""
        self.seconds += time.perf_counter() - self._since

    def share(self, elapsed: float) -> float:
        """Of `elapsed` seconds, since this was asked last."""
        seconds, self.seconds = self.seconds, 0.0
        return min(seconds / elapsed, 1.0)
