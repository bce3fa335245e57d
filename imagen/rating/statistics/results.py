"""All that a study's answers say, as one object of plain JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit

from imagen.rating.answers import Answer
from imagen.rating.statistics.agreement import Controls, agreement, consistency, controls
from imagen.rating.statistics.bradley_terry import strengths
from imagen.rating.statistics.cautions import cautions, effective
from imagen.rating.statistics.claims import Claim, dropped, preferred, scored_higher, shown
from imagen.rating.statistics.correction import corrected
from imagen.rating.statistics.difficulty import item_response, told, weighted_preference, weighted_scores
from imagen.rating.statistics.power import Parts, parts, power
from imagen.rating.statistics.preference import (
    by_category,
    compared,
    differences,
    for_purpose,
    mean_scores,
    preference,
)
from imagen.rating.statistics.tables import Pairs, Scores, pairs, questions, scored, scores

DIFFICULTY = "difficulty"
"""The question by which raters judge the prompt, not a picture."""
UNITS = {"scale": "points of 10", "levels": "points of 100", "best": "of the choices"}


def results(
    answers: Sequence[Answer],
    seed: int = 0,
    resamples: int = 1000,
    purposes: Mapping[str, Mapping[str, float]] | None = None,
    half_width: float = 0.03,
) -> dict[str, Any]:
    """{part: what it says}, plain JSON throughout; `summary` says it in words.

    The same answers and seed give the same numbers, and a question's do not depend on what else was asked. purposes: {name
    of an application: {question: weight}}; half_width: that of the interval of a share which `power` is asked for.

    raters, prompts, answers, questions   how much there is: of each question its kind, answers, and seconds (median)
    controls      shares right, who failed the 80 % rule; nothing is deleted: `without_failed` stands beside preferences and mean
                  scores, and each claim says what becomes of it without them
    preferences   a list, of each question and pair of systems
    bradley_terry {question: strengths, side, tie}, or why not
    scores        {question: means, differences, by difficulty}
    purposes      {name: {weights, best: a system shown to be above each other, or None; pairs: [{a, b, share}]}}
    difficulty    {"told": {prompt: 0 to 1}} by the raters, {"answered": {question: {prompt: logits}}} by item response
    agreement, consistency   {question: ...}
    cautions      a list of sentences: which intervals are of too few raters or prompts to be believed
    claims        a list of sentences, whether they hold, what would overturn them, p, and p by Holm for all of them

    ValueError: no answers that count, a question of two kinds, weights of a purpose without choices."""
    kinds = questions(answers)
    rows = scored(answers)
    if not rows:
        raise ValueError(f"{len(answers)} answers, none of which is part of a score; collect some first")
    checked = controls(answers)
    sound = [row for row in rows if row.rater not in checked.failed] if checked.failed else None
    tables = {name: pairs(rows, name) for name, kind in kinds.items() if kind == "choice"}
    values = {name: scores(rows, name) for name, kind in kinds.items() if kind != "choice"}

    def random(*names: str) -> np.random.Generator:
        return np.random.default_rng([seed, *"\n".join(names).encode()])

    hard: dict[str, Any] = {"told": {}, "answered": {}}
    if DIFFICULTY in values and len(values[DIFFICULTY]):
        hard["told"] = told(values[DIFFICULTY])
    found_scores = {}
    for name, table in values.items():
        if not table.systems:
            continue
        one = _scores(table, kinds[name], hard, name, random, resamples)
        if sound is not None:
            left = scores(sound, name)
            one["without_failed"] = mean_scores(left, random("without", name), resamples)
        found_scores[name] = one
    answered = {k: float(expit(v)) for d in list(hard["answered"].values())[:1] for k, v in d.items()}
    weights = {"told": hard["told"], "answered": answered}
    preferences, models = [], {}
    claims: list[Claim] = []
    for name, table in tables.items():
        left = pairs(sound, name) if sound is not None else None
        for a, b in compared(table):
            one, claim = _preference(table, left, a, b, name, checked, weights, half_width, random, resamples)
            preferences.append(one)
            claims.append(claim)
        try:
            models[name] = strengths(table, random("strengths", name), resamples)
        except ValueError as error:
            models[name] = {"left_out": str(error)}
    for name in found_scores:
        left = scores(sound, name) if sound is not None else None
        apart_without = differences(left, random("without", name), resamples) if left is not None else []
        known = {(one.a, one.b): one for one in apart_without}
        for apart in differences(values[name], random("differences", name), resamples):
            without = known.get((apart.a, apart.b))
            claims.append(scored_higher(apart, name, UNITS[kinds[name]], without, len(checked.failed)))
    together = corrected({str(number): claim.p for number, claim in enumerate(claims)})
    all_of_it = {
        "seed": seed,
        "resamples": resamples,
        "raters": len({row.rater for row in rows}),
        "prompts": len({row.prompt for row in rows}),
        "answers": len(rows),
        "questions": {name: _asked(rows, name, kind) for name, kind in kinds.items()},
        "controls": checked,
        "preferences": preferences,
        "bradley_terry": models,
        "scores": found_scores,
        "purposes": {
            name: _purpose(tables, weight, name, random, resamples)
            for name, weight in (purposes or {}).items()
        },
        "difficulty": hard,
        "agreement": {name: agreement(rows, name, random("agreement", name), resamples) for name in kinds},
        "consistency": {name: twice for name in kinds if (twice := consistency(answers, name))},
        "cautions": cautions(tables, values),
        "claims": [replace(one, adjusted=p.adjusted) for one, p in zip(claims, together.values())],
    }
    return _json(all_of_it)


def _preference(
    table: Pairs,
    left: Pairs | None,
    a: str,
    b: str,
    question: str,
    checked: Controls,
    weights: Mapping[str, Mapping[str, float]],
    half_width: float,
    random: Any,
    resamples: int,
) -> tuple[dict[str, Any], Claim]:
    """left: the choices of those who did not fail the control questions, None where nobody did."""
    found = preference(table, a, b, random("share", question, a, b), resamples)
    named = by_category(table, a, b, random("categories", question, a, b), resamples)
    held = corrected({name: one.share.p_value(0.5) for name, one in named.items()})
    without = None
    if left is not None and (a, b) in compared(left):
        without = preference(left, a, b, random("without", question, a, b), resamples)
    rows = table.between(a, b)
    won = rows.for_system(a)
    few = dropped(won, rows.raters, rows.prompts, found.share)
    # one rater or prompt (or hardly a second), or answers all alike, tell nothing of a spread
    fewest = min(round(effective(who)) for who in (rows.raters, rows.prompts))
    told_apart = fewest > 1 and found.share.error > 0
    known: Parts | None = parts(won, rows.raters, rows.prompts) if told_apart else None
    claim = preferred(
        found, question, few, known, without.share if without else None, len(checked.failed), held
    )
    return {
        "question": question,
        **asdict(found),
        "p": found.share.p_value(0.5),
        "categories": {name: asdict(one) | asdict(held[name]) for name, one in named.items()},
        "without_failed": without,
        "by_difficulty": {
            by: weighted_preference(table, a, b, hard, random(by, question, a, b), resamples)
            for by, hard in weights.items()
            if hard
        },
        "shown": claim.holds,
        "dropped": few if claim.holds else None,
        "parts": known,
        "power": power(known, half_width) if known else None,
    }, claim


def _scores(
    table: Scores, kind: str, hard: dict[str, Any], name: str, random: Any, resamples: int
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "kind": kind,
        "means": mean_scores(table, random("means", name), resamples),
        "categories": {
            category: mean_scores(table.only(table.categories == category), random(category, name), resamples)
            for category in sorted(set(table.categories) - {""})
        },
        "differences": differences(table, random("differences", name), resamples),
        "without_failed": None,
        "by_told_difficulty": weighted_scores(table, hard["told"], random("told", name), resamples),
        "item_response": None,
    }
    if kind != "best":  # whose scores of a prompt add up to 1
        try:
            fitted = item_response(table, random("response", name), resamples)
        except ValueError as error:
            found["item_response"] = {"left_out": str(error)}
        else:
            hard["answered"][name] = fitted.difficulties
            found["item_response"] = {
                "spread": fitted.spread,
                "abilities": fitted.abilities,
                "weighted": fitted.weighted,
                "differences": fitted.differences,
                "alike": fitted.alike,
            }
    return found


def _purpose(
    tables: Mapping[str, Pairs], weights: Mapping[str, float], name: str, random: Any, resamples: int
) -> dict[str, Any]:
    """Of every two systems that all questions with a weight compare; "best": the system shown to be above each other."""
    missing = [question for question in weights if question not in tables]
    if missing or not weights:
        raise ValueError(
            f"purpose {name!r}: {', '.join(missing) or 'nothing'} is no question of choices; weigh those"
        )
    together = set.intersection(*(set(compared(tables[question])) for question in weights))
    shares = {
        (a, b): for_purpose(tables, weights, a, b, random("purpose", name, a, b), resamples)
        for a, b in sorted(together)
    }
    systems = {system for pair in shares for system in pair}
    beaten = {(a, b) if share.low > 0.5 else (b, a) for (a, b), share in shares.items() if shown(share, 0.5)}
    best = [
        one for one in systems if {other for other in systems if (one, other) in beaten} == systems - {one}
    ]
    return {
        "weights": dict(weights),
        "best": best[0] if best else None,
        "pairs": [{"a": a, "b": b, "share": share} for (a, b), share in shares.items()],
    }


def _asked(rows: Sequence[Answer], name: str, kind: str) -> dict[str, Any]:
    seconds = [row.seconds for row in rows if row.question == name]
    return {"kind": kind, "answers": len(seconds), "seconds": float(np.median(seconds)) if seconds else None}


def _json(found: Any) -> Any:
    """Dataclasses as objects, tuples as lists."""
    if is_dataclass(found) and not isinstance(found, type):
        found = asdict(found)
    if isinstance(found, dict):
        return {name: _json(one) for name, one in found.items()}
    return [_json(one) for one in found] if isinstance(found, list | tuple) else found
