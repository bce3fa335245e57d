"""Whether raters agree with each other and with themselves, and who failed the control questions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import bdtr, stdtrit

from imagen.rating.answers import Answer
from imagen.rating.statistics.tables import scored

Level = Literal["nominal", "ordinal", "interval"]
LEVEL: dict[str, Level] = {"choice": "ordinal", "scale": "interval", "levels": "ordinal", "best": "nominal"}
PASS = 0.8  # of the control questions (the paper, section 4.2)
LEAST = 3  # items and raters (or parts of them), of which an interval of alpha is made
PARTS = 20  # of raters, one of which is left out in turn
CAREFUL = 0.95  # of control questions, that one who takes care answers right
NEAR = 2.0  # points of a scale's 10 within which a control answer is right
CHOICES = {"left": 1.0, "same": 0.0, "right": -1.0}


@dataclass(frozen=True)
class Agreement:
    """Krippendorff's `alpha`: 1 for perfect agreement, 0 for that of chance; with the bounds of 95 % over items and raters. Of
    `items` with two answers at least. None where all answers were alike, which tells nothing; bounds are None where fewer
    than three items or raters, or perfect agreement, tell nothing of them."""

    level: Level
    alpha: float | None
    low: float | None
    high: float | None
    items: int
    answers: int


@dataclass(frozen=True)
class Consistency:
    """Of `items` that one rater saw twice: the share answered the same, the mean distance between both answers (of choices:
    1 between "same" and a side, 2 between sides), and alpha between first and second answers."""

    items: int
    same: float
    distance: float | None
    alpha: float | None


@dataclass(frozen=True)
class Controls:
    """Of the control questions: {rater: share answered right} of those who had any, and who fell below the rule; `each`: how many
    a rater had, the median; `unlucky`: the chance that one who is right in 95 % of so many falls below it."""

    shares: dict[str, float]
    each: float
    unlucky: float
    failed: tuple[str, ...]
    rule: float
    unchecked: tuple[str, ...]


def agreement(
    answers: Sequence[Answer], question: str, random: np.random.Generator, resamples: int = 1000
) -> Agreement:
    """Between raters, on the items of a question (control questions and repeats aside): ordinal for choices and levels,
    interval for scales, nominal for the best. Which side a system was on does not matter."""
    rows = [a for a in scored(answers) if a.question == question]
    level = LEVEL[rows[0].kind] if rows else "nominal"
    units, raters = [row.item for row in rows], [row.rater for row in rows]
    return krippendorff(units, _values(rows), raters, level, random, resamples)


def krippendorff(
    units: Sequence[str],
    values: Sequence[float],
    raters: Sequence[str],
    level: Level,
    random: np.random.Generator,
    resamples: int = 1000,
) -> Agreement:
    """units, values, raters: n answers, what each is of, says, and whose it is. alpha = 1 - observed / expected, with

        o(c, k) = sum over units of n_uc (n_uk - [c = k]) / (m_u - 1),  n_c = sum over k of o(c, k),  n = sum of n_c
        observed = sum o(c, k) d(c, k) / n,  expected = sum n_c (n_k - [c = k]) d(c, k) / (n (n - 1))

    and d by level: [c != k]; (sum of n_g from c to k - (n_c + n_k) / 2)^2; (c - k)^2 (K. Krippendorff 2011, "Computing
    Krippendorff's alpha-reliability"). The interval is of log(1 - alpha), as alpha has no bound below: units drawn with
    repeats, and raters left out in turn (in at most PARTS parts; a rater drawn twice would agree with himself, so they are
    not drawn), both variances added, with Student's t for as few as they are; d as it was."""
    table, kinds = _table(units, values)
    count = len(table), int(table.sum())
    if (alpha := _alpha(table, kinds, level)) is None:
        return Agreement(level, None, None, None, *count)
    apart = _distances(kinds, table.sum(0), level)
    times = random.multinomial(len(table), np.full(len(table), 1 / len(table)), resamples).astype(float)
    who = np.unique(np.array(raters, str), return_inverse=True)[1]
    parts = random.permutation(int(who.max()) + 1)[who] % PARTS
    many = len(np.unique(parts))
    if len(table) < LEAST or many < LEAST or alpha == 1:
        return Agreement(level, alpha, None, None, *count)
    by_unit = _log(_alphas(table, apart, times))
    left = []
    for part in range(many):
        kept = parts != part
        fewer = _table(np.array(units)[kept], np.array(values)[kept], kinds)[0]
        left.append(_alphas(fewer, apart, np.ones((1, len(fewer))))[0] if len(fewer) else np.nan)
    by_rater = _log(np.array(left))
    if (
        min(np.isfinite(by_unit).sum(), np.isfinite(by_rater).sum()) < 2
    ):  # few raters left out: what is left has no alpha
        return Agreement(level, alpha, None, None, *count)
    variances = np.nanvar(by_unit), (many - 1) ** 2 / many * np.nanvar(by_rater, ddof=1)
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / (len(table) - 1) + variances[1] ** 2 / (many - 1))
    reach = stdtrit(max(freedom, 1.0), 0.975) * np.sqrt(sum(variances))
    low, high = (1 - (1 - alpha) * np.exp(way * reach) for way in (1, -1))
    return Agreement(level, alpha, float(low), float(high), *count)


