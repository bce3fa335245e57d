"""A plain sentence for each claim, and what would overturn it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from imagen.rating.statistics.correction import Corrected
from imagen.rating.statistics.crossed import Estimate
from imagen.rating.statistics.power import Parts, power
from imagen.rating.statistics.preference import Difference, Preference


@dataclass(frozen=True)
class Claim:
    """`holds`: its interval leaves out "no difference"."""

    text: str
    holds: bool
    overturned: str


@dataclass(frozen=True)
class Dropped:
    """How few of the raters, and of the prompts, carry a preference: leaving out those that favour it most, its interval
    reaches 50 %, its width as it is. None: it does not, however many are left out."""

    raters: int | None
    prompts: int | None


def dropped(won: np.ndarray, raters: np.ndarray, prompts: np.ndarray, share: Estimate) -> Dropped:
    """won (n,): 1, 0.5 or 0 for the system whose share it is (after T. Broderick, R. Giordano and R. Meager 2021, "An
    automatic finite-sample robustness metric: when can dropping a little data make a big difference?")."""
    if share.value < 0.5:
        won, bar = 1 - won, 0.5 + share.high - share.value
    else:
        bar = 0.5 + share.value - share.low
    return Dropped(*(_fewest(won, groups, bar) for groups in (raters, prompts)))


def preferred(
    found: Preference,
    question: str,
    few: Dropped,
    known: Parts | None,
    without: Estimate | None,
    failed: int,
    categories: Mapping[str, Corrected],
) -> Claim:
    """The claim of a pair of systems. few: of `dropped`; known: of `power.parts`; without: the share when `failed` raters, who
    failed the control questions, are left out, None where nobody did; categories: of `corrected`."""
    share, one, two = found.share, found.a, found.b
    if share.value < 0.5:
        share, one, two = turned(share), found.b, found.a
        without = turned(without) if without else None
    of = f"{counted(share.raters, 'rater')}, {counted(share.prompts, 'prompt')}"
    if share.low <= 0.5:
        told = (
            f"No preference between {one} and {two} is shown for {question}: {one} {percent(share)}, "
            f'"same" counted half for each ({of}).'
        )
        return Claim(told, False, f"It would be overturned by a narrower interval: {_more(known, share)}.")
    told = (
        f'{one} is preferred to {two} for {question} by {percent(share)} of the judgements, "same" counted half for '
        f"each ({of})."
    )
    if categories:
        held = [name for name, one in categories.items() if one.holds]
        told += (
            f" By category {len(held)} of {len(categories)} differ from 50 % when Holm's correction is made"
            f"{': ' + ', '.join(held) if held else ''}."
        )
    carried = [
        f"the {counted(number, kind)} of {total} that favour {one} most"
        for number, total, kind in (
            (few.raters, share.raters, "rater"),
            (few.prompts, share.prompts, "prompt"),
        )
        if number
    ]
    ways = [f"without {' or without '.join(carried)} (the interval then reaches 50 %)"] if carried else []
    if (share.raters, share.prompts).count(1):
        ways.append(f"by any other {'rater' if share.raters == 1 else 'prompt'}, as there was one alone")
    bar = max(0.0, _needed(share, 0.5))
    ways.append(f"by another study as large that finds {one} below {100 * bar:.0f} %")
    overturned = f"It would be overturned {', or '.join(ways)}."
    if without:
        stays = "it holds without them" if without.low > 0.5 else "it does not hold without them"
        overturned += (
            f" {counted(failed, 'rater')} failed the control questions: {stays}, {percent(without)}."
        )
    return Claim(told, True, overturned)


def scored_higher(found: Difference, question: str, unit: str) -> Claim:
    """The claim of two systems' mean scores."""
    at, one, two = found.difference, found.a, found.b
    if at.value < 0:
        at, one, two = turned(at, 0.0), two, one
    told = f"{at.value:.2f} [{at.low:.2f}, {at.high:.2f}] {unit}"
    if at.low <= 0:
        text = f"No difference between {one} and {two} is shown for {question}: {one} higher by {told}."
        return Claim(
            text, False, "It would be overturned by an interval that leaves out 0: more raters or prompts."
        )
    bar = _needed(at, 0.0)
    other = f"{one} ahead by less than {bar:.2f}" if bar > 0 else f"{two} ahead by {-bar:.2f} or more"
    return Claim(
        f"{one} scores higher than {two} for {question} by {told}.",
        True,
        f"It would be overturned by another study as large that finds {other}.",
    )


def turned(share: Estimate, whole: float = 1.0) -> Estimate:
    """Of the other system: `whole` less."""
    rest = share.error, share.freedom, share.answers, share.raters, share.prompts
    return Estimate(whole - share.value, whole - share.high, whole - share.low, *rest)


def percent(share: Estimate) -> str:
    """ "58 % [53, 63]", with a decimal where the interval is narrow."""
    digits = 0 if share.high - share.low >= 0.04 else 1
    value, low, high = (f"{100 * number:.{digits}f}" for number in (share.value, share.low, share.high))
    return f"{value} % [{low}, {high}]"


def counted(number: int, what: str) -> str:
    """ "1 rater", "2 raters"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _needed(found: Estimate, none: float) -> float:
    """What another study as large must stay below, so that the mean of both, whose interval is sqrt(2) narrower, is no longer
    shown to be above `none`."""
    return 2 * none - found.value + 2**0.5 * (found.value - found.low)


def _fewest(won: np.ndarray, groups: np.ndarray, bar: float) -> int | None:
    names, group = np.unique(groups, return_inverse=True)
    counts = np.bincount(group)
    above = np.bincount(group, won) - bar * counts
    # those that lift the sum of (won - bar) most go first; the mean is at the bar where the sum is 0
    left = above.sum() - np.cumsum(np.sort(above)[::-1])
    at = np.flatnonzero(left[:-1] <= 0)
    return int(at[0]) + 1 if len(names) > 1 and len(at) else None


def _more(known: Parts | None, share: Estimate) -> str:
    gap = abs(share.value - 0.5)
    if known is None:
        return "from more raters and more prompts"
    if gap < 0.01:
        return "they are so alike that no study of a practical size would tell them apart"
    need = power(known, gap)
    ways = [
        counted(number, f"more {kind}")
        for number, kind in ((need.raters, "rater"), (need.prompts, "prompt"))
        if number
    ]
    if need.both and not ways:
        ways = [f"{need.both[0]} more raters and {need.both[1]} more prompts together"]
    if not ways:
        return "a little more of either"
    return f"if {percent(share).split(' [')[0]} is the truth, {' or '.join(ways)} would show it"
