"""Scores in which hard prompts count more, and abilities, by difficulties that `imagen-suite difficulty` estimated."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from imagen.evaluation.report.matching import Matched, Pair, score_names
from imagen.evaluation.report.numbers import Cell, escaped, table
from imagen.evaluation.report.read import PROMPT, Row, text
from imagen.evaluation.suites.difficulty import ability, weighted
from imagen.evaluation.suites.sizes import Z, wilson
from imagen.evaluation.suites.suite import read_suite

SCORED = 16  # scores that are weighted


class Difficulties(NamedTuple):
    """Of prompts, in logits, from the file `path`; `told`: how they were estimated, for people; `score`: by which one, "" when that is not said."""

    path: Path
    name: str
    of: dict[str, float]
    told: str
    score: str


class Sure(NamedTuple):
    """A number of `n` prompts and its interval of 95 %."""

    value: float
    low: float
    high: float
    n: int


class Weighted(NamedTuple):
    """The plain mean of a score, the one in which hard prompts count more, and the ability in logits, over the `n` prompts whose
    difficulty is known, with intervals of 95 %."""

    plain: Sure
    weighted: Sure
    ability: Sure


def read_difficulties(path: Path) -> Difficulties:
    """Of a suite's file. ValueError in one line when it is none, or has no difficulties."""
    try:
        suite = read_suite(path)
    except ValueError as error:
        raise ValueError(f"difficulty={error}") from None
    known = {text(p.prompt, PROMPT): p.difficulty for p in suite.prompts if p.difficulty is not None}
    if not known:
        raise ValueError(
            f"difficulty={path}: none of its {len(suite.prompts):,} prompts has a difficulty; give what imagen-suite difficulty wrote"
        )
    told, name = suite.card.difficulty, f"{suite.card.name} {suite.card.version}"
    score = re.search(r"\bmetric (\S+?)(;|$)", told)
    return Difficulties(path, text(name, 120), known, text(told, 300), score[1] if score else "")


def weigh(rows: Mapping[Pair, Row], score: str, known: Mapping[str, float]) -> Weighted | None:
    """Of one system, each prompt by its mean over pictures; None when no prompt has both the score and a difficulty."""
    values: dict[str, list[float]] = {}
    for pair, row in rows.items():
        if pair.prompt in known and (value := row.scores.get(score)) is not None:
            values.setdefault(pair.prompt, []).append(value)
    if not values:
        return None
    means = {prompt: sum(found) / len(found) for prompt, found in values.items()}
    weights = [1 / (1 + math.exp(min(-known[prompt], 700))) for prompt in means]
    mean, error = weighted(means, known)
    alike = sum(weights) ** 2 / sum(weight**2 for weight in weights)  # prompts of the same weight
    plain = sum(means.values()) / len(means)
    able, unsure = ability(means, known)
    return Weighted(
        Sure(plain, *_share(plain, len(means)), len(means)),
        Sure(mean, *_share(mean, mean * (1 - mean) / error**2 if error > 1e-9 else alike), len(means)),
        Sure(able, able - Z * unsure, able + Z * unsure, len(means)),
    )


def weighted_part(match: Matched, names: Sequence[str], found: Difficulties) -> tuple[str, list[str]]:
    """HTML, and a line for what is amiss, such as prompts without a difficulty. ValueError when no prompt has one."""
    binary = [name for name in score_names(match) if _binary(match, name)]
    binary.sort(key=lambda name: name != found.score)  # the one that the difficulties are of before others
    asked = {pair.prompt for pair in match.pairs}
    lost = len(asked - found.of.keys())
    if lost == len(asked):
        raise ValueError(
            f"difficulty={found.path}: has none of the {len(asked):,} prompts of the evaluations; give the suite that they are of"
        )
    problems = [f"difficulty: {lost:,} of {len(asked):,} prompts have none in {found.name}"] if lost else []
    if not binary:
        return "", [
            *problems,
            "difficulty: no score of single pictures is 0 or 1 throughout, so none is weighted",
        ]
    parts = []
    for i, name in enumerate(binary[:SCORED]):
        able = found.score in ("", name)  # of another score the prompts are hard otherwise
        rows: list[list[str | Cell]] = [["system", "mean", "weighted", *(["ability"] if able else [])]]
        for of, system in zip(match.of, names):
            if known := weigh(of, name, found.of):
                cells = [_cell(known.plain), _cell(known.weighted), *([_able(known)] if able else [])]
                rows.append([system, *cells])
        if len(rows) > 1:
            parts.append(
                f"<details{'' if i else ' open'}><summary>{escaped(name)}</summary>"
                f"{table(f'{name}: mean, the same weighted by difficulty, intervals of 95 %', rows)}</details>"
            )
    said = (
        f"By the difficulties of {found.name}{f' ({found.told})' if found.told else ''}. weighted: a prompt counts as much as a system of "
        "ability 0 is likely to fail it, so what all get right counts little. ability: in logits (Rasch model); a system of ability a gets "
        "a prompt of difficulty b right with probability 1 / (1 + exp(b - a)), and 1 more makes odds of 1 to 1 odds of 2.7 to 1"
        f"{f'; only of {found.score}, which the difficulties are of' if found.score else ''}. The intervals take difficulties for known; estimated "
        "from these very evaluations, they are fitted to them."
    )
    return (f'<p dir="auto">{escaped(said)}</p>{"".join(parts)}' if parts else ""), problems


def _binary(match: Matched, name: str) -> bool:
    values = {row.scores.get(name) for rows in match.of for row in rows.values()} - {None}
    return bool(values) and values <= {0.0, 1.0}


def _share(mean: float, count: float) -> tuple[float, float]:
    """Wilson's interval, which is not empty where all is right; `count`: so many prompts of one weight would be as sure."""
    return wilson(min(1.0, max(0.0, mean)), max(1, round(count)))


def _cell(metric: Sure) -> Cell:
    return Cell(f"{metric.value:.3g}", f"{metric.low:.3g} to {metric.high:.3g}; n {metric.n:,}")


def _able(found: Weighted) -> Cell:
    """No number where all is right or all wrong: then the prior alone would say it."""
    if found.plain.value in (0, 1):
        return Cell("–", "all right" if found.plain.value else "all wrong")
    return Cell(f"{found.ability.value:.2f}", f"{found.ability.low:.2f} to {found.ability.high:.2f}")
