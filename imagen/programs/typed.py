"""Settings against types, before anything is built: the annotations of constructors, and of imagen.programs.settings.

A setting with a `_target_` is a part: an object of its own, made by that class or function of imagen (or of a
package that IMAGEN_TRUSTED_PACKAGES names), whose arguments are looked at likewise.
"""

import inspect
import json
import math
import os
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import hydra

TRUSTED = "IMAGEN_TRUSTED_PACKAGES"


@dataclass(frozen=True)
class Rule:
    """Annotated[T, Rule(words, holds)]: a T for which `holds`; `words` complete "must be ..."."""

    words: str
    holds: Callable[[Any], bool]


def check(value: Any, hint: Any, key: str) -> None:
    """ValueError naming the first setting of `value`, plain and resolved, that is not what `hint` says; `key` leads
    to it."""
    kinds = _kinds(hint)
    shape = next((kind for kind in kinds if is_typeddict(kind)), None)
    if shape is not None and isinstance(value, dict):
        return _check_members(value, shape, key)
    if not fits(value, hint):
        raise ValueError(f"{key}={shown(value)}: must be {words(hint)}")
    if isinstance(value, dict) and "_target_" in value:
        return _check_part(value, key, partial=any(_is_callable(kind) for kind in kinds))
    inner = next((get_args(kind)[-1] for kind in kinds if get_origin(kind) in (dict, Mapping)), Any)
    if isinstance(value, dict):
        for name, member in value.items():
            check(member, inner, f"{key}.{name}")
    elif isinstance(value, list):
        for i, member in enumerate(value):
            check(member, Any, f"{key}[{i}]")


def fits(value: Any, hint: Any) -> bool:
    """Whether `value` is a `hint`. Of a part, that it is one."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if hint is None or hint is types.NoneType:
        return value is None
    if origin in (Union, types.UnionType):
        return any(fits(value, kind) for kind in arguments)
    if origin is Annotated:
        return fits(value, arguments[0]) and all(rule.holds(value) for rule in arguments[1:])
    if origin is Literal:
        return value in arguments
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if hint in (str, Path):
        return isinstance(value, str) and value != "" and "\0" not in value
    if origin in (list, Sequence):
        return isinstance(value, list) and all(fits(member, arguments[0]) for member in value)
    if origin in (dict, Mapping):
        return isinstance(value, dict)  # what it holds has keys of its own, and is looked at one by one
    return isinstance(value, dict) and "_target_" in value


def words(hint: Any) -> str:
    """What a value of `hint` is: "a whole number or null"."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(words(kind) for kind in arguments)
    if origin is Annotated:
        return arguments[1].words
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in (list, Sequence):
        return f"a list, of which each is {words(arguments[0])}"
    if origin in (dict, Mapping) or is_typeddict(hint):
        return "a group of settings"
    plain = {
        int: "a whole number",
        float: "a finite number",
        bool: "true or false",
        str: "text, not empty (a number in quotes is text)",
        Path: "a path",
        types.NoneType: "null",
    }
    return plain.get(hint, "a part with a _target_ of its own: choose a group's option")


def shown(value: Any) -> str:
    """A value as one would type it."""
    return (
        str(value) if isinstance(value, str | float) else json.dumps(value, ensure_ascii=False, default=str)
    )


def _kinds(hint: Any) -> list[Any]:
    """The members of a union, or the one that it is."""
    return list(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else [hint]


def _is_callable(kind: Any) -> bool:
    return kind is Callable or get_origin(kind) is Callable or kind is Any


def _check_members(value: dict[str, Any], shape: Any, key: str) -> None:
    hints = get_type_hints(shape, include_extras=True)
    prefix = f"{key}." if key else ""
    for name in value.keys() - hints.keys():
        raise ValueError(f"{prefix}{name}: no such setting; choose from: {', '.join(sorted(hints))}")
    if absent := sorted(shape.__required_keys__ - value.keys()):
        raise ValueError(
            f"{prefix}{absent[0]}: is not there; give {' '.join(f'{prefix}{k}=...' for k in absent)}"
        )
    for name, hint in hints.items():
        if name in value:
            check(value[name], get_args(hint)[0] if get_origin(hint) is NotRequired else hint, prefix + name)


def _check_part(node: dict[str, Any], key: str, partial: bool) -> None:
    make = _target(node["_target_"], f"{key}._target_={shown(node['_target_'])}")
    for name, value in node.items():
        if name.startswith("_") and not (name == "_target_" or (name == "_partial_" and partial)):
            raise ValueError(
                f"{key}.{name}={shown(value)}: cannot be set; a part has a _target_ and its arguments"
            )
    try:
        hints = get_type_hints(make.__init__ if inspect.isclass(make) else make, include_extras=True)
    except NameError:  # a user's class, annotated with what only a type checker imports
        hints = {}
    for name, value in node.items():
        if not name.startswith("_"):  # a name that the constructor does not have is told by calling it
            check(value, hints.get(name, Any), f"{key}.{name}")


def _target(target: Any, given: str) -> Any:
    """The class or function `target`. Of other packages nothing is imported, and nothing is reached through ours."""
    packages = {"imagen", *os.environ.get(TRUSTED, "").split(",")} - {""}
    refusal = (
        f"{given}: must be a class of imagen; classes of your own need {TRUSTED}=PACKAGE in the environment"
    )
    if str(target).split(".")[0] not in packages:
        raise ValueError(refusal)
    try:
        found = hydra.utils.get_object(target)
    except (ImportError, ValueError):
        raise ValueError(f"{given}: no such class or function") from None
    if not callable(found) or str(getattr(found, "__module__", "")).split(".")[0] not in packages:
        raise ValueError(refusal)
    return found
