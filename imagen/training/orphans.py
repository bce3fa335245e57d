"""Processes that a run has started on this machine end with the one that started them."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>


def end_with_parent() -> None:
    """In a process that another one of the same run started: SIGTERM when that one is gone, however it went. Before the ranks have
    met nobody else could tell. On Linux; elsewhere nothing is done."""
    if os.environ.get("LOCAL_RANK", "0") == "0" or "SLURM_PROCID" in os.environ or sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == 1:  # it was gone before this was asked for
        os._exit(2)
