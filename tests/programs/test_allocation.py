"""Memory that a network has freed stays with the process, when it was asked to."""

import ctypes
import subprocess
import sys

import pytest

RESIDENT = """
from pathlib import Path
from imagen.programs.allocation import keep_large_blocks

if {keep}:
    assert keep_large_blocks()
block = bytearray(300_000_000)
block[::4096] = bytes(len(block[::4096]))
del block
print(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
"""


@pytest.mark.skipif(
    not (sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "mallopt")),
    reason="only glibc can be asked",
)
@pytest.mark.parametrize("keep", [False, True])
def test_a_freed_block_stays_only_when_asked(keep: bool) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", RESIDENT.format(keep=keep)], capture_output=True, text=True, check=True
    )
    assert (int(ran.stdout) > 250_000_000) == keep
