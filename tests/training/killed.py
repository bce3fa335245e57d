"""killed.py TIMES SETTINGS...: imagen-train, killed by SIGKILL at so many moments and started again, then left to end.

Each start is a fork of this process, which has imported everything: with one thread, so that forks have nothing to share.
Prints the steps at which it was killed, one a line."""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from imagen.programs import train

torch.set_num_threads(1)
times, settings = int(sys.argv[1]), sys.argv[2:]
given = dict(word.split("=", 1) for word in settings)
metrics = Path(given["runs"]) / given["name"] / "metrics.jsonl"
chance = random.Random(0)


def steps() -> int:
    return len(metrics.read_text().splitlines()) if metrics.exists() else 0


def start() -> int:
    if child := os.fork():
        return child
    sys.argv = ["imagen-train", *settings]
    code = 1
    try:
        train.main()
        code = 0
    finally:
        os._exit(code)


for _ in range(times):
    child, before, more = start(), steps(), chance.randint(0, 3)
    pause = chance.uniform(0, 0.02)
    while steps() < before + more and os.waitpid(child, os.WNOHANG) == (0, 0):
        time.sleep(0.001)
    time.sleep(pause)  # anywhere in a step, or in saving
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(steps(), flush=True)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(start(), 0)[1]))
