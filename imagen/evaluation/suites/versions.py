"""The next version of a suite: prompts added, removed and changed, with an entry in the changelog of its card."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imagen.evaluation.suites.readers import text_of
from imagen.evaluation.suites.suite import Change, Prompt, Suite, number_of, read_suite
from imagen.files import printable

KEYS = ("add", "remove", "change")


@dataclass(frozen=True)
class Edits:
    """`add`: new prompts. `remove`: the texts of prompts. `change`: (text of a prompt, what it becomes)."""

    add: tuple[Prompt, ...] = ()
    remove: tuple[str, ...] = ()
    change: tuple[tuple[str, Prompt], ...] = ()


def extend(suite: Suite, edits: Edits, version: str, note: str = "") -> Suite:
    """The suite with these edits as `version`: changed prompts keep their places, added ones stand at the end.

    ValueError in one line: a version that is not newer, nothing to change, a prompt removed or changed that is not
    there, one that is edited twice, one added that is there already."""
    newer(suite, version)
    if not edits.add and not edits.remove and not edits.change:
        raise ValueError("nothing is added, removed or changed; give a file of prompts as with=")
    rows = {prompt.prompt: prompt for prompt in suite.prompts}
    touched: set[str] = set()
    for what, text in [("remove", t) for t in edits.remove] + [("change", t) for t, _ in edits.change]:
        if text not in rows:
            raise ValueError(f"{what}: {_told(text)} is not in {_told(suite.card.name)} {suite.card.version}")
        if text in touched:
            raise ValueError(f"{what}: {_told(text)} is edited twice; do it once")
        touched.add(text)
    becomes = dict(edits.change)
    for text, prompt in edits.change:
        if rows[text] == prompt:
            raise ValueError(f"change: {_told(text)} stays what it is; leave it out")
    kept = [becomes.get(text, prompt) for text, prompt in rows.items() if text not in set(edits.remove)]
    there = {prompt.prompt for prompt in kept}
    for prompt in edits.add:
        if prompt.prompt in there:
            raise ValueError(f"add: {_told(prompt.prompt)} is there already; leave it out, or change it")
        there.add(prompt.prompt)
    entry = Change(
        version,
        suite.card.version,
        note,
        tuple(prompt.prompt for prompt in edits.add),
        tuple(edits.remove),
        tuple((text, prompt.prompt) for text, prompt in edits.change),
    )
    card = replace(suite.card, version=version, changelog=(*suite.card.changelog, entry))
    return Suite((*kept, *edits.add), card)


def newer(suite: Suite, version: str) -> None:
    """ValueError when `version` is not newer than the suite's."""
    if number_of(version) <= number_of(suite.card.version):
        raise ValueError(
            f"version={version} is not newer than {suite.card.version}, which {_told(suite.card.name)} has; "
            "give a larger one"
        )


def next_version(version: str) -> str:
    """The version with its last number one larger: "1.0" -> "1.1", "2" -> "3"."""
    *others, last = version.split(".")
    return ".".join([*others, str(int(last) + 1)])


def read_edits(path: str | Path) -> Edits:
    """Edits from a file: JSON lines of {"add": ROW}, {"remove": TEXT}, {"change": TEXT, "to": ROW}, where ROW is the
    whole row as a suite has it; or any file of prompts (readers.py), all of which are added. ValueError naming the file
    and the line."""
    path = Path(path)
    text = text_of(path)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    try:
        first = json.loads(lines[0][1]) if lines else None
    except (ValueError, RecursionError):
        first = None
    if not isinstance(first, dict) or not first.keys() & {*KEYS, "to"}:
        return Edits(add=read_suite(path).prompts)
    add, remove, change = [], [], []
    for number, line in lines:
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or len(row.keys() & set(KEYS)) != 1:
                raise ValueError('give one of {"add": ...}, {"remove": ...}, {"change": ..., "to": ...}')
            what = next(iter(row.keys() & set(KEYS)))
            if unknown := row.keys() - ({"change", "to"} if what == "change" else {what}):
                raise ValueError(f"{printable(sorted(unknown)[0], 60)} is no key of an edit")
            if what == "add":
                add.append(_prompt(row["add"]))
            elif not isinstance(row[what], str):
                raise ValueError(f"{what}: give the text of a prompt")
            elif what == "remove":
                remove.append(row["remove"])
            else:
                change.append((row["change"], _prompt(row.get("to"))))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: line {number}: {printable(error)}") from None
    return Edits(tuple(add), tuple(remove), tuple(change))


def _prompt(row: Any) -> Prompt:
    if not isinstance(row, dict) or "prompt" not in row:
        raise ValueError('give an object with a key "prompt"')
    try:
        return Prompt(**row)
    except TypeError:
        known = ("prompt", "category", "difficulty", "source", "tags", "truth")
        raise ValueError(f"a prompt has no other keys than {', '.join(known)}") from None


def _told(text: str) -> str:
    return repr(printable(text, 60))