def consistency(answers: Sequence[Answer], question: str) -> Consistency | None:
    """Of the items of a question that a rater saw twice; None where there are none."""
    found: dict[tuple[str, str], dict[int, Answer]] = {}
    for answer in answers:
        if answer.question == question and answer.control is None and answer.repeat in (0, 1):
            found.setdefault((answer.rater, answer.item), {})[answer.repeat] = answer
    twice = [both for both in found.values() if len(both) == 2]
    if not twice:
        return None
    first, second = (_values([both[i] for both in twice]) for i in (0, 1))
    kind = twice[0][0].kind
    units = [str(i) for i in range(len(twice))]
    alpha = _alpha(*_table(units * 2, [*first, *second]), LEVEL[kind])
    apart = np.abs(np.array(first) - np.array(second))
    distance = None if kind == "best" else float(apart.mean())
    return Consistency(len(twice), float((apart == 0).mean()), distance, alpha)


def controls(answers: Iterable[Answer], rule: float = PASS) -> Controls:
    """A rater fails who answers fewer than the share `rule` of the control questions right. Of a scale, right is what lies
    within NEAR points of the known value. Who had no control questions is unchecked, and does not fail."""
    right: dict[str, list[bool]] = {}
    for answer in answers:
        marks = right.setdefault(answer.rater, [])
        if answer.control is not None:
            marks.append(_right(answer))
    shares = {rater: sum(marks) / len(marks) for rater, marks in sorted(right.items()) if marks}
    failed = tuple(rater for rater, share in shares.items() if share < rule)
    each = float(np.median([len(marks) for marks in right.values() if marks])) if shares else 0.0
    unlucky = float(bdtr(np.ceil(rule * round(each)) - 1, round(each), CAREFUL)) if shares else 0.0
    return Controls(
        shares,
        each,
        unlucky,
        failed,
        rule,
        tuple(sorted(rater for rater, marks in right.items() if not marks)),
    )


def _right(answer: Answer) -> bool:
    if answer.kind == "scale" and answer.control is not None:
        return abs(float(answer.value) - float(answer.control)) <= NEAR
    return answer.value == answer.control


def _values(rows: Sequence[Answer]) -> list[float]:
    """Of each answer a number: of a choice for the systems in ascending order, of the best which picture's system."""
    systems = {name: i for i, name in enumerate(sorted({name for row in rows for name in row.shown}))}
    found = []
    for row in rows:
        if row.kind == "choice":
            found.append(CHOICES[str(row.value)] * (1 if row.shown[0] <= row.shown[1] else -1))
        elif row.kind == "best":
            found.append(float(systems[row.shown[int(row.value)]]))
        else:
            found.append(float(row.value))
    return found


def _log(alphas: np.ndarray) -> np.ndarray:
    """log(1 - alpha), with nan for perfect agreement."""
    return np.log(np.where(alphas < 1, 1 - alphas, np.nan))


def _table(
    units: Sequence[str] | np.ndarray, values: Sequence[float] | np.ndarray, known: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(units, kinds): how often each value was given to each unit that has two or more; and the values, ascending (`known`,
    where some of them may not be among these)."""
    names, unit = np.unique(np.array(units, str), return_inverse=True)
    kinds = np.unique(np.array(values, float)) if known is None else known
    value = np.searchsorted(kinds, np.array(values, float))
    table = np.zeros((len(names), len(kinds)))
    np.add.at(table, (unit, value), 1)
    return table[table.sum(1) > 1], kinds


def _alpha(table: np.ndarray, kinds: np.ndarray, level: Level) -> float | None:
    if not len(table):
        return None
    found = float(_alphas(table, _distances(kinds, table.sum(0), level), np.ones((1, len(table))))[0])
    return None if np.isnan(found) else found


def _alphas(table: np.ndarray, apart: np.ndarray, times: np.ndarray) -> np.ndarray:
    """times (r, units), how often each unit counts -> (r,); nan where all answers are alike."""
    within = ((table @ apart) * table).sum(1) / (table.sum(1) - 1)
    marginal = times @ table
    expected = ((marginal @ apart) * marginal).sum(1) / (marginal.sum(1) - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, 1 - times @ within / expected, np.nan)


def _distances(kinds: np.ndarray, total: np.ndarray, level: Level) -> np.ndarray:
    """(values, values): squared."""
    if level == "nominal":
        return 1 - np.eye(len(kinds))
    if level == "interval":
        return (kinds[:, None] - kinds) ** 2
    middle = np.cumsum(total) - total / 2
    return (middle[:, None] - middle) ** 2
