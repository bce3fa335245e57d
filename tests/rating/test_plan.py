"""Who sees what, by counting: over raters all is shown equally often, and no rater sees an item twice but for a repeat."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest

from imagen.rating.study.plan import Entry, Plans, entry_of
from imagen.rating.study.study import Control, Study

from .conftest import invented

THREE = {"alpha": "a", "beta": "b", "gamma": "c"}


def spread(counts: Counter, over: Iterable) -> int:
    """The largest count less the smallest, of all that could be counted."""
    every = [counts[key] for key in over]
    return max(every) - min(every)


@pytest.mark.parametrize(
    ("prompts", "items", "systems", "exact"),
    [
        (12, 5, 2, True),
        (30, 7, 3, True),
        (31, 10, 3, True),
        (6, 6, 3, True),
        (5, 10, 3, False),
        (4, 12, 3, True),
        (7, 7, 2, True),
    ],
)
def test_shown_equally_often(prompts: int, items: int, systems: int, exact: bool) -> None:
    names = dict(list(THREE.items())[:systems])
    study = invented(prompts, systems=names, session={"items": items})
    plans = Plans(study)
    shown, asked, pairs, sides = Counter(), Counter(), Counter(), Counter()
    every = [(p, b) for p in range(prompts) for b in range(len(study.blocks))]
    for number in range(60):
        session = plans.session(number)
        assert len({(e.prompt, e.block) for e in session}) == len(session) == min(items, len(every))
        if items <= prompts:
            assert len({e.prompt for e in session}) == items, "no prompt twice where there are enough"
        for entry in session:
            shown[entry.prompt, entry.block] += 1
            asked[entry.prompt] += 1
            pairs[entry.block] += 1
            sides[entry.prompt, entry.block, entry.order] += 1
        assert spread(shown, every) <= 1
        assert spread(pairs, range(len(study.blocks))) <= (1 if exact else 2)
        assert spread(asked, range(prompts)) <= (2 if exact else 3)
        for p, b in every:
            assert abs(sides[p, b, (0, 1)] - sides[p, b, (1, 0)]) <= 1
    left = sum(count for (_, _, order), count in sides.items() if order == (0, 1))
    assert abs(2 * left - sum(sides.values())) <= len(every)


def test_sides_are_equal_within_a_session_of_the_first_deck() -> None:
    plans = Plans(invented(200, session={"items": 20}))
    for number in range(10):
        assert Counter(e.order for e in plans.session(number)) == {(0, 1): 10, (1, 0): 10}


def test_a_plan_is_of_its_seed_and_number_alone() -> None:
    study = invented(20, 2, session={"items": 5, "category": "one", "repeats": 1})
    first = [Plans(study).session(number) for number in (7, 3, 0)]
    plans = Plans(study)
    assert [plans.session(number) for number in (7, 3, 0)] == first
    assert [entry_of(entry.plain()) for entry in first[0]] == first[0]
    other = replace(study, design=replace(study.design, seed=4))
    assert [Plans(other).session(number) for number in (7, 3, 0)] != first


def test_a_session_of_one_category() -> None:
    study = invented(22, 11, session={"items": 8, "category": "one"})
    plans, met = Plans(study), Counter()
    for number in range(33):
        session = plans.session(number)
        (category,) = {study.prompts[e.prompt].category for e in session}
        assert len(session) == 2
        met[category] += 1
    assert set(met.values()) == {3}


def test_repeats_come_late_and_turned() -> None:
    plans = Plans(invented(30, session={"items": 20, "repeats": 3}))
    for number in range(20):
        session = plans.session(number)
        again = [(place, entry) for place, entry in enumerate(session) if entry.repeat]
        assert len(again) == 3
        for place, entry in again:
            first = next(
                n
                for n, e in enumerate(session)
                if (e.prompt, e.block, e.repeat) == (entry.prompt, entry.block, 0)
            )
            assert place - first >= 10
            assert entry.order == session[first].order[::-1]


def test_control_items_stand_anywhere() -> None:
    study = invented(12, session={"items": 6, "controls": 2})
    names = study.prompts[0].pictures[0]
    study = replace(study, controls=tuple(Control(n, 0, "other", (names, names), 0) for n in range(5)))
    plans, places, used = Plans(study), Counter(), Counter()
    for number in range(100):
        session = plans.session(number)
        found = [entry for entry in session if entry.control is not None]
        assert len({entry.control for entry in found}) == 2
        places.update(place for place, entry in enumerate(session) if entry.control is not None)
        used.update(entry.control for entry in found)
        assert all(entry.item(study).control for entry in found)
    assert set(places) == set(range(8))
    assert spread(used, range(5)) <= 1


def test_the_best_of_some_in_any_order() -> None:
    best = [{"key": "best", "text": "Which?", "kind": "best"}]
    study = invented(
        10, systems=THREE, questions=best, show={"systems": 3, "pictures": 2}, session={"items": 10}
    )
    plans, places = Plans(study), Counter()
    for number in range(6):
        for entry in plans.session(number):
            assert sorted(entry.order) == list(range(6))
            places.update((entry.item(study).systems[place], at) for at, place in enumerate(entry.order))
    assert set(places.values()) == {20}, "every system stands in every place equally often"


def test_with_the_reference_alone() -> None:
    study: Study = invented(5, systems=THREE, real="r", show={"systems": 2, "pictures": 1, "against": "real"})
    assert [tuple(study.design.names[s] for s in block) for block in study.blocks] == [
        ("alpha", "real"),
        ("beta", "real"),
        ("gamma", "real"),
    ]
    ids = {study.item(p, b).id for p in range(5) for b in range(3)}
    assert len(ids) == 15
    assert Entry(0, 1, (0, 1)).item(study).systems == (1, 3)
