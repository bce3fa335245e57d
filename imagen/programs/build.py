"""From settings to objects: the one call of Hydra's `instantiate`, and the one place that turns its errors
into a clear line.

    @program("train")
    def main(cfg: DictConfig) -> None: ...

Errors of the user (ValueError, OSError, anything wrong with the settings) end a program with one line `error:
...` on stderr and exit code 2; IMAGEN_DEBUG=1 shows where they came from. Errors of ours keep their
traceback.
"""

import contextlib
import difflib
import errno
import functools
import importlib.resources
import importlib.util
import inspect
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from imagen.data.sources.source import plain
from imagen.programs.settings import SETTINGS
from imagen.programs.typed import check
from imagen.training.run_folder import flat

CONF = Path(str(importlib.resources.files("imagen.conf")))
Task = Callable[[DictConfig], None]
Around = Callable[[DictConfig], contextlib.AbstractContextManager[Any]]


def program(
    config_name: str,
    around: Around = contextlib.nullcontext,
    composing: Callable[[list[str]], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
    **short: str,
) -> Callable[[Task], Callable[[], None]]:
    """Make `task` a program whose settings are conf/`config_name`.yaml, every value given, resolvable and what
    `SETTINGS` and the constructors say. `around`: a context that the check of the settings and the task are in; `composing`:
    one, of the words given, that their composition is in too. `short`:
    data="data.path" lets `data=F` stand for `data.path=F`, where Hydra would look for an option F of the group data."""

    def decorate(task: Task) -> Callable[[], None]:
        @functools.wraps(task)
        def checked(cfg: DictConfig) -> None:
            with reported(of_many=HydraConfig.get().mode == RunMode.MULTIRUN), around(cfg):
                given = check_complete(cfg)
                check(given, SETTINGS[config_name], "")
                with naming(given):
                    task(cfg)

        run = hydra.main(config_path="pkg://imagen.conf", config_name=config_name, version_base="1.3")(
            checked
        )

        @functools.wraps(task)
        def main() -> None:
            os.environ["HYDRA_FULL_ERROR"] = (
                "1"  # Hydra then raises its errors here instead of printing its own
            )
            for name, key in short.items():
                sys.argv[1:] = [re.sub(f"^{name}=", f"{key}=", word) for word in sys.argv[1:]]
            with reported(), submitted(config_name):
                refuse_parts_of_hydra(sys.argv[1:])
                refuse_launchers(config_name, sys.argv[1:])
                refuse_one_name_for_many(sys.argv[1:])
                with composing(sys.argv[1:]):
                    run()

        return main

    return decorate


def refuse_parts_of_hydra(arguments: Iterable[str]) -> None:
    """ValueError for an argument that has Hydra make an object of its own, before there are settings to check."""
    for argument in arguments:
        if re.match(r"\+*hydra\.(callbacks\b|.*_target_)", argument):
            raise ValueError(f"{argument}: what Hydra itself is made of cannot be set here")


def refuse_launchers(program: str, arguments: Iterable[str]) -> None:
    """ValueError when a program other than imagen-train is asked to start jobs."""
    for argument in arguments:
        if program != "train" and re.match(r"\+*(hydra/)?launcher=(?!local$)", argument):
            raise ValueError(
                f"{argument}: imagen-{program} does its work here and now; leave it out"
                + (" and give the number of devices as plan.devices=16" if program == "plan" else "")
            )


@contextlib.contextmanager
def submitted(program: str) -> Iterator[None]:
    """Where jobs of a cluster are started and waited for: what one should know meanwhile."""
    if program != "train" or not any(re.match(r"\+*launcher=slurm", word) for word in sys.argv[1:]):
        yield
        return
    if importlib.util.find_spec("submitit") is None:
        raise ValueError("launcher=slurm needs pip install 'imagen-cascade[slurm]' (hydra-submitit-launcher)")
    if not (shutil.which("sbatch") and shutil.which("srun")):
        raise ValueError(
            "launcher=slurm: no sbatch and srun on this machine; call it on a login node, or launcher=local runs the sweep here"
        )
    # each look at the queue, where there is no accounting; submitit sets its own level, and leaves filters
    logging.getLogger("submitit").addFilter(lambda told: told.levelno >= logging.ERROR)
    sys.stderr.write(
        "the jobs are handed to SLURM, and waited for; Ctrl-C ends the waiting and not the jobs: imagen-sweep status RUNS "
        "says how they are, scancel ends them\n"
    )
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("no longer waiting: the jobs go on; imagen-sweep status RUNS says how they are\n")
        raise SystemExit(130) from None
    except Exception as error:
        if not type(error).__module__.startswith("submitit"):
            raise
        raise ValueError(
            f"launcher=slurm: SLURM did not take the jobs: {' '.join(str(error).split()):.300}"
        ) from None


def refuse_one_name_for_many(arguments: Sequence[str]) -> None:
    """ValueError when the runs of a sweep would all have one name, and so one folder."""
    names = [argument.partition("=")[2] for argument in arguments if argument.startswith("name=")]
    values = [argument.partition("=")[2] for argument in arguments]
    swept = any(
        re.match(r"(range|choice|interval|glob)\(", v) or "," in re.sub(r"[\[({].*?[\])}]", "", v)
        for v in values
    )
    if names and swept and {"-m", "--multirun"} & set(arguments) and not re.search(r"[,$]|\(", names[-1]):
        raise ValueError(
            f"name={names[-1]}: each run of a sweep needs its own; give what is swept into it, such as "
            f"'name={names[-1]}_${{stage.optimizer.lr}}'"
        )


class CellFailed(ValueError):
    """A run of a sweep ended with an error of the user's."""


@contextlib.contextmanager
def reported(of_many: bool = False) -> Iterator[None]:
    """Errors of the user leave as one line on stderr and exit code 2; those of ours pass. Of the runs of a sweep one that
    fails takes no other down: it raises CellFailed, which the sweep is told of when all have ended."""
    try:
        yield
    except BrokenPipeError:  # whoever read what this program says, `head` perhaps, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except (HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        if os.environ.get("IMAGEN_DEBUG") == "1":
            raise
        told = plain(one_line(error))  # texts of files, which a terminal might obey, are in some
        sys.stderr.write(f"error: {told}\n")
        if of_many:
            raise CellFailed(f"of the runs of the sweep some failed, the first with: {told}") from None
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: the same command goes on from here\n")
        raise SystemExit(130) from None


@contextlib.contextmanager
def naming(given: dict[str, Any]) -> Iterator[None]:
    """A file that cannot be read or written is told with the setting that leads to it."""
    try:
        yield
    except OSError as error:
        if not isinstance(error.filename, str):
            if error.errno == errno.ENOSPC:  # said of an open file, whose name is not told
                raise ValueError("the disk is full: make room, and the same command goes on") from error
            raise
        file = Path(os.path.abspath(error.filename))
        paths = {
            key: os.path.abspath(value)
            for key, value in flat(given).items()
            if isinstance(value, str) and file.is_relative_to(os.path.abspath(value))
        }
        if not paths:
            raise
        key = max(paths, key=lambda key: len(paths[key]))
        raise ValueError(f"{key}={flat(given)[key]}: {error.strerror}: {error.filename}") from error


def build(node: Any) -> Any:
    """The object that `node` describes (`_target_` and its arguments), nested ones first; lists and dicts
    arrive plain.

    Raises ValueError naming the key, the value and what would be right. Classes that are not of imagen are refused
    before they are imported (imagen/programs/typed.py).
    """
    if node is None:
        return None
    check(OmegaConf.to_container(node, resolve=True), Any, node._get_full_key(None))
    try:
        return hydra.utils.instantiate(node, _convert_="all")
    except InstantiationException as error:
        cause = error
        while isinstance(cause, InstantiationException) and cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, (InstantiationException, ImportError, TypeError, OmegaConfBaseException)):
            raise ValueError(_explain_call(error, cause)) from error
        if isinstance(cause, ValueError) and re.match(
            r"\w+=", str(cause)
        ):  # of an argument that knows no config
            raise ValueError(f"{_full_key(error)}.{cause}") from error
        raise cause  # noqa: B904  (the constructor's own words are the clear ones)


