"""The folder of an evaluation -> what a report shows of it. Read only; of what lies there nothing is trusted: numbers are
finite or absent, text is cut, and no path that is written in a file is followed."""

import json
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from imagen.evaluation.outside import number, whole_lines
from imagen.files import printable, read_json

FORMAT = 1
RESULT, TABLE = 10_000_000, 400_000_000  # bytes of result.json and of per_prompt.jsonl
METRICS, SETTINGS, SCORES, CATEGORIES = 150, 250, 40, 200  # shown of an evaluation
ROWS = 200_000  # pictures of an evaluation
PROMPT = 2000  # characters
REMEDY = "give the folder that imagen-evaluate wrote, or evaluate again"
PARTS = ("protocol", "source", "sampling", "suite", "reference", "pictures", "extractors", "code")


class Metric(NamedTuple):
    """A number with its interval (95 %), where there is one, over `n` pictures; `note`: what to know before it is compared."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    note: str = ""


class Row(NamedTuple):
    """A picture: what was asked for, the seed, the key of its members in the shards, and its scores."""

    prompt: str
    category: str
    seed: int | None
    key: str
    scores: dict[str, float | None]


@dataclass
class Evaluated:
    """`settings`: flat, "sampling.base64.guidance" -> text. `cell`: of a sweep, "guidance" -> number or text, else empty;
    `sweep`: the folder of that sweep. `fewer`: in words, when there are fewer pictures than the protocol's. `problems`: a line
    for each part that could not be read."""

    folder: Path
    name: str
    protocol: dict[str, Any]
    extractors: dict[str, Any]
    settings: dict[str, str]
    metrics: dict[str, Metric]
    by_category: dict[str, dict[str, Metric]]
    cell: dict[str, float | str]
    sweep: Path | None
    fewer: str
    cost: dict[str, Metric | str]
    rows: list[Row]
    problems: list[str] = field(default_factory=list)


def expanded(folder: Path) -> tuple[list[Path], list[str]]:
    """The folder itself; or of a sweep's folder, which has fronts.json and no result.json, those of its cells, and a line for
    each that is not there. ValueError when it is neither."""
    if not folder.is_dir():
        raise ValueError(f"{_said(folder)}: no such folder; {REMEDY}")
    if (folder / "result.json").exists() or not (folder / "fronts.json").exists():
        return [folder], []
    told = _object(folder / "fronts.json").get("cells")
    found, problems = [], []
    for cell in told[:1000] if isinstance(told, list) else []:
        name = cell.get("folder") if isinstance(cell, dict) else None
        path = folder / name if isinstance(name, str) and "\0" not in name else folder / ".."
        if not inside(path, folder) or path.resolve() == folder.resolve():
            problems.append(one_line(f"{folder.name}: fronts.json: {name!r:.80} is no folder in it"))
        elif not (path / "result.json").is_file():
            problems.append(one_line(f"{folder.name}: fronts.json: {name!r:.80} has no result.json"))
        else:
            found.append(path)
    if not found:
        raise ValueError(f"{_said(folder)}: none of the cells of its fronts.json is there; {REMEDY}")
    return found, problems


def read_evaluation(folder: Path) -> Evaluated:
    """What `folder` holds. ValueError in one line when it has no result.json, or one that is damaged."""
    if not (folder / "result.json").exists():
        raise ValueError(f"{_said(folder)}: no result.json in it; {REMEDY}")
    result = _object(folder / "result.json")
    if result.get("format") != FORMAT or isinstance(result["format"], bool):
        raise ValueError(
            f"{_said(folder)}/result.json: format {result.get('format')!r:.40}, and this reads {FORMAT}; {REMEDY}"
        )
    for key in ("metrics", "protocol", "by_category", "cost", "cell", "extractors"):
        if not isinstance(result.get(key) or {}, dict):
            raise ValueError(
                f"{_said(folder)}/result.json is damaged ({key}: no object, but {type(result[key]).__name__}); {REMEDY}"
            )
    problems: list[str] = []
    metrics = _metrics(result.get("metrics") or {}, problems)
    categories = list((result.get("by_category") or {}).items())
    by_category = {
        text(name, 120): _metrics(found, [])
        for name, found in categories[:CATEGORIES]
        if isinstance(found, dict)
    }
    settings: dict[str, str] = {}
    for part in PARTS:
        for key, value in _flat(part, result.get(part)):
            if len(settings) < SETTINGS:
                settings[key] = value
    protocol, pictures = result.get("protocol") or {}, result.get("pictures")
    if missing := result.get("missing"):
        count = len(missing) if isinstance(missing, list) else text(missing, 40)
        problems.append(f"result.json: {count} of the pictures that were asked for are missing")
    cell = {
        text(key, 60): finite if (finite := number(value)) is not None else text(value, 60)
        for key, value in list((result.get("cell") or {}).items())[:12]
        if value is not None and not isinstance(value, dict)
    }
    there = number(pictures.get("count")) if isinstance(pictures, dict) else None
    return Evaluated(
        folder=folder,
        name=text(result.get("name") or folder.absolute().name, 120),
        protocol=protocol,
        extractors=result.get("extractors") or {},
        settings=settings,
        metrics=metrics,
        by_category=by_category,
        cell=cell,
        sweep=_sweep(folder) if cell else None,
        fewer=_fewer(number(protocol.get("count")), number(protocol.get("asked")), there),
        cost=_cost(result.get("cost") or {}),
        rows=_rows(folder, problems),
        problems=problems,
    )


def text(value: object, most: int = 300) -> str:
    """One line of text, cut."""
    return printable(" ".join(str(value)[: 2 * most].split()), most)


def one_line(words: object) -> str:
    """For a terminal and a page: no line breaks, nothing that a terminal obeys."""
    return text(words, 400)


def inside(path: Path, folder: Path) -> bool:
    """Whether `path`, all links followed, lies in `folder`."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):
        return False


