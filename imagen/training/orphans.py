"""Processes that a run has started on this machine end with the one that started them."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>


def end_with_parent() -> None:
    """In a process that another one of the same run started: SIGTERM when that one is gone, however it went. Before the ranks have
    met nobody else could tell. On Linux; elsewhere nothing is done."""
    if _was_started():
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == 1:  # it was gone before this was asked for
            os._exit(2)


def outlive_parent() -> None:
    """From when the ranks have met: then they watch each other, and end with words (training/together.py)."""
    if _was_started():
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, 0)


def _was_started() -> bool:
    return (
        sys.platform == "linux"
        and os.environ.get("LOCAL_RANK", "0") != "0"
        and "SLURM_PROCID" not in os.environ
    )
