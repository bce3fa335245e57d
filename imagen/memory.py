"""How much memory has been in use, of an accelerator or of this process."""

import resource
import sys

import torch


def memory_gb(device: torch.device) -> float:
    """The most that was in use: of the device, or of this process where that is the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
