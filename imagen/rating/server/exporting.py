"""The database -> answers as the statistics read them, and all that is kept of one rater."""

from collections.abc import Iterator, Mapping
from typing import Any

from imagen.rating.answers import Answer
from imagen.rating.server.store import Store, name_of, number_of
from imagen.rating.study.design import Question
from imagen.rating.study.plan import Entry, entry_of
from imagen.rating.study.study import Item, Study, opaque


def answers_of(store: Store) -> list[Answer]:
    """Every answer that was not undone, an entry's questions one by one, raters in the order of their numbers."""
    rows = store.answers()  # before the sessions: raters begin meanwhile
    sessions = {row["number"]: [entry_of(entry) for entry in row["session"] or ()] for row in store.raters()}
    return [
        answer
        for row in rows
        if sessions[row["rater"]]  # else erased meanwhile
        for answer in _of_entry(store.study, sessions[row["rater"]][row["entry"]], row)
    ]


def kept_of(store: Store, rater: str) -> dict[str, Any]:
    """All that is kept of one rater, as JSON. ValueError for one who is not there."""
    number = number_of(rater)
    rows = [dict(row) for row in store.raters() if row["number"] == number]
    if not rows:
        raise ValueError(f"rater={rater}: no such rater; export says who is there")
    answers = [dict(row) for row in store.answers(undone=True) if row["rater"] == number]
    return {"rater": rater, **rows[0], "answers": answers}


def _of_entry(study: Study, entry: Entry, row: Mapping[str, Any]) -> Iterator[Answer]:
    item, names = entry.item(study), study.design.names
    shown = [names[item.systems[place]] for place in entry.order]
    for question in study.questions(entry.prompt):
        for field, place in fields(question, len(shown)):
            if field not in row["values"]:
                continue
            known = right(question, item, entry, place)
            if item.control is not None and known is None:
                continue  # of pictures that are no system's: there is no right answer, and it is part of no score
            # of two sets each has an id of its own, whichever side it stood on
            of = (
                item.id
                if place is None or len(shown) == 1
                else opaque(study.key, item.id, entry.order[place])
            )
            systems = [] if question.of == "prompt" else shown if place is None else [shown[place]]
            yield Answer(
                rater=name_of(row["rater"]),
                item=of,
                prompt=study.prompts[entry.prompt].text,
                category=study.prompts[entry.prompt].category,
                question=question.key,
                kind=question.kind,  # pyright: ignore[reportArgumentType]
                value=row["values"][field],
                shown=tuple(systems),
                seconds=row["seconds"],
                at=row["at"],
                order=row["entry"],
                repeat=entry.repeat,
                control=known,
            )


def fields(question: Question, sets: int) -> list[tuple[str, int | None]]:
    """What a page asks for one question: the name of each field, and the place of the set that it is of, from the left."""
    if question.kind in ("scale", "levels") and question.of == "shown":
        return [
            (question.key if sets == 1 else f"{question.key}.{'ab'[place]}", place) for place in range(sets)
        ]
    return [(question.key, None)]


def right(question: Question, item: Item, entry: Entry, place: int | None) -> str | float | None:
    """The right value of a control item's question; None where there is none. `place`: of the set, where it is of one."""
    control = item.control
    if control is None or question.control != control.kind:
        return None
    good = None if control.good is None else entry.order.index(control.good)
    if question.kind == "choice":
        return None if good is None else ("left", "right")[good]
    if question.kind == "best":
        return good
    return None if place == good else 0
