"""A plain sentence for each claim, and what would overturn it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from imagen.evaluation.suites.sizes import POWER, Z
from imagen.rating.statistics.correction import Corrected
from imagen.rating.statistics.crossed import Estimate
from imagen.rating.statistics.power import Parts, Power, power
from imagen.rating.statistics.preference import Difference, Preference

LEVEL = 0.05


@dataclass(frozen=True)
class Claim:
    """`holds`: its interval leaves out "no difference", and `p`, of a t test that is stricter where raters or prompts are few, is
    below 5 %. `adjusted`: p by Holm among all claims of the study, 1 until they are known."""

    text: str
    holds: bool
    overturned: str
    p: float
    adjusted: float = 1.0


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
    """The claim of a pair of systems. few: of `dropped`; known: of `power.parts`, None where they tell nothing; without: the
    share when `failed` raters, who failed the control questions, are left out, None where too few are left; categories: of
    `corrected`."""
    share, one, two = found.share, found.a, found.b
    if share.value < 0.5:
        share, one, two = turned(share), found.b, found.a
        without = turned(without) if without else None
    p, of, half = share.p_value(0.5), _of(share), '"same" counted half for each'
    checked = _checked(failed, without, 0.5, percent, shown(share, 0.5))
    if share.fewest == 1:
        text = f"{one} got {percent(share)} against {two} for {question}, {half} ({of})."
        return _alone(text, share)
    if not shown(share, 0.5):
        text = f"No preference between {one} and {two} is shown for {question}: {one} {percent(share)}, {half} ({of})."
        text += _strict(share, 0.5, "50 %")
        return Claim(
            text, False, f"It would be overturned by a narrower interval{_more(known, share)}.{checked}", p
        )
    text = f"{one} is preferred to {two} for {question} by {percent(share)} of the judgements, {half} ({of})."
    if categories:
        held = [name for name, one in categories.items() if one.holds]
        text += (
            f" By category {len(held)} of {len(categories)} differ from 50 % when Holm's correction is made for these "
            f"{len(categories)}{': ' + ', '.join(held) if held else ''}."
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
    bar = max(0.0, _needed(share, 0.5))
    ways.append(f"by another study as large that finds {one} below {100 * bar:.0f} %")
    return Claim(text, True, f"It would be overturned {', or '.join(ways)}.{checked}", p)


def scored_higher(
    found: Difference, question: str, unit: str, without: Difference | None = None, failed: int = 0
) -> Claim:
    """The claim of two systems' mean scores; `without`, `failed` as in `preferred`."""
    at, one, two = found.difference, found.a, found.b
    left = without.difference if without else None
    if at.value < 0:
        at, one, two = turned(at, 0.0), two, one
        left = turned(left, 0.0) if left else None

    def told(of: Estimate) -> str:
        return f"{of.value:.2f} [{of.low:.2f}, {of.high:.2f}] {unit}"

    p, checked = at.p_value(0.0), _checked(failed, left, 0.0, told, shown(at, 0.0))
    if at.fewest == 1:
        return _alone(f"{one} scored higher than {two} for {question} by {told(at)} ({_of(at)}).", at)
    if not shown(at, 0.0):
        text = f"No difference between {one} and {two} is shown for {question}: {one} higher by {told(at)} ({_of(at)})."
        text += _strict(at, 0.0, "0")
        by = "It would be overturned by an interval that leaves out 0: more raters or prompts."
        return Claim(text, False, by + checked, p)
    bar = _needed(at, 0.0)
    other = f"{one} ahead by less than {bar:.2f}" if bar > 0 else f"{two} ahead by {-bar:.2f} or more"
    return Claim(
        f"{one} scores higher than {two} for {question} by {told(at)} ({_of(at)}).",
        True,
        f"It would be overturned by another study as large that finds {other}.{checked}",
        p,
    )


def shown(found: Estimate, none: float) -> bool:
    """That it is not `none`, to other raters and prompts."""
    return not found.low <= none <= found.high and found.p_value(none) < LEVEL


def ways_out(need: Power) -> list[str]:
    """What would bring the interval to what is wanted, in words."""
    found = [counted(need.raters, "more rater")] if need.raters else []
    found += [f"{counted(need.prompts, 'more prompt')} for the same raters"] if need.prompts else []
    if need.both and need.raters != 0:
        found.append(f"{need.both[0]} more raters and {need.both[1]} more prompts together")
    return found


def turned(share: Estimate, whole: float = 1.0) -> Estimate:
    """Of the other system: `whole` less."""
    rest = share.error, share.freedom, share.answers, share.raters, share.prompts
    return Estimate(whole - share.value, whole - share.high, whole - share.low, *rest)


def percent(share: Estimate) -> str:
    """ "58 % [53, 63]", with a decimal where the interval is narrow, or a bound is beside 50 % and not at it."""
    close = any(0 < abs(bound - 0.5) < 0.005 for bound in (share.low, share.high))
    digits = 1 if close or share.high - share.low < 0.04 else 0
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
        return ", from more raters and more prompts"
    if gap < 0.01:
        if share.high - share.low < 0.1:
            return ", but the two are so alike that hardly any study would tell them apart"
        return f", from more raters and more prompts: this study cannot tell {percent(share).split('[')[1][:-1].replace(', ', ' from ')} %"
    ways = ways_out(power(known, gap * Z / (Z + POWER)))[:2] or ["a little more of either"]
    return f": if {percent(share).split(' [')[0]} is the truth, {' or '.join(ways)} would show it in four studies of five"


def _of(found: Estimate) -> str:
    return f"{counted(found.raters, 'rater')}, {counted(found.prompts, 'prompt')}"


def _alone(text: str, found: Estimate) -> Claim:
    """Of one rater, or one prompt."""
    kind = "rater" if found.raters == 1 else "prompt"
    said = f"{text} This is of one {kind} alone and says nothing of others."
    return Claim(said, False, f"Any other {kind} may overturn it.", found.p_value(0.0))


def _strict(found: Estimate, none: float, told: str) -> str:
    if found.low <= none <= found.high:
        return ""
    return f" The interval leaves out {told}; the t test of so few, which is stricter, does not (p = {found.p_value(none):.2f})."


def _checked(
    failed: int, without: Estimate | None, none: float, told: Callable[[Estimate], str], held: bool
) -> str:
    """What becomes of a claim that `held`, or of one that did not, when those who failed are left out."""
    if not failed:
        return ""
    if without is None:
        then = "without them too few answers are left"
    else:
        same = shown(without, none) and without.low > none
        ways = (
            ("it holds", "it does not hold") if held else ("a difference is shown", "no difference is shown")
        )
        then = ways[0] if same else ways[1]
        then += f" without them, {told(without)}"
    return f" {counted(failed, 'rater')} failed the control questions: {then}."