def regular(file: Path, folder: Path, most: float) -> None:
    """ValueError for what is no file of `folder`: a pipe or device, which reading would wait for, a link that leads out, a size
    beyond `most`."""
    try:
        found = file.stat()
    except OSError as error:
        raise ValueError(f"{file.name}: {error.strerror or error}") from None
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{file.name}: not a file")
    if not inside(file, folder):
        raise ValueError(f"{file.name}: a link that leads out of the folder")
    if found.st_size > most:
        raise ValueError(f"{file.name}: {found.st_size:,} bytes, more than such a file has")


def _said(path: Path) -> str:
    return text(path, 300)


def _object(file: Path) -> dict[str, Any]:
    try:
        regular(file, file.parent, RESULT)
        return read_json(file, REMEDY)
    except ValueError as error:
        told = str(error).replace(str(file), file.name).removesuffix(f"; {REMEDY}")
        raise ValueError(f"{_said(file.parent)}: {told}; {REMEDY}") from None


def _metrics(found: Mapping[str, Any], problems: list[str]) -> dict[str, Metric]:
    kept: dict[str, Metric] = {}
    bad: list[str] = []
    for name, told in found.items():
        if len(kept) == METRICS:
            problems.append(f"result.json: of {len(found):,} metrics the first {METRICS} are shown")
            break
        given = told if isinstance(told, dict) else {"value": told}
        value, ends = number(given.get("value")), given.get("interval")
        low, high = map(number, ends) if isinstance(ends, list) and len(ends) == 2 else (None, None)
        if low is None or high is None or low > high:
            low = high = None
        if value is None:
            bad.append(text(name, 60))
        n = number(given.get("n"))
        note = text(given.get("note") or "", 200) if value is not None else "no finite number"
        kept[text(name, 80)] = Metric(value, low, high, int(n) if n is not None else None, note)
    if bad:
        problems.append(
            f"result.json: {', '.join(bad[:5])}{' ...' if len(bad) > 5 else ''}: no finite number"
        )
    return kept


def _fewer(count: float | None, asked: float | None, there: float | None) -> str:
    """In words, when fewer pictures were asked for, or are there, than make a number of the protocol."""
    known = [n for n in (asked, there) if n is not None]
    if count is None or not known or min(known) >= count:
        return ""
    return f"of {min(known):,.0f} pictures, and not of the protocol's {count:,.0f}"


def _cost(found: Mapping[str, Any]) -> dict[str, Metric | str]:
    return {
        text(key, 60): Metric(finite) if (finite := number(value)) is not None else text(value, 100)
        for key, value in list(found.items())[:20]
        if not isinstance(value, dict | list) and value is not None
    }


def _flat(name: str, value: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and depth < 6:
        for key, part in value.items():
            yield from _flat(f"{name}.{text(key, 60)}", part, depth + 1)
    elif value is not None:
        plain = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)[:1000]
        yield text(name, 200), text(plain, 200)


def _sweep(folder: Path) -> Path | None:
    """The folder whose fronts.json this cell may be in: its parent, or the parent's when the cells have a folder of their own."""
    parents = list(folder.absolute().parents)[:2]
    return next((path for path in parents if (path / "fronts.json").is_file()), None)


def _rows(folder: Path, problems: list[str]) -> list[Row]:
    """The lines of per_prompt.jsonl; those that are damaged are one line of `problems`."""
    file = folder / "per_prompt.jsonl"
    if not file.exists():
        problems.append("no per_prompt.jsonl: nothing is said of single pictures")
        return []
    rows: list[Row] = []
    seen: set[str] = set()
    damaged = 0
    try:
        regular(file, folder, TABLE)
        for line in whole_lines(file):
            row = _row(line)
            if row is None or row.key in seen:
                damaged += 1
            elif len(rows) == ROWS:
                problems.append(f"per_prompt.jsonl: the first {ROWS:,} lines are read")
                break
            else:
                rows.append(row)
                seen.add(row.key)
    except (ValueError, OSError) as error:
        problems.append(str(error))
    if damaged:
        problems.append(
            f"per_prompt.jsonl: {damaged:,} line{'' if damaged == 1 else 's'} damaged and left out"
        )
    return rows


def _row(line: str) -> Row | None:
    try:
        found = json.loads(line)
        prompt, key, seed = found["prompt"], found["key"], number(found.get("seed"))
        scores = found.get("scores") or {}
        if not (isinstance(prompt, str) and isinstance(key, str) and re.fullmatch(r"[\w.-]{1,100}", key)):
            return None
        scores = {text(name, 80): number(value) for name, value in list(scores.items())[:SCORES]}
        whole = int(found["seed"]) if seed is not None and abs(seed) < 2**53 else None
        return Row(text(prompt, PROMPT), text(found.get("category") or "", 120), whole, key, scores)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