def build_optional(node: Any) -> Any:
    """As `build`; None for a part switched off (group=none), of which an experiment may have left mere
    values."""
    return build(node) if node is not None and "_target_" in node else None


def check_complete(cfg: DictConfig) -> dict[str, Any]:
    """The settings, resolved and plain. Raises ValueError naming every mandatory value that was not given, or an
    interpolation that leads nowhere."""
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        give = " ".join(f"{key}=..." for key in missing)
        raise ValueError(f"no value for {', '.join(missing)}: give {give}")
    return OmegaConf.to_container(cfg, resolve=True)  # pyright: ignore[reportReturnType]


def one_line(error: BaseException) -> str:
    """What was wrong, in one line: the key, the value, what would be right."""
    cause = error.__cause__
    if isinstance(error, MissingConfigException) and error.options is not None:
        file = str(error.missing_cfg_file)
        group = max((g for g in _groups("**/*") if file.startswith(f"{g}/")), key=len, default="")
        name = file.removeprefix(f"{group}/")
        return f"{group}={name}: no such option; {_choices(name, error.options)}"
    if line := _wrong_choice(str(error)):
        return line
    if isinstance(error, OverrideParseException):
        return f"cannot read {error.override!r}: write key=value, and quote a value that has , = : or spaces"
    if (
        isinstance(cause, OmegaConfBaseException)
        and cause.parent_node is not None
        and "Could not override" in str(error)
    ):
        given, parent = cause.full_key or cause.key, cause.parent_node
        if "/" in str(cause.key):
            return f"{cause.key}: no such group; {_choices(str(cause.key), _groups('*/*'))}"
        known = list(parent.keys()) if OmegaConf.is_dict(parent) else []
        where = parent._get_full_key(None) if OmegaConf.is_config(parent) else ""
        return f"{given}: no such setting{f' in {where}' if where else ''}; {_choices(str(cause.key), known)}"
    text = " ".join(_of_worker(str(error)).split())
    if isinstance(cause, OmegaConfBaseException):
        text = f"{text} ({' '.join(str(cause).split())})" if text else " ".join(str(cause).split())
    return text or type(error).__name__


