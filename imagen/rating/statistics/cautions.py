"""Which intervals are not to be believed as they stand: of too few raters or prompts, of one side, of categories of a few."""

from collections.abc import Iterator, Mapping

import numpy as np

from imagen.rating.statistics.claims import counted
from imagen.rating.statistics.preference import compared
from imagen.rating.statistics.tables import Pairs, Scores

FEW = 5
"""Raters or prompts, below which 95 % intervals cover less than that. Of 400 simulated studies each, with 3 to 60 of the other
kind and tastes (prompts) that differ by 0.3 to 1 logit, the fewest that covered the truth:"""
COVERED = {1: 32, 2: 87, 3: 92, 4: 92}  # %
SIDED = 0.1  # from a half, beyond which a system stood on one side too often, of at least ENOUGH choices
ENOUGH = 50


def cautions(choices: Mapping[str, Pairs], values: Mapping[str, Scores]) -> list[str]:
    """Sentences, none where all is well. choices, values: {question: table}."""
    found: list[str] = []
    for name, table in choices.items():
        for a, b in compared(table):
            rows, of = table.between(a, b), f"{name}, {a} against {b}"
            found += _few(rows, of)
            found += _categories(rows, of)
            left = float((rows.left == rows.systems.index(a)).mean())
            if abs(left - 0.5) > SIDED and len(rows) >= ENOUGH:
                found.append(
                    f"{of}: {a} stood on the left in {100 * left:.0f} % of {len(rows)} judgements, so what raters prefer of a side is "
                    "in its share; Bradley-Terry takes it out."
                )
    for name, table in values.items():
        if table.systems:
            found += _few(table, name)
    return found


def effective(groups: np.ndarray) -> float:
    """How many groups of one size tell as much of what groups have alike: 1 / sum of squared shares of answers."""
    shares = np.unique(groups, return_counts=True)[1] / len(groups)
    return float(1 / (shares**2).sum())


def _few(rows: Pairs | Scores, of: str) -> Iterator[str]:
    for kind, groups in (("rater", rows.raters), ("prompt", rows.prompts)):
        count, like = int(np.unique(groups).size), effective(groups)
        if round(like) >= FEW:
            continue
        if count == 1:
            yield f"{of}: one {kind} alone. The interval is of that {kind}; of others, it covered the truth in as few as {COVERED[1]} % of simulated studies."
            continue
        uneven = "" if count - like < 0.5 else f", who are so uneven that they tell as much as {like:.1f},"
        yield (
            f"{of}: {counted(count, kind)}{uneven.replace('who', 'which') if kind == 'prompt' else uneven} are too few: intervals "
            f"of 95 % covered the truth in as few as {COVERED[max(1, round(like))]} % of simulated studies with so few."
        )


def _categories(rows: Pairs, of: str) -> Iterator[str]:
    names = sorted(set(rows.categories) - {""})
    few = []
    for name in names:
        own = rows.only(rows.categories == name)
        if min(round(effective(groups)) for groups in (own.raters, own.prompts)) < FEW:
            few.append(name)
    if few:
        yield (
            f"{of}: {len(few)} of {counted(len(names), 'category').replace('categorys', 'categories')} have fewer than {FEW} raters or "
            f"prompts ({', '.join(few)}): their intervals are not to be believed."
        )
