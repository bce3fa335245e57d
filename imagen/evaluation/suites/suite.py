"""A prompt suite: a table of prompts with a card that says what it is, and one hash of all its rows."""

import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from imagen.evaluation.suites.readers import Table, rows_of
from imagen.files import printable, write_text

FORMAT = 1
LONGEST = 10_000  # characters of a prompt
NAMED = 300  # characters of a category, a source, a tag
TRUTH = 20_000  # characters of a prompt's ground truth as JSON
VERSION = re.compile(r"\d{1,6}(\.\d{1,6}){0,3}")


@dataclass(frozen=True)
class Prompt:
    """One row of a suite.

    `category`: what the prompt puts to the test ("all" where a suite has no categories). `difficulty`: logits, larger is
    harder (difficulty.py); None where it is not known. `source`: where the prompt comes from. `truth`: plain JSON that
    says what the picture must show, where that is known (compose.py, or GenEval's include and exclude).

    ValueError naming what is wrong: no text, control characters, a difficulty that is not finite."""

    prompt: str
    category: str = "all"
    difficulty: float | None = None
    source: str | None = None
    tags: tuple[str, ...] = ()
    truth: dict[str, Any] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        _text("prompt", self.prompt, LONGEST, lines=True)
        _text("category", self.category, NAMED)
        if self.source is not None:
            _text("source", self.source, NAMED)
        if isinstance(self.tags, str) or not isinstance(self.tags, tuple | list):
            raise ValueError(f"tags={_told(self.tags)}: give a list of texts")
        for tag in self.tags:
            _text("tags", tag, NAMED)
        object.__setattr__(self, "tags", tuple(self.tags))
        if self.difficulty is not None:
            object.__setattr__(self, "difficulty", _finite(self.difficulty))
        if self.truth is not None:
            object.__setattr__(self, "truth", _plain(self.truth))

    def row(self) -> dict[str, Any]:
        """The prompt as plain JSON; what it does not have is left out."""
        row = {"prompt": self.prompt, "category": self.category, "difficulty": self.difficulty}
        row |= {"source": self.source, "tags": list(self.tags) or None, "truth": self.truth}
        return {key: value for key, value in row.items() if value is not None}


@dataclass(frozen=True)
class Change:
    """One entry of a changelog: what `version` has that the one before, `since`, had not. `added` and `removed` are
    prompts, `changed` pairs of a prompt before and after; both are the same where only other fields changed."""

    version: str
    since: str
    note: str = ""
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        number_of(self.version)
        number_of(self.since)
        _text("note", "-" if self.note == "" else self.note, NAMED * 10, lines=True)
        for name in ("added", "removed"):
            value = getattr(self, name)
            if not isinstance(value, tuple | list) or not all(isinstance(text, str) for text in value):
                raise ValueError(f"changelog: {name} must be a list of prompts")
            object.__setattr__(self, name, tuple(value))
        pairs = self.changed
        if not isinstance(pairs, tuple | list) or not all(
            isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)
            for pair in pairs
        ):
            raise ValueError("changelog: changed must be a list of [before, after]")
        object.__setattr__(self, "changed", tuple((before, after) for before, after in pairs))


@dataclass(frozen=True)
class Card:
    """What a suite is, for people. `leaves_out`: what it does not put to the test, and rows that were not taken over.
    `difficulty`: how the difficulties were estimated, "" where there are none."""

    name: str
    version: str = "0"
    licence: str = "not stated"
    source: str = "not stated"
    leaves_out: str = "not stated"
    difficulty: str = ""
    changelog: tuple[Change, ...] = ()

    def __post_init__(self) -> None:
        _text("name", self.name, NAMED)
        number_of(self.version)
        for key in ("licence", "source", "leaves_out", "difficulty"):
            value = getattr(self, key)
            _text(key, "-" if value == "" else value, NAMED * 10, lines=True)

    def row(self) -> dict[str, Any]:
        """The card as plain JSON."""
        log = [
            {f.name: _listed(getattr(change, f.name)) for f in fields(Change)} for change in self.changelog
        ]
        return {f.name: getattr(self, f.name) for f in fields(Card)} | {"changelog": log}


@dataclass(frozen=True)
class Suite:
    """Prompts in their order, no prompt twice, and their card. ValueError for none, or for one that is there twice."""

    prompts: tuple[Prompt, ...]
    card: Card

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompts", tuple(self.prompts))
        if not self.prompts:
            raise ValueError("a suite needs at least one prompt")
        refuse_twice(self.prompts)

    @cached_property
    def sha256(self) -> str:
        """Of the rows in their order (canonical JSON: sorted keys, ASCII), so that it is the same on every machine and
        for every file format; the card is not part of it."""
        digest = hashlib.sha256()
        for prompt in self.prompts:
            digest.update(canonical(prompt.row()).encode("ascii") + b"\n")
        return digest.hexdigest()

    @cached_property
    def categories(self) -> dict[str, int]:
        """Category -> how many prompts it has, in the order of their first."""
        counts: dict[str, int] = {}
        for prompt in self.prompts:
            counts[prompt.category] = counts.get(prompt.category, 0) + 1
        return counts


