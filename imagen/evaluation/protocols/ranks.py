"""Several processes that share out one evaluation through its folder alone: those of a SLURM job or of torchrun, or one for each
device that this program starts itself. They need no collective operation, so one that is killed holds up no other.
"""

import multiprocessing as mp
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rank:
    """Process `number` of `world`, on `device`."""

    number: int
    world: int
    device: str

    def share(self, blocks: int) -> Iterator[int]:
        """Its blocks of so many."""
        yield from range(self.number, blocks, self.world)


SETS = (("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"), ("RANK", "WORLD_SIZE", "LOCAL_RANK"))


def started_as(environment: Any = os.environ) -> tuple[int, int, int] | None:
    """(rank, world, rank on this machine), when somebody has started several of us."""
    for names in SETS:
        found = [environment.get(name, "") for name in names]
        if all(value.isdigit() for value in found):
            rank, world, local = map(int, found)
            if world > 1 and rank < world:
                return rank, world, local
    return None


def run_on(devices: Sequence[str], work: Callable[..., None], *given: Any) -> None:
    """`work(rank, *given)` in this process, as the rank that it was started as or the only one; or in a new process for each of
    several `devices`. RuntimeError when one of these ends with an error, which ends the others."""
    if (place := started_as()) is not None:
        rank, world, local = place
        work(Rank(rank, world, devices[local % len(devices)]), *given)
        return
    if len(devices) == 1:
        work(Rank(0, 1, devices[0]), *given)
        return
    context = mp.get_context("spawn")
    ranks = [Rank(i, len(devices), device) for i, device in enumerate(devices)]
    processes = [context.Process(target=work, args=(rank, *given), daemon=True) for rank in ranks]
    try:
        for process in processes:
            process.start()
        while any(process.is_alive() for process in processes):
            failed = [i for i, process in enumerate(processes) if process.exitcode]
            if failed:
                raise RuntimeError(f"process {failed[0]} of {len(processes)} ended with an error, see above")
            time.sleep(0.1)
        if failed := [i for i, process in enumerate(processes) if process.exitcode]:
            raise RuntimeError(f"process {failed[0]} of {len(processes)} ended with an error, see above")
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
                process.join(5)


PATIENCE = 60.0  # seconds of nothing new, after which it is said what is waited for


def wait_until(there: Callable[[], bool], told: Callable[[], int], every: float = 0.5) -> None:
    """Until other processes have done their share; `told()` -> how much of it is there, and is called now and then."""
    done, since = -1, time.monotonic()
    while not there():
        if (now := told()) != done:
            done, since = now, time.monotonic()
        elif time.monotonic() - since > PATIENCE:
            print(
                f"nothing new for {PATIENCE:.0f} s: waits for pictures and features of other processes; if they have ended or were never "
                "started (SLURM_NTASKS without srun), stop this one, and the same command goes on by itself",
                file=sys.stderr,
                flush=True,
            )
            since = time.monotonic()
        time.sleep(every)
