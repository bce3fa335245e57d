"""Which panels a sweep has: one for each number that its runs logged, in an order that one reads from the top."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from imagen.evaluation.dashboard.runs import Run
from imagen.evaluation.outside import number
from imagen.files import printable

PANELS = 200  # on a page
COLUMNS = 40  # of the table, of settings and of results each
UNTOLD = ("name", "runs")  # settings that differ in every sweep
HEADS = {
    "loss_by_logsnr": "Training loss by noise level",
    "val_loss_by_logsnr": "Validation loss by noise level",
}


@dataclass(frozen=True)
class Panel:
    """The curves of `key`, one a run. `log`: whether the axis of values is logarithmic. `unit`: "" or "share"."""

    key: str
    title: str
    log: bool = False
    unit: str = ""


LOSS = (Panel("loss", "Training loss", log=True), Panel("val_loss", "Validation loss", log=True))
STEPS = (Panel("grad_norm", "Gradient norm", log=True), Panel("lr", "Learning rate"))
SPEED = (
    Panel("images_per_second", "Images a second"),
    Panel("data_wait", "Share of the time that waits for data", unit="share"),
    Panel("memory_gb", "Memory of the device in GB"),
    Panel("tflops", "TFLOP/s"),
    Panel("mfu", "Share of the device's peak (MFU)", unit="share"),
)
KNOWN = {panel.key for panel in (*LOSS, *STEPS, *SPEED)}


def sections(keys: Iterable[str]) -> list[tuple[str, list[Panel]]]:
    """Heads with the panels of the `keys` that there are, none of them empty."""
    there = sorted(set(keys), key=lambda key: (key.count("/"), _place(key)))
    families = {key.partition("/")[0]: None for key in there if "/" in key}
    levels = [family for family in HEADS if family in families]
    others = [family for family in families if family not in HEADS]
    found = [("Loss", [panel for panel in LOSS if panel.key in there])]
    found += [(HEADS[family], _family(family, there)) for family in levels]
    found.append(("Steps", [panel for panel in STEPS if panel.key in there]))
    found.append(("Speed and hardware", [panel for panel in SPEED if panel.key in there]))
    found += [(family, _family(family, there)) for family in others]
    found.append(("Others", [Panel(key, key) for key in there if "/" not in key and key not in KNOWN]))
    kept, left = [], PANELS
    for head, panels in found:
        if panels[:left]:
            kept.append((head, panels[:left]))
            left -= len(panels[:left])
    return kept


def settings_that_differ(runs: Sequence[Run]) -> dict[str, list[float | str]]:
    """Setting -> its value in each run, of those that are not the same in all. One that only repeats another, as
    `stage.seed` does `seed`, is left out."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    values = {key: [_shown(run.settings.get(key, "absent")) for run in runs] for key in keys}
    told: dict[tuple[str, ...], str] = {}  # last word and values -> the shortest name
    for key, found in sorted(values.items(), key=lambda item: item[0].count(".")):
        if len(set(map(str, found))) > 1 and key not in UNTOLD:
            told.setdefault((key.rpartition(".")[2], *map(str, found)), key)
    return {printable(key, 120): found for key, found in values.items() if key in told.values()}


def results_of(runs: Sequence[Run]) -> dict[str, list[float | str | None]]:
    """What evaluations found -> its value in each run, None where there is none."""
    keys = dict.fromkeys(key for run in runs for key in run.results)
    return {key: [run.results.get(key) for run in runs] for key in keys}


def _family(family: str, keys: Iterable[str]) -> list[Panel]:
    log = family in HEADS
    inner = [key for key in keys if key.startswith(f"{family}/")]
    names = {key: key.partition("/")[2] for key in inner}
    return [Panel(key, f"logsnr {name}" if log else name, log) for key, name in names.items()]


def _place(key: str) -> tuple[str, float, str]:
    """Noise levels in their order: "<-8", "-8..-4", ">8"."""
    family, _, name = key.partition("/")
    if name[:1] in ("<", ">"):
        return family, -math.inf if name[0] == "<" else math.inf, name
    found = re.match(r"-?[0-9]{1,9}(\.[0-9]{1,9})?", name)
    return family, float(found[0]) if found else 0.0, name


def _shown(value: Any) -> float | str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    finite = number(value)
    if finite is not None and isinstance(value, int):
        return value
    return printable(" ".join(str(value).split()), 80) if finite is None else finite
