"""What `results` found, as tables for other programs: csv, a row for each number with its interval."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

BOUNDS = ("value", "low", "high", "answers", "raters", "prompts")
PREFERENCES = ("question", "a", "b", "category", "measure", *BOUNDS, "p", "p_holm")
SCORES = ("question", "kind", "system", "category", *BOUNDS)
SHARES = ("share", "wins", "same", "losses", "decided")


def sheets(found: Mapping[str, Any]) -> dict[str, str]:
    """{file name: csv} of what there is. Category "" is all of them. preferences.csv: `share` of a where "same" counts half,
    `wins` of a, `same`, `losses`, `decided` (of a among those who chose); p is of the share, and p_holm that of a category
    among the categories of its question. scores.csv: the means."""
    made = {
        "preferences.csv": (PREFERENCES, list(_preferences(found))),
        "scores.csv": (SCORES, list(_scores(found))),
    }
    return {name: _csv(head, rows) for name, (head, rows) in made.items() if rows}


def _preferences(found: Mapping[str, Any]) -> Iterator[list[Any]]:
    for one in found["preferences"]:
        every = {"": {**one, "adjusted": ""}, **one["categories"]}
        for category, of in every.items():
            for measure in SHARES:
                if of[measure] is not None:
                    ps = [of["p"], of["adjusted"]] if measure == "share" else ["", ""]
                    yield [one["question"], one["a"], one["b"], category, measure, *_bounds(of[measure]), *ps]


def _scores(found: Mapping[str, Any]) -> Iterator[list[Any]]:
    for question, one in found["scores"].items():
        for category, means in {"": one["means"], **one["categories"]}.items():
            for system, mean in means.items():
                yield [question, one["kind"], system, category, *_bounds(mean)]


def _bounds(one: Mapping[str, Any]) -> list[Any]:
    return [one[key] for key in BOUNDS]


def _csv(head: tuple[str, ...], rows: list[list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()
