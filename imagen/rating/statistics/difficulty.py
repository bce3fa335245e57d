"""Scores in which hard prompts count more: difficulty from the scores themselves (item response), and as raters told it.

Choices between two systems tell no difficulty (what one wins the other loses), so theirs is the one that raters told, or that
of another question's scores on the same prompts.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from imagen.evaluation.suites.difficulty import fit
from imagen.rating.statistics.crossed import SHARE, Estimate, crossed, means
from imagen.rating.statistics.preference import Difference
from imagen.rating.statistics.tables import Pairs, Scores


@dataclass(frozen=True)
class ItemResponse:
    """What item response makes of scores. difficulties: {prompt: logits}, of mean 0, larger is harder; spread: their
    standard deviation among prompts; abilities: {system: logits} on the same scale; weighted: {system: mean score in [0, 1] in
    which a prompt counts by the chance s(difficulty) that an able system of 0 fails it}; differences of abilities. Systems all
    of whose scores are `alike` (at an end of the scale, say) have no ability that could be told with an interval."""

    difficulties: dict[str, float]
    spread: float
    abilities: dict[str, Estimate]
    weighted: dict[str, Estimate]
    differences: list[Difference]
    alike: tuple[str, ...]


def item_response(scores: Scores, random: np.random.Generator, resamples: int = 1000) -> ItemResponse:
    """Rasch's model of a question's scores, taken as shares of a right answer (imagen.evaluation.suites.difficulty).

    An ability is that at which a system's scores are as expected on prompts of those difficulties; its interval is over
    raters and prompts, from each answer's influence (y - s(ability - difficulty)) / information, with the difficulties as
    found. What a prompt does to all systems alike is in its difficulty, so abilities are of these prompts' mean difficulty
    and their differences are what another study should find. ValueError for fewer than two systems or prompts."""
    low, high = scores.bounds
    y = (scores.values - low) / (high - low)
    names = [scores.systems[i] if i >= 0 else "" for i in scores.system]
    if "" in names:
        raise ValueError("scores of prompts alone: item response needs scores of systems")
    scale = fit(list(zip(names, scores.texts.tolist(), y.tolist())))
    hard = np.array([scale.difficulties[text] for text in scores.texts])
    values, influence, alike = [], np.zeros((len(y), len(scores.systems))), []
    for i, name in enumerate(scores.systems):
        own = scores.system == i
        if np.ptp(y[own]) == 0:
            alike.append(name)
        at = _ability(y[own], hard[own], scale.abilities[name])
        chance = expit(at - hard[own])
        influence[own, i] = (y[own] - chance) / max(float((chance * (1 - chance)).sum()), 1e-9)
        values.append(at)
    who = scores.raters, scores.prompts
    abilities, weighted = {}, {}
    for i, name in enumerate(scores.systems):
        own = scores.system == i
        one = np.array([values[i]]), influence[own, i : i + 1], who[0][own], who[1][own]
        if name not in alike:
            [abilities[name]] = crossed(*one, random, resamples)
        column = y[own][:, None]
        [weighted[name]] = means(
            column, who[0][own], who[1][own], random, resamples, SHARE, weights=expit(hard[own])
        )
    apart = []
    for i in range(len(scores.systems)):
        for j in range(i + 1, len(scores.systems)):
            if {scores.systems[i], scores.systems[j]} & set(alike):
                continue
            both = (scores.system == i) | (scores.system == j)
            moved = influence[both, i : i + 1] - influence[both, j : j + 1]
            value = np.array([values[i] - values[j]])
            [found] = crossed(value, moved, who[0][both], who[1][both], random, resamples)
            apart.append(Difference(scores.systems[i], scores.systems[j], found))
    return ItemResponse(scale.difficulties, scale.spread, abilities, weighted, apart, tuple(alike))


def told(difficulties: Scores) -> dict[str, float]:
    """{prompt: the mean of how hard its raters said it is, as a share of the scale}, from answers of a difficulty question."""
    low, high = difficulties.bounds
    share = (difficulties.values - low) / (high - low)
    count = np.bincount(difficulties.prompts)
    mean = np.bincount(difficulties.prompts, share) / np.maximum(count, 1)
    return {text: float(mean[i]) for text, i in zip(difficulties.texts, difficulties.prompts)}


def weighted_preference(
    pairs: Pairs,
    a: str,
    b: str,
    hard: Mapping[str, float],
    random: np.random.Generator,
    resamples: int = 1000,
) -> Estimate | None:
    """The share of `a` against `b`, "same" counting half for each, in which a prompt counts as much as it is hard, from 0:
    `hard` {prompt: weight}. Prompts without are left out; None where fewer than two remain with a weight."""
    rows = pairs.between(a, b)
    rows = rows.only(np.array([hard.get(text, 0) > 0 for text in rows.texts], bool))
    if np.unique(rows.prompts).size < 2:
        return None
    weights = np.array([hard[text] for text in rows.texts])
    column = rows.for_system(a)[:, None]
    return means(column, rows.raters, rows.prompts, random, resamples, SHARE, weights=weights)[0]


def weighted_scores(
    scores: Scores, hard: Mapping[str, float], random: np.random.Generator, resamples: int = 1000
) -> dict[str, Estimate]:
    """{system: its mean score, a prompt counting as in `weighted_preference`}; without systems that have fewer than two."""
    found = {}
    for name in scores.systems:
        own = scores.of(name)
        own = own.only(np.array([hard.get(text, 0) > 0 for text in own.texts], bool))
        if np.unique(own.prompts).size < 2:
            continue
        weights = np.array([hard[text] for text in own.texts])
        column = own.values[:, None]
        [found[name]] = means(column, own.raters, own.prompts, random, resamples, own.bounds, weights=weights)
    return found


def _ability(y: np.ndarray, hard: np.ndarray, start: float) -> float:
    """Where the expected scores add up to y's, by Newton's method; kept within 10 logits where all are 0 or all 1."""
    at = start
    for _ in range(50):
        chance = expit(at - hard)
        step = float((y - chance).sum()) / max(float((chance * (1 - chance)).sum()), 1e-9)
        at = float(np.clip(at + np.clip(step, -2, 2), -10, 10))
        if abs(step) < 1e-8:
            break
    return at
