"""Which pictures of several systems belong side by side: those of the same prompt and seed; and which of many are shown."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

from imagen.evaluation.report.read import Row

EXTREMES = 4  # pictures that score highest, lowest and in the middle, which are always shown
SCORED = 12  # metrics of which these are
LOWER = ("fid", "kid", "cmmd", "fd_", "drift", "pixels", "mse")
WITHIN = ("lpips", "distance", "error")
"""How names of metrics begin, or what is in them, of which less is better."""


class Pair(NamedTuple):
    """A prompt and a seed; `nth`: of those alike in one evaluation, which."""

    prompt: str
    seed: int | None
    nth: int = 0


class Matched(NamedTuple):
    """`pairs`: all, in the order of the first system that has them; `of`: system by system, pair -> row."""

    pairs: list[Pair]
    of: list[dict[Pair, Row]]

    @property
    def shared(self) -> list[Pair]:
        """Those that all systems have."""
        return [pair for pair in self.pairs if all(pair in rows for rows in self.of)]

    def category(self, pair: Pair) -> str:
        """Of the first system that has it."""
        return next(rows[pair].category for rows in self.of if pair in rows)


def matched(systems: Iterable[Sequence[Row]]) -> Matched:
    """Lay the pictures of `systems` side by side."""
    of: list[dict[Pair, Row]] = []
    for rows in systems:
        seen: Counter[tuple[str, int | None]] = Counter()
        found = {}
        for row in rows:
            found[Pair(row.prompt, row.seed, seen[row.prompt, row.seed])] = row
            seen[row.prompt, row.seed] += 1
        of.append(found)
    return Matched(list(dict.fromkeys(pair for rows in of for pair in rows)), of)


def in_words(match: Matched, names: Sequence[str]) -> list[str]:
    """How much the systems have in common, and what only some have: a sentence each."""
    having = [(name, rows) for name, rows in zip(names, match.of) if rows]
    if len(having) < 2:
        return []
    times = Counter(pair for _, rows in having for pair in rows)
    if max(times.values()) == 1:
        alone = " and ".join([", ".join(name for name, _ in having[:-1]), having[-1][0]])
        return [f"{alone} have no prompt and seed in common: nothing stands side by side."]
    shared = sum(count == len(having) for count in times.values())
    said = [f"{shared:,} of {len(times):,} pictures (a prompt and a seed) are in all {len(having)}."]
    for name, rows in having:
        if only := sum(times[pair] == 1 for pair in rows):
            said.append(f"Only in {name}: {only:,}.")
    return said


def chosen(match: Matched, most: int) -> list[Pair]:
    """The pairs of at most `most` pictures: all, if they are not more; else those whose scores are extreme, and then the first
    of each category in turn, those that all systems have before others. In the order of categories."""
    categories = list(dict.fromkeys(map(match.category, match.pairs)))
    place = {category: i for i, category in enumerate(categories)}
    kept = match.pairs if sum(map(len, match.of)) <= most else _some(match, most)
    return sorted(kept, key=lambda pair: place[match.category(pair)])


def extremes(rows: Mapping[Pair, Row], score: str, count: int = EXTREMES) -> dict[str, list[Pair]]:
    """{"highest", "lowest", "median"}: `count` pairs each, of those that have the score; ties in order."""
    having = [(value, pair) for pair, row in rows.items() if (value := row.scores.get(score)) is not None]
    having.sort(key=lambda known: known[0])
    middle = max(0, (len(having) - count) // 2)
    parts = {
        "highest": having[::-1][:count],
        "lowest": having[:count],
        "median": having[middle : middle + count],
    }
    return {name: [pair for _, pair in part] for name, part in parts.items()}


def score_names(match: Matched) -> list[str]:
    """The scores of single pictures: first those of the whole, then in the order in which they are met."""
    return whole_first(name for rows in match.of for row in rows.values() for name in row.scores)


def whole_first(names: Iterable[str]) -> list[str]:
    """Each name once; what a picture is judged by as a whole stands before what is asked of its parts."""
    return sorted(dict.fromkeys(names), key=lambda name: name.rpartition(".")[2] != "scene")


def signed(name: str) -> bool:
    """Whether a score is best at 0: how far a channel's mean or spread moved, with its sign."""
    return name.startswith("drift.") and any(part in name for part in (".mean.", ".spread."))


def lower_is_better(name: str) -> bool:
    """Whether less is better, as far as the name says: of drift the move of color, not the decibels, nor what has a sign and
    is best at 0."""
    low = name.lower()
    return (
        not signed(name)
        and not low.endswith("psnr")
        and (low.startswith(LOWER) or any(part in low for part in WITHIN))
    )


def _some(match: Matched, most: int) -> list[Pair]:
    times = Counter(pair for rows in match.of for pair in rows)
    kept: dict[Pair, None] = {}
    held = 0

    def keep(pair: Pair, most: int) -> None:
        nonlocal held
        if pair not in kept and held + times[pair] <= most:
            kept[pair] = None
            held += times[pair]

    for name in score_names(match)[:SCORED]:
        for rows in match.of:
            for part in extremes(rows, name).values():
                for pair in part:
                    keep(pair, most // 2)
    shared = set(match.shared)
    queues: dict[str, list[Pair]] = {}
    for pair in sorted(match.pairs, key=lambda pair: pair not in shared):
        queues.setdefault(match.category(pair), []).append(pair)
    for turn in zip_longest(*queues.values()):
        for pair in filter(None, turn):
            keep(pair, most)
    return list(kept)