def read_suite(path: str | Path) -> Suite:
    """The suite in a file of any known format, which its content tells (readers.py), or that `write_suite` wrote.

    ValueError in one line naming the file and the line: not there, a folder or a pipe, not UTF-8, no column of
    prompts, an unknown column, an empty prompt or one that is there twice, a difficulty that is no number, or a
    written suite that does not have the rows its first line promises."""
    table = rows_of(Path(path))
    prompts, lines = [], []
    for line, row in table.rows:
        try:
            prompts.append(Prompt(**row))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: line {line}: {error}") from None
        lines.append(line)
    refuse_twice(prompts, str(path), lines)
    if not prompts:
        raise ValueError(f"{path}: holds no prompts; give a file with a prompt a line")
    try:
        suite = Suite(tuple(prompts), card_of(table.card))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: its card: {error}") from None
    _refuse_edited(path, table, suite)
    return suite


def write_suite(suite: Suite, path: str | Path, replace: bool = False) -> None:
    """Write the card, then a row a line (JSON lines): all of it or nothing. The same suite is the same bytes.

    ValueError when `path` holds something else already and `replace` is not said: a version that others have used
    must stay what it was."""
    path = Path(path)
    head = {"imagen_suite": FORMAT, "card": suite.card.row()}
    head |= {"count": len(suite.prompts), "sha256": suite.sha256}
    rows = [head, *(prompt.row() for prompt in suite.prompts)]
    text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    if path.exists() and not replace:
        if not path.is_file() or path.read_bytes() != text.encode():
            raise ValueError(f"{path}: is there already and holds something else; give another out=")
        return
    write_text(path, text)


def canonical(value: Any) -> str:
    """JSON with one spelling. ValueError for NaN."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def number_of(version: object) -> tuple[int, ...]:
    """ "1.2" -> (1, 2), whose order is the versions'; trailing zeros do not count. ValueError for anything else."""
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        raise ValueError(
            f"version={_told(version)}: give numbers with points between them, such as 1.1 (in quotes)"
        )
    parts = [int(part) for part in version.split(".")]
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def card_of(row: dict[str, Any]) -> Card:
    """The inverse of `Card.row`. ValueError for an unknown key."""
    known = {f.name for f in fields(Card)}
    if unknown := sorted(row.keys() - known):
        raise ValueError(f"unknown key {_told(unknown[0])}; a card has {', '.join(sorted(known))}")
    log = row.get("changelog", [])
    if not isinstance(log, list) or not all(isinstance(entry, dict) for entry in log):
        raise ValueError("changelog must be a list of objects")
    return Card(**{**row, "changelog": tuple(Change(**entry) for entry in log)})


def refuse_twice(prompts: Iterable[Prompt], where: str = "", lines: list[int] | None = None) -> None:
    """ValueError naming a prompt that is there twice, and its lines where they are known."""
    seen: dict[str, int] = {}
    for index, prompt in enumerate(prompts):
        first = seen.setdefault(prompt.prompt, index)
        if first != index:
            at = f" in lines {lines[first]} and {lines[index]}" if lines else ""
            name = f"{where}: " if where else ""
            raise ValueError(f"{name}the prompt {_told(prompt.prompt)} is there twice{at}; remove one")


def _refuse_edited(path: str | Path, table: Table, suite: Suite) -> None:
    for key, found in (("count", len(suite.prompts)), ("sha256", suite.sha256)):
        if key in table.promised and table.promised[key] != found:
            raise ValueError(
                f"{path}: its rows are not those that its first line promises ({key}): it is cut or was edited; "
                "make changes with imagen-suite extend, which gives them a version"
            )


def _text(key: str, value: object, most: int, lines: bool = False) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{key}={_told(value)}: give text")
    if not value.strip():
        raise ValueError(f"{key} is empty: give text, or remove the line")
    if len(value) > most:
        raise ValueError(f"{key} has {len(value)} characters; give at most {most}")
    bad = re.search(
        "[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]" if lines else "[\0-\x1f\x7f-\x9f\ud800-\udfff]", value
    )
    if bad:
        raise ValueError(f"{key}={_told(value)}: holds the control character {bad[0]!a}; remove it")


def _finite(value: Any) -> float:
    try:
        number = float(value) if type(value) in (int, float) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"difficulty={_told(value)}: give a finite number, or none")
    return number


def _plain(truth: Any) -> dict[str, Any]:
    if not isinstance(truth, dict):
        raise ValueError(f"truth={_told(truth)}: give an object")
    try:
        text = canonical(truth)
        json.dumps(truth, ensure_ascii=False).encode()  # half characters
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"truth cannot be written as JSON ({str(error)[:80]})") from None
    if len(text) > TRUTH:
        raise ValueError(f"truth has {len(text)} characters as JSON; give at most {TRUTH}")
    return json.loads(text)


def _listed(value: Any) -> Any:
    return [_listed(member) for member in value] if isinstance(value, tuple) else value


def _told(value: object) -> str:
    return repr(printable(value, 60)) if isinstance(value, str) else printable(value, 60)
