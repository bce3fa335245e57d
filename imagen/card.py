"""Cards of data sets and models: facts for people, in markdown, in which text from elsewhere is text and nothing else."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

UNKNOWN = "not known"
UNSTATED = "not stated"
DEEPEST = 20  # lists in lists that are shown


def shown(value: Any, most: int = 500) -> str:
    """A value as one line of markdown that shows it letter by letter: no markup, no HTML, nothing that a terminal obeys;
    `UNKNOWN` for what is empty."""
    if value is None or value in ("", [], {}):
        return UNKNOWN
    text = f"{value:,}" if type(value) is int else _words(value)
    text = " ".join(text.split())
    text = text[:most] + ("…" if len(text) > most else "")
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    text = re.sub(r"([\\`*_{}\[\]#|~$!])", r"\\\1", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # what looks like an address becomes a link by itself
    return re.sub(r"(?i)://|@|\bwww\.", lambda m: m[0][:-1] + f"&#{ord(m[0][-1])};", text)


def table(rows: Sequence[Sequence[Any]]) -> str:
    """Rows, the first being the head -> a table of `shown` cells."""
    lines = ["| " + " | ".join(cell if cell == "" else shown(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def points(lines: Sequence[str]) -> str:
    """A list of markdown lines."""
    return "\n".join(f"* {line}" for line in lines)


def card(title: str, lead: str, sections: Mapping[str, Sequence[str]]) -> str:
    """A whole card: heading -> its paragraphs of markdown."""
    parts = [f"# {shown(title)}", lead]
    for heading, paragraphs in sections.items():
        parts += [f"## {heading}", *paragraphs]
    return "\n\n".join(parts) + "\n"


def _words(value: Any, deep: int = 0) -> str:
    if value in ({}, [], ()):
        return "none"
    if deep == DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_words(part, deep + 1)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_words(part, deep + 1) for part in value) + "]"
    return "none" if value is None else str(value)
