"""How the C library hands out memory to networks on the CPU."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_large_blocks() -> bool:
    """From now on glibc keeps freed memory for this process, large blocks too; returns whether it agreed.

    By default it gives a block of more than some MB back to the system as soon as it is free, and a step of
    training on the CPU then takes its activations as fresh pages, which must be filled with zeros first: a tenth
    to a third of the step (experiments/LOG.md). The process stays as large as it has once been. Elsewhere than
    on glibc nothing happens."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # older releases refuse a threshold above 32 MB
    large = mallopt(_M_MMAP_THRESHOLD, 1 << 30) or mallopt(_M_MMAP_THRESHOLD, 32 << 20)
    return bool(large and mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1))
