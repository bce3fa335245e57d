"""The part of a report that says which differences of systems are more than chance: a table for every two systems, with a line
in plain words for each score, and a small one by category."""

import math
from collections.abc import Sequence

from imagen.evaluation.metrics.significance import holm
from imagen.evaluation.report.matching import Matched, lower_is_better, score_names
from imagen.evaluation.report.numbers import Cell, escaped, figure, named, table, track
from imagen.evaluation.report.paired import (
    ALL,
    LEAST,
    SURE,
    Asked,
    Difference,
    Duo,
    by_category,
    difference,
    duos,
)

SCORED = 16  # scores that are compared
NAMED = 12  # differences in a sentence


def differences_part(match: Matched, names: Sequence[str]) -> str:
    """HTML; empty when no two of the systems, which are called `names`, share prompts that have scores."""
    found, more = duos(match)
    scores = score_names(match)
    parts = [part for duo in found if (part := _duo(duo, names, scores[:SCORED]))]
    if not parts:
        return ""
    said = [
        "Scores of single pictures on what both systems were asked. Interval: 95 %, the prompts drawn with repeats for both at once "
        "(paired bootstrap). p: how often turning the signs of the prompts' differences at random leads as far from 0. A system is said "
        f"to be higher when the interval excludes 0 and p is below {SURE:g}; where no difference can be told there may still be one."
    ]
    if sum(map(bool, match.of)) > ALL:
        against = named(names[next(i for i, rows in enumerate(match.of) if rows)])
        said.append(
            f"Each is compared with the first, {against}{f'; {more} more are not shown' if more else ''}."
        )
    if len(scores) > SCORED:
        said.append(f"Of {len(scores)} scores the first {SCORED}.")
    opened = [
        f"<details{' open' if i == 0 or len(parts) <= ALL else ''}><summary>{head}</summary>{inner}</details>"
        for i, (head, inner) in enumerate(parts)
    ]
    return f"<p>{' '.join([escaped(said[0]), *said[1:]])}</p>{''.join(opened)}"


def in_words(found: Difference, one: str, two: str) -> str:
    """Which of the systems is higher and by how much, or that no difference can be told: "B is higher by 0.05 [0.01, 0.09]"."""
    if found.told:
        value, low, high = found.value, found.low, found.high
        if value < 0:
            value, low, high = -value, -high, -low
        return f"{two if found.value > 0 else one} is higher by {_bracketed(value, low, high)}"
    told = f"no difference can be told: {_bracketed(found.value, found.low, found.high, '+')}"
    if not found.excludes:
        return told
    few = f"{found.differ} prompt{'' if found.differ == 1 else 's'} that differ{'s' if found.differ == 1 else ''}"
    return f"{told} excludes 0, but p is {_p(found.p)}, of {few}"


def _duo(duo: Duo, names: Sequence[str], scores: Sequence[str]) -> tuple[str, str] | None:
    """The heading and the HTML beneath it; None when no score has enough prompts in both."""
    found = {name: known for name in scores if (known := difference(duo.asked, name))}
    one, two = names[duo.one], names[duo.two]
    head = f"{named(two)} minus {named(one)}"
    if not found:
        return None
    adjusted = dict(zip(found, holm([known.p for known in found.values()])))
    lines = "".join(_line(n, known, adjusted[n], one, two) for n, known in found.items() if known.differ)
    same = [name for name, known in found.items() if not known.differ]
    told = sum(known.told for known in found.values())
    head += f": {told} of {len(found)} scores differ" if told else ": no difference can be told"
    how = "of the same prompts and seeds" if duo.how == "seeds" else "of the same prompts, as means of each"
    caption = (
        f"{two} minus {one}, {how}. Each line has a scale of its own; its middle is 0, and to the right {two} is "
        "higher."
    )
    columns = ("score", "drawn", "in words")
    heads = "".join(f'<th scope="col">{column}</th>' for column in columns)
    whole = (
        f'<figure class="pair"><table class="dots paired"><caption dir="auto">{escaped(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></figure>"
    )
    alike = _quiet(f"The same on every prompt: {_listed(same)}." if same else "")
    many = _many([(name, known, adjusted[name]) for name, known in found.items()])
    return (
        head,
        f"{whole if lines else ''}{alike}{many}{_categories(duo, [name for name in found if name not in same])}",
    )


