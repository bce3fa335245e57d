"""STUDY.yaml -> the design: plain YAML, read strictly, over what its protocol says (conf/rating/PROTOCOL.yaml)."""

import importlib.resources
import os
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from imagen.files import printable
from imagen.rating.study.design import Design, design_of

OWN = "own"
"""The protocol of a study that says everything itself."""
MOST = 1_000_000  # bytes of a STUDY.yaml
MERGED = ("show", "session")  # a study may say one key of these, and leave the others to its protocol


class _Strict(yaml.SafeLoader):
    """A key that is there twice is an error: the first of them would be lost without a word. So is an alias: a few lines of
    them are a value larger than any memory."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """As its parent's."""
        if self.check_event(yaml.AliasEvent):
            raise ValueError(f"line {self.peek_event().start_mark.line + 1}: an alias (*NAME); write it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As its parent's."""
        times = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if twice := next((key for key, many in times.items() if many > 1), None):
            raise ValueError(
                f"line {node.start_mark.line + 1}: the key {printable(twice, 60)} is there twice"
            )
        return super().construct_mapping(node, deep)


def protocols() -> list[str]:
    """Those that come with this package."""
    folder = importlib.resources.files("imagen.conf") / "rating"
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def read_design(path: Path) -> Design:
    """The design of STUDY.yaml; its paths are relative to its own folder. ValueError in one line naming the file."""
    try:
        if not path.is_file() or path.stat().st_size > MOST:
            raise ValueError("is no file of a study; give a STUDY.yaml")
        given = _mapping(path.read_text(encoding="utf-8-sig"))
        name = given.get("protocol", OWN)
        known = [*protocols(), OWN]
        if name not in known:
            raise ValueError(
                f"protocol={printable(name, 60)}: no such protocol; choose from: {', '.join(known)}"
            )
        if not {"protocol", "questions"} & set(given):
            raise ValueError(
                f"protocol: not there; choose from: {', '.join(known)}, which needs questions, show, session and the rest of its own"
            )
        base = {} if name == OWN else _protocol(name)
        for key in MERGED:
            if isinstance(base.get(key), dict) and isinstance(given.get(key), dict):
                given[key] = {**base[key], **given[key]}
        whole = {"protocol": OWN, "seed": 0, **base, **given}
        for key in ("real", "prompts"):
            whole[key] = _beside(path, whole.get(key))
        if isinstance(whole.get("systems"), dict):
            whole["systems"] = {key: _beside(path, value) for key, value in whole["systems"].items()}
        return design_of(whole)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}; give a STUDY.yaml") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())[:400]}") from None


def _protocol(name: str) -> dict[str, Any]:
    return _mapping((importlib.resources.files("imagen.conf") / "rating" / f"{name}.yaml").read_text("utf-8"))


def _mapping(text: str) -> dict[str, Any]:
    try:
        found = yaml.load(text, _Strict)
    except yaml.YAMLError as error:
        raise ValueError(
            f"is not YAML; a text with ? : , {{ or # goes in quotes ({str(error)[:200]})"
        ) from None
    if not isinstance(found, dict):
        raise ValueError("holds no keys and values; see imagen-rate --help")
    return found


def _beside(path: Path, value: Any) -> Any:
    return os.path.join(path.parent, value) if isinstance(value, str) and value else value
