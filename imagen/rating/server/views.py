"""What a rater's page shows of an entry, without a system's name or a path: plain values for the templates and for JSON."""

import secrets
from collections.abc import Mapping
from typing import Any

from imagen.rating.answers import LEVELS, TOP
from imagen.rating.server.exporting import fields
from imagen.rating.server.store import Rater
from imagen.rating.study.plan import Entry
from imagen.rating.study.study import Study

LETTERS = "AB"


def shown(study: Study, rater: Rater) -> dict[str, Any]:
    """The current entry of a rater who has one: its order, prompt, sets of pictures, questions; `next`: the pictures of the one
    after it; `key`: new for each page, by which the same answer sent again is known."""
    entry = rater.entries[rater.current]
    sets = _sets(study, entry)
    single = all(len(names) == 1 for names in sets)
    labels = [str(n + 1) for n in range(len(sets))] if study.design.best else list(LETTERS[: len(sets)])
    after = rater.entries[rater.current + 1 : rater.current + 2]
    return {
        "order": rater.current,
        "of": len(rater.entries),
        "key": secrets.token_urlsafe(12),
        "prompt": study.prompts[entry.prompt].text,
        "sets": [{"label": label, "pictures": names} for label, names in zip(labels, sets)],
        "single": single,
        "best": study.design.best,
        "questions": [
            {
                "key": question.key,
                "text": question.text,
                "kind": question.kind,
                "anchors": list(question.anchors or ()),
                "fields": [
                    {"name": name, "label": "" if place is None or len(sets) == 1 else labels[place]}
                    for name, place in fields(question, len(sets))
                ],
                "options": _options(question.kind, labels),
            }
            for question in study.questions(entry.prompt)
        ],
        "next": [name for one in after for names in _sets(study, one) for name in names],
    }


def pause(study: Study, rater: Rater) -> bool:
    """Whether there is a break before the current entry."""
    every = study.design.session.break_every
    at = rater.current
    return bool(every and at and at % every == 0 and rater.rested < at < len(rater.entries))


def checked(study: Study, entry: Entry, given: Mapping[str, Any]) -> dict[str, Any]:
    """Field -> value of all that an entry asks. ValueError naming what is missing, foreign or no answer."""
    sets = len(entry.order)
    wanted = {name: q for q in study.questions(entry.prompt) for name, _ in fields(q, sets)}
    if missing := [name for name in wanted if given.get(name) in (None, "")]:
        raise ValueError(f"{missing[0]}: is not answered yet")
    if len(given) > len(wanted):
        raise ValueError("there are more answers than questions")
    return {name: question.value(given[name], sets) for name, question in wanted.items()}


def _sets(study: Study, entry: Entry) -> list[list[str]]:
    sets = entry.item(study).sets
    return [list(sets[place]) for place in entry.order]


def _options(kind: str, labels: list[str]) -> list[dict[str, Any]]:
    if kind == "choice":
        pairs = [("left", labels[0]), ("same", "No difference"), ("right", labels[1])]
    elif kind == "levels":
        pairs = list(zip(LEVELS, ("No", "Somewhat", "Yes")))
    elif kind == "best":
        pairs = [(place, label) for place, label in enumerate(labels)]
    else:
        return [{"value": TOP, "label": ""}]
    return [{"value": value, "label": label} for value, label in pairs]