def _line(name: str, found: Difference, adjusted: float, one: str, two: str) -> str:
    reach = 1.05 * max(abs(found.low), abs(found.high), abs(found.value)) or 1.0
    drawn = track(found.value, found.low, found.high, -reach, reach, zero=True)
    less = "; less is better" if lower_is_better(name) and found.told else ""
    pictures = "" if found.pictures == found.prompts else f" ({found.pictures:,} pictures)"
    count = f"{found.differ:,} of {found.prompts:,} prompts{pictures} differ; p {_p(found.p)}"
    return (
        f'<tr class="{"told" if found.told else "untold"}"><th scope="row">{named(name)}</th>{drawn}'
        f"<td><bdi>{escaped(in_words(found, one, two))}{less}</bdi><small>{count}, by Holm {_p(adjusted)}</small></td></tr>"
    )


def _categories(duo: Duo, scores: Sequence[str]) -> str:
    """A row a category, a column a score; empty when there are fewer than two categories of enough prompts."""
    groups = {name: _differences(asked, scores) for name, asked in by_category(duo.asked).items()}
    kept = {name: of for name, of in groups.items() if of}
    if len(kept) < 2:
        return ""
    found = {(name, score): known for name, of in kept.items() for score, known in of.items()}
    adjusted = dict(zip(found, holm([known.p for known in found.values()])))
    columns = [score for score in scores if any(score in of for of in kept.values())]
    rows: list[list[str | Cell]] = [["category", *columns]]
    for name, of in kept.items():
        cells = [_cell(of.get(score), adjusted.get((name, score), 1.0)) for score in columns]
        rows.append([name or "none", *cells])
    whole = table("By category: difference, interval of 95 %, n prompts; ✓ is told, ✓✓ also by Holm", rows)
    looked = [
        (f"{score} of {name or 'none'}", known, adjusted[name, score])
        for (name, score), known in found.items()
    ]
    left = [name or "none" for name in groups if name not in kept]
    less = (
        f"Left out, with fewer than {LEAST} prompts, of which nothing can be told: {_listed(left)}."
        if left
        else ""
    )
    return f"{whole}{_many(looked)}{_quiet(less)}"


def _differences(asked: Sequence[Asked], scores: Sequence[str]) -> dict[str, Difference]:
    return {name: found for name in scores if (found := difference(asked, name))}


def _cell(found: Difference | None, adjusted: float) -> Cell:
    if found is None:
        return Cell("–")
    mark = "" if not found.told else " ✓✓" if adjusted < SURE else " ✓"
    value, low, high = _rounded(found.value, found.low, found.high, "+")
    return Cell(f"{value}{mark}", f"{low} to {high}; n {found.prompts:,}")


def _many(found: Sequence[tuple[str, Difference, float]]) -> str:
    """What becomes of differences (names, what was found, p-values by Holm) when it is remembered that several were looked at."""
    told = [(name, p) for name, known, p in found if known.told]
    if len(found) < 2 or not told:
        return ""
    holds, lost = [name for name, p in told if p < SURE], [name for name, p in told if p >= SURE]
    said = (
        f"{len(found)} differences are looked at here, and of so many one in twenty seems to be there by chance alone. After Holm's "
        "correction for that "
    )
    if lost:
        return _quiet(f"{said}still hold: {_listed(holds) or 'none'}. No longer: {_listed(lost)}.")
    return _quiet(
        f"{said}{'the one that is' if len(told) == 1 else f'all {len(told)} that are'} told still hold{'s' * (len(told) == 1)}."
    )


def _quiet(said: str) -> str:
    return f'<p class="quiet" dir="auto">{escaped(said)}</p>' if said else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _bracketed(value: float, low: float, high: float, sign: str = "") -> str:
    told, start, end = _rounded(value, low, high, sign)
    return f"{told} [{start}, {end}]"


def _rounded(value: float, low: float, high: float, sign: str = "") -> tuple[str, str, str]:
    """With as many digits as the interval is known to: two of its width."""
    width = high - low
    if not 1e-6 < width < 1e6:
        return f"{sign if value > 0 else ''}{figure(value)}", figure(low), figure(high)
    digits = max(0, 1 - math.floor(math.log10(width)))
    return f"{value:{sign}.{digits}f}", f"{low:.{digits}f}", f"{high:.{digits}f}"


def _p(p: float) -> str:
    return "below 0.001" if p < 0.001 else f"{p:.2g}"
