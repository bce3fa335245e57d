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
import functools
import importlib.resources
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

Task = Callable[[DictConfig], None]


def program(config_name: str) -> Callable[[Task], Callable[[], None]]:
    """Make `task` a program whose settings are conf/`config_name`.yaml, with every value given and
    resolvable."""

    def decorate(task: Task) -> Callable[[], None]:
        @functools.wraps(task)
        def checked(cfg: DictConfig) -> None:
            with reported():
                check_complete(cfg)
                task(cfg)

        run = hydra.main(config_path="pkg://imagen.conf", config_name=config_name, version_base="1.3")(
            checked
        )

        @functools.wraps(task)
        def main() -> None:
            os.environ["HYDRA_FULL_ERROR"] = (
                "1"  # Hydra then raises its errors here instead of printing its own
            )
            with reported():
                run()

        return main

    return decorate


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Errors of the user leave as one line on stderr and exit code 2; those of ours pass."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        if os.environ.get("IMAGEN_DEBUG") == "1":
            raise
        sys.stderr.write(f"error: {one_line(error)}\n")
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        raise SystemExit(130) from None


def build(node: Any, **kwargs: Any) -> Any:
    """The object that `node` describes (`_target_` and its arguments), nested ones first; lists and dicts
    arrive plain.

    `kwargs` are handed to the outermost constructor. Raises ValueError naming the key, the value and what
    would be right.
    """
    try:
        return hydra.utils.instantiate(node, _convert_="all", **kwargs)
    except InstantiationException as error:
        cause = error
        while isinstance(cause, InstantiationException) and cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, (InstantiationException, ImportError, TypeError, OmegaConfBaseException)):
            raise ValueError(_explain_call(error, cause)) from error
        raise cause  # noqa: B904  (the constructor's own words are the clear ones)


def build_optional(node: Any) -> Any:
    """As `build`; None for a part switched off (group=none), of which an experiment may have left mere
    values."""
    return build(node) if node is not None and "_target_" in node else None


def check_complete(cfg: DictConfig) -> None:
    """Raises ValueError naming every mandatory value that was not given, or an interpolation that leads
    nowhere."""
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        give = " ".join(f"{key}=..." for key in missing)
        raise ValueError(f"no value for {', '.join(missing)}: give {give}")
    OmegaConf.to_container(cfg, resolve=True)


def one_line(error: BaseException) -> str:
    """What was wrong, in one line: the key, the value, what would be right."""
    cause = error.__cause__
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={name}: no such option; {_choices(name, error.options)}"
    if isinstance(error, OverrideParseException):
        return f"cannot read {error.override!r}: write key=value, and quote a value that has , = : or spaces"
    if (
        isinstance(cause, OmegaConfBaseException)
        and cause.parent_node is not None
        and "Could not override" in str(error)
    ):
        given, parent = cause.full_key or cause.key, cause.parent_node
        if "/" in str(cause.key):
            return f"{cause.key}: no such group; {_choices(str(cause.key), _groups())}"
        known = list(parent.keys()) if OmegaConf.is_dict(parent) else []
        where = parent._get_full_key(None) if OmegaConf.is_config(parent) else ""
        return f"{given}: no such setting{f' in {where}' if where else ''}; {_choices(str(cause.key), known)}"
    text = " ".join(str(error).split())
    if isinstance(cause, OmegaConfBaseException):
        text = f"{text} ({' '.join(str(cause).split())})" if text else " ".join(str(cause).split())
    return text or type(error).__name__


def _choices(given: str, known: Iterable[Any]) -> str:
    names = sorted(str(k) for k in known if not str(k).startswith("_"))
    close = difflib.get_close_matches(given, names, n=1)
    listed = ", ".join(names) or "nothing"
    return (f"did you mean {close[0]}? " if close else "") + f"choose from: {listed}"


def _groups() -> list[str]:
    """The groups that lie within groups, as they are written: stage/unet, ..."""
    conf = Path(str(importlib.resources.files("imagen.conf")))
    return [str(path.relative_to(conf)) for path in conf.glob("*/*") if path.is_dir()]


def _explain_call(error: BaseException, cause: BaseException) -> str:
    """One line for a constructor that could not be found or called."""
    lines = [line.strip() for line in str(error).splitlines()]
    key = next((line.removeprefix("full_key:").strip() for line in lines if line.startswith("full_key:")), "")
    target = lines[0].split("'")[1] if lines[0].count("'") >= 2 else ""
    where = f"{key} ({target})" if key and target else key or target
    text = " ".join(str(cause).split())
    if lines[0].startswith("Error locating target"):
        return f"{key}._target_={target}: no such class or function"
    if (
        "unexpected keyword argument" in text
        or "positional argument" in text
        or "keyword-only argument" in text
    ):
        text = f"{text}; it takes: {', '.join(_parameters(target))}"
    return f"{where}: {text}" if where else text


def _parameters(target: str) -> list[str]:
    try:
        signature = inspect.signature(hydra.utils.get_object(target))
    except (ImportError, ValueError, TypeError):
        return ["(unknown)"]
    return [name for name in signature.parameters if name not in ("self", "kwargs")]
