"""Files of prompts -> rows of a suite and its card: DrawBench, PartiPrompts, GenEval, T2I-CompBench, COCO captions, one's own."""

import csv
import difflib
import io
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagen.files import printable

MOST = 1 << 30  # bytes of a file
COLUMNS = ("prompt", "category", "difficulty", "source", "tags", "truth")
SEPARATOR = " ||| "  # between several captions in one cell, as in data/table.md
# fmt: off
DRAWBENCH = frozenset([
    "Colors", "Conflicting", "Counting", "DALL-E", "Descriptions", "Gary Marcus et al.", "Misspellings", "Positional",
    "Rare Words", "Reddit", "Text",
])
# fmt: on
COMPBENCH = re.compile(
    r"(color|shape|texture|spatial|3d_spatial|non_spatial|numeracy|complex)(_(train|val)(_\w+)?)?",
    re.IGNORECASE,
)
CARDS: dict[str, dict[str, str]] = {
    "drawbench": {
        "name": "DrawBench",
        "version": "1.0",
        "licence": "not stated by its authors",
        "source": "Saharia et al. 2022 (arXiv 2205.11487), section 4.3: a sheet linked from imagen.research.google",
        "leaves_out": "images as input, languages other than English; has no ground truth: people judge it",
    },
    "partiprompts": {
        "name": "PartiPrompts",
        "version": "1.0",
        "licence": "Apache-2.0",
        "source": "Yu et al. 2022 (arXiv 2206.10789): PartiPrompts.tsv of github.com/google-research/parti",
        "leaves_out": "languages other than English; has no ground truth: people judge it",
    },
    "geneval": {
        "name": "GenEval",
        "version": "1.0",
        "licence": "MIT",
        "source": "Ghosh et al. 2023 (arXiv 2310.11513): prompts/evaluation_metadata.jsonl of github.com/djghosh13/geneval",
        "leaves_out": "whatever a detector of COCO's 80 classes cannot check: texts, styles, actions, people's doings",
    },
    "compbench": {
        "name": "T2I-CompBench",
        "version": "1.0",
        "licence": "MIT",
        "source": "Huang et al. 2023 (arXiv 2307.06350): examples/dataset/*.txt of github.com/Karine-Huang/T2I-CompBench",
        "leaves_out": "the other categories, each of which is a file of its own; texts and styles",
    },
    "coco": {
        "name": "COCO captions",
        "version": "0",
        "licence": "CC BY 4.0 (annotations)",
        "source": "Lin et al. 2014 (arXiv 1405.0312), Chen et al. 2015 (arXiv 1504.00325): annotations of cocodataset.org",
        "leaves_out": "what photographs do not show; has no categories and no ground truth but the photographs",
    },
    "captions": {"leaves_out": "has no categories and no ground truth but the pictures"},
}


@dataclass
class Table:
    """`rows`: (line of the file, fields of a Prompt). `card`: fields of a Card. `promised`: what the first line of a
    written suite says of its rows."""

    kind: str
    rows: list[tuple[int, dict[str, Any]]]
    card: dict[str, Any]
    promised: dict[str, Any] = field(default_factory=dict)


def rows_of(path: Path) -> Table:
    """What a file holds, by its content; only plain lists of prompts go by the file's name (T2I-CompBench's
    categories are files). ValueError in one line naming the file, and the line where one is wrong."""
    text = text_of(path)
    first = text.lstrip()[:1]
    if not first:
        raise ValueError(f"{path}: is empty; give a file with a prompt a line")
    if first == "{":
        return _of_json(path, text)
    if path.suffix.lower() in (".json", ".jsonl"):
        raise ValueError(f"{path}: line 1 is not an object {{...}}; give JSON lines with a key prompt")
    head = next(line for line in text.split("\n") if line.strip())
    commas = path.suffix.lower() == ".csv" and "\t" not in head  # one column has no delimiter to be told by
    for delimiter in (",", "\t") if commas else ("\t", ","):
        cells = [cell.strip().strip('"').casefold() for cell in head.split(delimiter)]
        if {"prompt", "prompts"} & set(cells) or (len(cells) > 1 and {"caption", "captions"} & set(cells)):
            return _of_cells(path, text, delimiter)
    if path.suffix.lower() in (".csv", ".tsv"):
        raise ValueError(
            f"{path}: has no column prompt, only {printable(head, 100)}; its first line must name the columns: "
            + ", ".join(COLUMNS)
        )
    return _of_lines(path, text)


def captions_of(path: Path) -> list[str]:
    """The captions (or prompts) of a file that `rows_of` reads, each as often as it is there."""
    table = rows_of(path)
    return [str(row["prompt"]) for _, row in table.rows]


