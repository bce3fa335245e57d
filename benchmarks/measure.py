"""What is measured and how: useful arithmetic, time in turns, the machine's matmul peak; and the table."""

import gc
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

Step = Callable[[], Any]
PEAK = "matmul peak"


@dataclass
class Contestant:
    """A network and its steps by task: "train" (forward, backward, AdamW), "sample" (one guided evaluation).

    `library` groups the variants of one code base. Like is compared with like: those of one `precision`.
    `compared` is False for extras, which are printed but are not the comparison.
    """

    name: str
    library: str
    network: str
    parameters: int
    steps: dict[str, Step]
    precision: str = "float32"
    compared: bool = True


def timed(step: Step) -> float:
    """Seconds of one call."""
    gc.collect()
    before = time.perf_counter()
    step()
    return time.perf_counter() - before


class Alone:
    """The contestant that `make()` returns, in a process of its own: nobody else's kernels, memory or settings are
    in its way, as nobody's are in its users'. `make` can be pickled."""

    def __init__(self, make: Callable[[], Contestant]) -> None:
        processes = multiprocessing.get_context("spawn")
        self._connection, theirs = processes.Pipe()
        processes.Process(target=_serve, args=(theirs, make), daemon=True).start()
        theirs.close()
        self.facts: dict[str, Any] = self._connection.recv()

    def count(self, task: str) -> tuple[int, int]:
        """`count` of a step."""
        return self._asked("count", task)

    def seconds(self, task: str) -> float:
        """`timed` of a step."""
        return self._asked("seconds", task)

    def end(self) -> None:
        """The process ends, and its memory is free."""
        self._connection.send(None)
        self._connection.close()

    def _asked(self, what: str, task: str) -> Any:
        self._connection.send((what, task))
        return self._connection.recv()


def _serve(connection: Connection, make: Callable[[], Contestant]) -> None:
    torch.manual_seed(0)
    contestant = make()
    facts = ("name", "library", "network", "parameters", "precision", "compared")
    connection.send({key: getattr(contestant, key) for key in facts})
    while (asked := connection.recv()) is not None:
        what, task = asked
        connection.send({"count": count, "seconds": timed}[what](contestant.steps[task]))


@dataclass
class Row:
    """One contestant doing one task. `flop` a step; `flop_torch`: what torch's counter knows by itself;
    `seconds` of each repetition."""

    name: str
    library: str
    network: str
    parameters: int
    precision: str
    compared: bool
    task: str
    flop: int
    flop_torch: int
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def rate(self) -> float:
        """Useful FLOP/s, from the median time."""
        return self.flop / self.median


def _attention(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(_grad: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    # Two products for each one of the forward pass, as for any matrix product. The scores that the fused
    # kernel computes again are not useful work: attention written out is not credited with them either.
    return 2 * sdpa_flop_count(query, key, value)


# The CPU's fused attention is missing in torch's registry: without these two it would count as nothing for
# whoever uses it, and in full for whoever writes attention out.
_ATEN = torch.ops.aten
CPU_ATTENTION = {
    _ATEN._scaled_dot_product_flash_attention_for_cpu: _attention,
    _ATEN._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def count(step: Step) -> tuple[int, int]:
    """Floating-point operations of matrix products, convolutions and attention in one call of `step`.

    Returns (with the CPU's fused attention, torch's counter by itself).
    """
    with FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION) as counter:
        step()
    by_operation = counter.get_flop_counts().get("Global", {})
    fused = sum(flop for operation, flop in by_operation.items() if operation in CPU_ATTENTION)
    return counter.get_total_flops(), counter.get_total_flops() - fused


def matmul_step(size: int = 2048, repeats: int = 4) -> tuple[Step, int]:
    """`repeats` float32 products of two (size, size) matrices, and their operations: the measured peak."""
    a, b, out = (torch.randn(size, size) for _ in range(3))

    def step() -> None:
        for _ in range(repeats):
            torch.mm(a, b, out=out)

    return step, 2 * size**3 * repeats


def in_turns(steps: dict[str, Callable[[], float]], rounds: int, budget: float) -> dict[str, list[float]]:
    """What each of `steps` returned, the seconds that it took. Every round asks each once, beginning with another one each
    time, so that a machine that slows down or is shared slows all of them. At least three rounds, then no more than
    fit into `budget` seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    start = time.perf_counter()
    for turn in range(rounds):
        if turn >= 3 and (time.perf_counter() - start) * (turn + 1) / turn > budget:
            break
        for i in range(len(names)):
            name = names[(turn + i) % len(names)]
            seconds[name].append(steps[name]())
    return seconds


def run(contestants: Sequence[Alone], task: str, rounds: int, budget: float) -> tuple[list[Row], list[float]]:
    """Count, warm up and time `task` of all contestants in turns -> rows, and the matmul's FLOP/s of each
    round."""
    rows = []
    for c in contestants:
        # The first call counts, and with the second warms up: kernels chosen, optimizer's state allocated.
        rows.append(Row(**c.facts, task=task, flop=(counted := c.count(task))[0], flop_torch=counted[1]))
        c.seconds(task)
    peak_step, peak_flop = matmul_step()
    peak_step()
    steps = {PEAK: partial(timed, peak_step)} | {
        c.facts["name"]: partial(c.seconds, task) for c in contestants
    }
    seconds = in_turns(steps, rounds, budget)
    for row in rows:
        row.seconds = seconds[row.name]
    return rows, [peak_flop / s for s in seconds[PEAK]]


def better_peer(rows: Sequence[Row], row: Row) -> Row | None:
    """The fastest of the other libraries, in useful FLOP/s, at the same network, task and precision; no
    extras."""
    same = (row.network, row.task, row.precision)
    peers = [
        r for r in rows if (r.network, r.task, r.precision) == same and r.library != "ours" and r.compared
    ]
    return max(peers, key=lambda r: r.rate, default=None)


def table(rows: Sequence[Row], peak: float) -> str:
    """The rows as text. `peak` FLOP/s. The last column is ours over the better peer, in useful FLOP/s."""
    head = (
        f"{'network':<10} {'task':<7} {'contestant':<36} {'M param':>8} {'GFLOP':>7} "
        f"{'seconds':>8} {'(best)':>8} {'of peak':>8} {'x peer':>7}"
    )
    lines = [head, "-" * len(head)]
    last = None
    for row in rows:
        if last and last != (row.network, row.task, row.precision):
            lines.append("")
        last = (row.network, row.task, row.precision)
        peer = better_peer(rows, row) if row.library == "ours" else None
        ratio = f"{row.rate / peer.rate:>7.2f}" if peer else f"{'':>7}"
        name = row.name if row.compared else f"({row.name})"
        lines.append(
            f"{row.network:<10} {row.task:<7} {name:<36} {row.parameters / 1e6:>8.1f} {row.flop / 1e9:>7.0f} "
            f"{row.median:>8.3f} {min(row.seconds):>8.3f} {row.rate / peak:>8.1%} {ratio}".rstrip()
        )
    return "\n".join(lines)


def as_json(rows: Sequence[Row], peak: float) -> list[dict[str, Any]]:
    """Plain rows for a file: everything measured, and what follows from it."""
    found = []
    for row in rows:
        peer = better_peer(rows, row) if row.library == "ours" else None
        found.append(
            asdict(row)
            | {"median": row.median, "flop_per_second": row.rate, "of_peak": row.rate / peak}
            | ({"better_peer": peer.name, "times_better_peer": row.rate / peer.rate} if peer else {})
        )
    return found