def _of_worker(text: str) -> str:
    """What a process that decodes said, without the traceback that torch puts around it; other texts as they are."""
    if not re.match(r"Caught \w+ in DataLoader worker process \d+", text):
        return text
    return re.split(r"\n(?=\w[\w.]*: )", text)[-1].partition(": ")[2] or text


def _choices(given: str, known: Iterable[Any]) -> str:
    names = sorted(str(k) for k in known if not str(k).startswith("_") and k != "hydra")
    close = difflib.get_close_matches(given, names, n=1)
    listed = ", ".join(names) or "nothing"
    return (f"did you mean {close[0]}? " if close else "") + f"choose from: {listed}"


def _wrong_choice(text: str) -> str | None:
    """One line for a group whose option is no name, or that this program does not have; None if it is neither."""
    if "Config group override must be a string" in text:  # Hydra says not which
        for argument in sys.argv[1:]:
            group, _, value = argument.partition("=")
            if group in _groups("**/*") and (value == "null" or not re.match(r"[A-Za-z_]", value)):
                return (
                    f"{group}={value}: no option; {_choices(value, _options(group))}; or leave {group}= out"
                )
    if (found := re.match(r"Could not override '([^']+)'\. No match in the defaults list", text)) is not None:
        group = found[1].partition("@")[0]
        return f"{group}: this program has no such group; --help names those that it has"
    if (found := re.search(r"Could not load '([^']+)'", text)) is not None:
        return f"{found[1]}: no such option, and of a group only one can be chosen"
    return None


def _groups(pattern: str) -> list[str]:
    """The groups of conf/ as they are written, `*/*` those that lie within groups: stage/unet, ..."""
    return [str(path.relative_to(CONF)) for path in CONF.glob(pattern) if path.is_dir()]


def _options(group: str) -> list[str]:
    return [path.stem for path in (CONF / group).glob("*.yaml")]


def _explain_call(error: BaseException, cause: BaseException) -> str:
    """One line for a constructor that could not be found or called."""
    first, key = str(error).splitlines()[0], _full_key(error)
    target = first.split("'")[1] if first.count("'") >= 2 else ""
    where = f"{key} ({target})" if key and target else key or target
    text = " ".join(str(cause).split())
    if (
        "unexpected keyword argument" in text
        or "positional argument" in text
        or "keyword-only argument" in text
    ):
        text = f"{text}; it takes: {', '.join(_parameters(target))}"
    return f"{where}: {text}" if where else text


def _full_key(error: BaseException) -> str:
    found = re.search(r"^\s*full_key: (\S+)", str(error), re.MULTILINE)
    return found[1] if found else ""


def _parameters(target: str) -> list[str]:
    try:
        signature = inspect.signature(hydra.utils.get_object(target))
    except (ImportError, ValueError, TypeError):
        return ["(unknown)"]
    return [name for name in signature.parameters if name not in ("self", "kwargs")]