def text_of(path: Path, remedy: str = "give a file of prompts") -> str:
    """A file as text. ValueError naming it: not there, no plain file, too large, not UTF-8."""
    try:
        if path.is_dir():
            raise ValueError(f"{path}: is a folder; {remedy}")
        if not path.exists():
            raise ValueError(f"{path}: there is no such file; {remedy}")
        if not path.is_file():  # a pipe would be waited for without end
            raise ValueError(f"{path}: is no plain file; {remedy}")
        if path.stat().st_size > MOST:
            raise ValueError(f"{path}: is larger than 1 GB; {remedy}")
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; {remedy}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    if "\0" in text:
        raise ValueError(f"{path}: holds NUL characters: no text; save it as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


# JSON


def _of_json(path: Path, text: str) -> Table:
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    try:
        first = json.loads(lines[0][1])
    except (ValueError, RecursionError):
        first = _object(path, text, "")  # an object over several lines
        lines = lines[:1]
    if "imagen_suite" in first:
        return _written(path, first, [(number, _object(path, line, number)) for number, line in lines[1:]])
    if "annotations" in first:
        return _coco(path, first)
    if len(lines) == 1 and path.suffix.lower() == ".json" and "prompt" not in first:
        raise ValueError(f"{path}: has neither COCO's annotations nor a key prompt; give a file of prompts")
    objects = [(number, _object(path, line, number)) for number, line in lines]
    if all({"tag", "include", "prompt"} <= row.keys() for _, row in objects):
        return Table("geneval", [(n, _geneval(path, n, row)) for n, row in objects], dict(CARDS["geneval"]))
    rows = []
    for number, row in objects:
        _refuse_unknown(path, f"line {number}: key", row)
        rows.append((number, _stripped(row)))
    return Table("own", rows, {"name": _name(path)})


def _object(path: Path, line: str, number: int | str) -> dict[str, Any]:
    at = f"line {number}" if number else "its content"
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:  # a number or brackets without end
        raise ValueError(f"{path}: {at} is not JSON: {printable(error, 80)}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: {at} is not an object {{...}}")
    return value


def _written(path: Path, head: dict[str, Any], rows: list[tuple[int, dict[str, Any]]]) -> Table:
    if head["imagen_suite"] != 1:
        raise ValueError(
            f"{path}: is of format {printable(head['imagen_suite'], 20)}; this program reads format 1"
        )
    if not isinstance(head.get("card"), dict) or not {"count", "sha256"} <= head.keys():
        raise ValueError(f"{path}: its first line has no card, count and sha256; write it again")
    for number, row in rows:
        _refuse_unknown(path, f"line {number}: key", row)
    return Table("written", rows, head["card"], {key: head[key] for key in ("count", "sha256")})


def _geneval(path: Path, number: int, row: dict[str, Any]) -> dict[str, Any]:
    if unknown := sorted(row.keys() - {"tag", "include", "exclude", "prompt"}):
        raise ValueError(f"{path}: line {number}: GenEval has no key {printable(unknown[0], 60)}")
    truth = {key: row[key] for key in ("include", "exclude") if key in row}
    return _stripped({"prompt": row["prompt"], "category": row["tag"], "truth": truth})


def _coco(path: Path, content: dict[str, Any]) -> Table:
    try:
        names = {part["id"]: part["file_name"] for part in content.get("images", [])}
        said = [(part["caption"], part["image_id"]) for part in content["annotations"]]
        rows = [{"prompt": " ".join(caption.split()), "source": str(names.get(i, i))} for caption, i in said]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: is no captions file of COCO ({type(error).__name__}: {printable(error, 60)}); "
            "give captions_val2014.json or the like"
        ) from None
    year = re.search(r"20\d\d", path.stem)
    card = {**CARDS["coco"], "version": f"{year[0]}.0" if year else "0"}
    return _once("coco", list(enumerate(rows, 1)), card)


# Tables and lists


