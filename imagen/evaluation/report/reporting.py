"""Folders of evaluations -> a report: read, matched, their pictures made small, one file written."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imagen.evaluation.report.matching import chosen, matched
from imagen.evaluation.report.page import page
from imagen.evaluation.report.read import Evaluated, expanded, one_line, read_evaluation
from imagen.evaluation.report.thumbnails import thumbnails
from imagen.evaluation.report.weighted import read_difficulties, weighted_part
from imagen.files import write_text
from imagen.progress import bar

ROOM = 20_000_000  # bytes of all thumbnails, as far as their least quality allows
LEAST, MOST = 1500, 24_000  # bytes of one
STAGED = 200  # pictures with those of their earlier stages


@dataclass(frozen=True)
class Report:
    """What was written, and a line for each part that could not be read."""

    evaluations: int
    pictures: int
    problems: list[str]


def write_report(
    folders: Sequence[Path], out: Path, pictures: int, side: int, difficulty: Path | None = None
) -> Report:
    """The page of the evaluations in `folders`, or of the cells of sweeps that they are, with at most `pictures` pictures, whose
    long sides are at most `side`. `difficulty`: a suite with difficulties, by which scores are weighted as well. `out` is the
    old file until the new one is whole. ValueError for a folder that is none, and a suite that cannot weigh."""
    known = None if difficulty is None else read_difficulties(difficulty)
    systems, problems = read_all(folders)
    match = matched(made.rows for made in systems)
    hard, amiss = weighted_part(match, [made.name for made in systems], known) if known else ("", [])
    problems += amiss
    pairs = chosen(match, pictures)
    wanted = [{rows[pair].key: pair.prompt for pair in pairs if pair in rows} for rows in match.of]
    count = sum(map(len, wanted))
    most = max(LEAST, min(MOST, ROOM // max(1, count)))
    found = []
    with bar(total=count, desc="thumbnails", unit=" pictures", leave=False) as shown:
        for made, prompts in zip(systems, wanted):
            small, wrong = thumbnails(made.folder, prompts, side, most, STAGED // len(systems), shown.update)
            found.append(small)
            problems += [one_line(f"{made.name}: {problem}") for problem in wrong]
    whole = page(systems, match, pairs, found, problems, hard)
    try:
        write_text(out, whole)
    except OSError as error:
        raise ValueError(
            f"out={out}: {error.strerror or error}; make room or give another out=; what was there is as it was"
        ) from None
    return Report(len(systems), sum(map(len, found)), problems)


def read_all(folders: Sequence[Path]) -> tuple[list[Evaluated], list[str]]:
    """The evaluations, with names that differ, and a line for each part that could not be read."""
    problems: list[str] = []
    paths: dict[Path, Path] = {}
    for folder in folders:
        cells, wrong = expanded(folder)
        problems += wrong
        for cell in cells:
            if cell.resolve() in paths:
                problems.append(one_line(f"{cell}: given twice, shown once"))
            paths.setdefault(cell.resolve(), cell)
    systems = [read_evaluation(path) for path in paths.values()]
    for rename in (_of_folder, _of_sweep, _of_place):
        times = Counter(made.name for made in systems)
        for i, made in enumerate(systems):
            if times[made.name] > 1:
                made.name = rename(made, i)
    for made in systems:
        problems += [one_line(f"{made.name}: {problem}") for problem in made.problems]
    return systems, problems


def _of_folder(made: Evaluated, number: int) -> str:
    return one_line(made.folder.absolute().name)[:120]


def _of_place(made: Evaluated, number: int) -> str:
    return f"{made.name} ({number + 1})"


def _of_sweep(made: Evaluated, number: int) -> str:
    folder = made.folder.absolute()
    where = made.sweep or (folder.parent.parent if folder.parent.name == "cells" else folder.parent)
    return one_line(f"{Path(where).name}: {made.name}")[:120]
