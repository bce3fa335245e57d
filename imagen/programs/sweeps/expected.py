"""What a sweep is made of: the cells that Hydra's multirun.yaml describes, as Hydra's own sweeper makes them of it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

from hydra import compose
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from imagen.files import NAME
from imagen.programs.build import CONF
from imagen.programs.sweeps.foreign import yaml_of
from imagen.programs.sweeps.queued import jobs_of

MOST = 10_000  # cells


@dataclass
class Expected:
    """A cell of the last sweep. `name`: "" when it is not to be known before the run begins."""

    number: int
    name: str
    max_steps: int | None
    overrides: list[str]
    cwd: Path
    job: str | None


def expected(file: Path) -> list[Expected]:
    """The cells of a multirun.yaml; ValueError when it is none."""
    sweep = yaml_of(file)
    try:
        words, cwd = sweep["hydra"]["overrides"]["task"], str(sweep["hydra"]["runtime"]["cwd"])
        # what an experiment sweeps by itself
        params = (sweep["hydra"].get("sweeper") or {}).get("params") or {}
        words = [*(f"{key}={value}" for key, value in params.items()), *words]
        if not all(isinstance(word, str) for word in words):
            raise TypeError
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"{file.name}: not what Hydra writes of a sweep") from None
    jobs = jobs_of(sweep, file)
    try:
        given = _parsed([word for word in words if not is_launching(word)])
        swept = [override for override in given if override.is_sweep_override()]
        if prod(sum(1 for _ in islice(o.sweep_string_iterator(), MOST + 1)) for o in swept) > MOST:
            raise ValueError(f"more than {MOST:,} cells")
        names = _Names(sweep, {override.get_key_element() for override in swept})
        return [
            Expected(number, *names.of(cell), cell, Path(cwd), jobs.get(number))
            for number, cell in enumerate(BasicSweeper.split_arguments(given, None)[0])
        ]
    except Exception as error:  # no two words that are wrong raise the same in Hydra
        raise ValueError(f"{file.name}: {' '.join(str(error).split()):.200}") from None


def is_launching(word: str) -> bool:
    """Whether an override says how a sweep is launched, and nothing of its cells."""
    return re.match(r"[+~]*(launcher|hydra)\b", word) is not None


def is_of_many(word: str) -> bool:
    """Whether an override is of an experiment that is a sweep by itself."""
    group, _, name = word.partition("=")
    file = CONF / "experiment" / f"{name}.yaml"
    if group != "experiment" or not NAME.fullmatch(name) or not file.is_file():
        return False
    return OmegaConf.select(OmegaConf.load(file), "hydra.mode") == "MULTIRUN"


def plain_values(words: list[str]) -> dict[str, Any]:
    """What a cell's overrides set, groups and what leads to other settings aside: {"data.batch_size": 4}."""
    try:
        given = _parsed([word for word in words if not is_launching(word)])
        values = {o.key_or_group: o.value() for o in given if not o.is_delete() and not o.is_sweep_override()}
    except HydraException:
        return {}
    return {k: v for k, v in values.items() if not (CONF / k).is_dir() and "${" not in str(v)}


class _Names:
    """What the names of the cells of a `sweep` resolve to. That it composes the settings again for each choice of groups
    alone is what makes it quick."""

    def __init__(self, sweep: dict[str, Any], swept: set[str]) -> None:
        self.groups = {key for key in swept if (CONF / key.lstrip("+~").partition("@")[0]).is_dir()}
        self.values = swept - self.groups
        self.composed: dict[tuple[str, ...], DictConfig] = {}
        if not self.groups:
            self.composed[()] = OmegaConf.create(sweep)

    def of(self, cell: list[str]) -> tuple[str, int | None]:
        """(name, trainer.max_steps) of the cell with these overrides; "" and None when they are not to be known."""
        keys = {word: word.partition("=")[0] for word in cell}
        chosen = tuple(word for word in cell if keys[word] in self.groups)
        try:
            if chosen not in self.composed:
                rest = [word for word in cell if keys[word] not in self.values]
                self.composed[chosen] = compose("train", rest, return_hydra_config=True)
            config = self.composed[chosen]
            OmegaConf.set_struct(config, False)
            for override in _parsed([word for word in cell if keys[word] in self.values]):
                OmegaConf.update(config, override.key_or_group, override.value())
            with _composing(config):
                name = str(config.get("name"))
                steps = OmegaConf.select(config, "trainer.max_steps")
        except (HydraException, OmegaConfBaseException):
            return "", None
        return (name if NAME.fullmatch(name) else ""), (steps if isinstance(steps, int) else None)


def _parsed(words: list[str]) -> list[Override]:
    loader = GlobalHydra.instance().config_loader()
    return OverridesParser.create(config_loader=loader).parse_overrides(words)


@contextmanager
def _composing(config: DictConfig) -> Iterator[None]:
    """`${hydra:...}` is of `config`, not of this program; the environment of whoever looks is nobody else's."""
    mine, HydraConfig.instance().cfg = HydraConfig.instance().cfg, config  # pyright: ignore
    OmegaConf.clear_resolver("oc.env")
    try:
        yield
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env)
        HydraConfig.instance().cfg = mine