def _of_cells(path: Path, text: str, delimiter: str) -> Table:
    tabs = delimiter == "\t"
    csv.field_size_limit(1 << 24)
    # prompts often begin with a quotation mark; between tabs it must not swallow the lines that follow
    quoting = csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=not tabs)
    rows: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append(
                    (reader.line_num, [(_unquoted(cell) if tabs else cell).strip() for cell in cells])
                )
    except csv.Error as error:
        raise ValueError(
            f"{path}: line {reader.line_num} cannot be read ({error}); look at its quotation marks"
        ) from None
    header = [name.casefold() for name in rows.pop(0)[1]]
    # a spreadsheet's csv has columns without a name, in which nothing stands
    every = [header, *(cells for _, cells in rows)]
    width = max((i + 1 for cells in every for i, cell in enumerate(cells) if cell), default=0)
    header, rows = header[:width], [(line, cells[:width]) for line, cells in rows]
    for name, times in Counter(header).items():
        if times > 1:
            raise ValueError(f"{path}: has {times} columns {printable(name, 60)!r}; rename all but one")
    for line, cells in rows:
        if len(cells) > len(header):
            raise ValueError(
                f"{path}: line {line} has {len(cells)} cells, its first line {len(header)}: put a prompt that "
                f"holds a {'tab' if tabs else 'comma'} in quotation marks"
            )
    named = [(line, dict(zip(header, cells + [""] * (len(header) - len(cells))))) for line, cells in rows]
    if header == ["prompt", "category", "challenge", "note"]:
        return Table("partiprompts", [(n, _parti(row)) for n, row in named], dict(CARDS["partiprompts"]))
    if header == ["prompts", "category"] and {row["category"] for _, row in named} <= DRAWBENCH:
        return Table("drawbench", [(n, _row(path, n, row)) for n, row in named], _drawbench(len(named)))
    if not {"prompt", "prompts"} & set(header):
        return _captions(path, named)
    _refuse_unknown(path, "column", {"prompt" if name == "prompts" else name: 0 for name in header})
    return Table("own", [(line, _row(path, line, row)) for line, row in named], {"name": _name(path)})


def _drawbench(count: int) -> dict[str, str]:
    card = dict(CARDS["drawbench"])
    if count != 200:
        card["leaves_out"] += f"; this file has {count} prompts, DrawBench 200"
    return card


def _parti(row: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {"prompt": row["prompt"], "category": row["category"]}
    return found | {"tags": [row["challenge"]] if row["challenge"] else []}


def _captions(path: Path, rows: list[tuple[int, dict[str, str]]]) -> Table:
    column = "captions" if rows and "captions" in rows[0][1] else "caption"
    said = [
        (line, {"prompt": caption.strip(), "source": row.get("path") or None})
        for line, row in rows
        for caption in row[column].split(SEPARATOR)
        if caption.strip()
    ]
    return _once("captions", said, {"name": _name(path), **CARDS["captions"]})


def _row(path: Path, line: int, cells: dict[str, str]) -> dict[str, Any]:
    """Cells of one's own table; those of optional columns may be empty."""
    row: dict[str, Any] = {("prompt" if key == "prompts" else key): cell for key, cell in cells.items()}
    for key in ("difficulty", "source", "tags", "truth"):
        if row.get(key) == "":
            row.pop(key)
    try:
        if "difficulty" in row:
            row["difficulty"] = float(row["difficulty"])
    except ValueError:
        raise ValueError(
            f"{path}: line {line}: difficulty={printable(row['difficulty'], 60)!r}: give a finite number, or none"
        ) from None
    if "tags" in row:
        row["tags"] = [tag.strip() for tag in row["tags"].split(";") if tag.strip()]
    if "truth" in row:
        row["truth"] = _object(path, row["truth"], line)
    return row


def _of_lines(path: Path, text: str) -> Table:
    found = COMPBENCH.fullmatch(path.stem)
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1)]
    if found is None:
        rows = [(number, {"prompt": line}) for number, line in lines if line]
        return Table("own", rows, {"name": _name(path)})
    category = found[1].lower()
    rows = [(number, {"prompt": line, "category": category}) for number, line in lines if line]
    return _once("compbench", rows, {**CARDS["compbench"], "name": f"T2I-CompBench {path.stem}"})


# What they share


def _once(kind: str, rows: list[tuple[int, dict[str, Any]]], card: dict[str, Any]) -> Table:
    """Public lists that repeat themselves: each prompt as often as it is new; how many went is said in the card."""
    first: dict[str, tuple[int, dict[str, Any]]] = {}
    for number, row in rows:
        if row["prompt"]:
            first.setdefault(row["prompt"], (number, row))
    if gone := len(rows) - len(first):
        card["leaves_out"] += f"; {gone} lines that were empty or repeated another"
    return Table(kind, list(first.values()), card)


def _refuse_unknown(path: Path, what: str, row: dict[str, Any]) -> None:
    for key in row:
        if key not in COLUMNS:
            close = difflib.get_close_matches(key, COLUMNS, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise ValueError(
                f"{path}: {what} {printable(key, 60)!r} is not known; {hint}a suite has {', '.join(COLUMNS)}"
            )
    if "prompt" not in row:
        raise ValueError(f"{path}: {what} prompt is missing; a suite has {', '.join(COLUMNS)}")


def _stripped(row: dict[str, Any]) -> dict[str, Any]:
    return {
        k: v.strip() if isinstance(v, str) else v for k, v in row.items() if v is not None or k == "prompt"
    }


def _name(path: Path) -> str:
    return printable(re.sub(r"\s+", " ", path.stem), 100) or "suite"


def _unquoted(cell: str) -> str:
    """A cell between tabs without the quotation marks that a spreadsheet put around it."""
    inner = cell[1:-1]
    wrapped = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if wrapped else cell
