"""What a suite is made of, in numbers and in words: size, balance, length, vocabulary, near-duplicates, people, precision."""

import math
from collections.abc import Sequence
from typing import Any

from imagen.data.sources.source import plain
from imagen.evaluation.suites.sizes import DISCORDANT, apart, paired, wilson
from imagen.evaluation.suites.suite import Suite
from imagen.evaluation.suites.words import coverage, has_people, near_duplicates, words_of
from imagen.files import printable

NEAR = 0.8  # share of distinct words in common that makes two prompts near-duplicates


def describe(
    suite: Suite, captions: Sequence[str] | None = None, near: float = NEAR, examples: int = 5
) -> dict[str, Any]:
    """All of it as plain JSON. `captions`: those whose words the suite's are compared with, COCO's say; None leaves
    that out. `near`: see `words.near_duplicates`. `examples`: of near-duplicates that are told.

    Shares are in [0, 1]; `evenness` is the entropy of the categories over the largest that many could have, 1 when all
    have the same number of prompts. ValueError for a `near` outside (0, 1]."""
    if not 0 < near <= 1:
        raise ValueError(f"near={near}: give a share of words above 0 and at most 1")
    texts = [prompt.prompt for prompt in suite.prompts]
    people = [has_people(text) for text in texts]
    pairs, all_pairs = near_duplicates(texts, near)
    difficulties = [p.difficulty for p in suite.prompts if p.difficulty is not None]
    return {
        "card": suite.card.row(),
        "sha256": suite.sha256,
        "count": len(texts),
        "categories": {
            name: {"count": n, "share": n / len(texts), **_precision(n)}
            for name, n in suite.categories.items()
        },
        "evenness": _evenness(list(suite.categories.values())),
        "length": {
            "words": _spread([len(words_of(text)) for text in texts]),
            "characters": _spread([len(text) for text in texts]),
        },
        "vocabulary": len({word for text in texts for word in words_of(text)}),
        "coverage": None if captions is None else coverage(texts, captions),
        "near_duplicates": {
            "threshold": near,
            "prompts": len({i for pair in pairs for i in (pair.first, pair.second)}),
            "pairs": len(pairs),
            "same_words": sum(pair.similarity == 1 for pair in pairs),
            "complete": all_pairs,
            "examples": [[texts[p.first], texts[p.second], round(p.similarity, 3)] for p in pairs[:examples]],
        },
        "people": {"people": sum(people) / len(texts), "none": 1 - sum(people) / len(texts)},
        "truth": sum(prompt.truth is not None for prompt in suite.prompts) / len(texts),
        "difficulty": {"known": len(difficulties), **(_spread(difficulties) if difficulties else {})},
        "precision": _precision(len(texts)),
    }


def report(found: dict[str, Any]) -> str:
    """`describe`'s numbers for people: lines that a terminal shows as they are."""
    card, near, length = found["card"], found["near_duplicates"], found["length"]
    lines = [
        f"{_line(card['name'])} {card['version']}: {found['count']:,} prompts, {len(found['categories'])} categories",
        f"  sha256      {found['sha256']}",
        f"  licence     {_line(card['licence'])}",
        f"  source      {_line(card['source'])}",
        f"  leaves out  {_line(card['leaves_out'])}",
    ]
    lines += [
        f"  since {_line(c['since'])}    version {c['version']}: {changed(c)}" for c in card["changelog"]
    ]
    width = min(40, max(len("category"), *(len(_line(name)) for name in found["categories"])))
    lines += [
        "",
        f"{'category':{width}}  prompts   share  95 % interval of a share of 0.5  two systems  on the same prompts",
    ]
    rows = [
        *found["categories"].items(),
        ("all", {"count": found["count"], "share": 1.0, **found["precision"]}),
    ]
    for name, row in rows:
        low, high = row["interval"]
        lines.append(
            f"{_line(name)[:width]:{width}}  {row['count']:7,}  {row['share']:6.1%}  {low:.3f} to {high:.3f} "
            f"(+-{(high - low) / 2:.3f})      {_told(row['apart']):>11}  {_told(row['paired']):>19}"
        )
    lines += [
        "Two systems: the smallest difference of their shares that a test at 5 % finds four times in five; on the same prompts when",
        f"they disagree on {DISCORDANT:.0%} of them (-: only a larger one). One picture a prompt.",
        "",
        f"balance         evenness {found['evenness']:.3f} (1: all categories have the same number)",
        f"length          words {_spread_words(length['words'])}; characters {_spread_words(length['characters'])}",
        f"vocabulary      {found['vocabulary']:,} distinct words",
    ]
    if (cover := found["coverage"]) is None:
        lines.append(
            "word coverage   not measured: give captions=FILE, COCO's captions_val2014.json or a table of captions"
        )
    else:
        lines += [
            f"word coverage   of its distinct words {cover['words']:.1%} are in {cover['count']:,} captions "
            f"({cover['vocabulary']:,} words), of its running words {cover['running']:.1%}",
            f"                of the captions' running words (without function words) {cover['captions']:.1%} are in the suite",
            f"                in no caption: {_list(cover['unknown'])}",
            f"                frequent there, not here: {_list(cover['missing'])}",
        ]
    at_least = "" if near["complete"] else "at least "
    lines.append(
        f"near-duplicates {at_least}{near['pairs']:,} pairs among {near['prompts']:,} prompts share {near['threshold']:.0%} of "
        f"their words or more, {near['same_words']:,} of them all"
    )
    lines += [f"                {s:.2f}  {_line(a, 90)} | {_line(b, 90)}" for a, b, s in near["examples"]]
    lines += [
        f"people          {found['people']['people']:.1%} of the prompts speak of people, {found['people']['none']:.1%} of none (by a list of words)",
        f"ground truth    {found['truth']:.1%} of the prompts have one",
        "difficulty      "
        + (
            f"known for {found['difficulty']['known']:,}: {_spread_words(found['difficulty'], '.2f')} logits"
            if found["difficulty"]["known"]
            else "not known; imagen-suite difficulty estimates it from results"
        ),
    ]
    return "\n".join(lines)


def changed(change: dict[str, Any]) -> str:
    """An entry of a changelog in one line."""
    counts = [f"{len(change[key])} {key}" for key in ("added", "removed", "changed") if change[key]]
    return (", ".join(counts) or "no prompt changed") + (
        f" ({_line(change['note'])})" if change["note"] else ""
    )


def _precision(n: int) -> dict[str, Any]:
    return {"interval": list(wilson(0.5, n)), "apart": apart(n), "paired": paired(n)}


def _evenness(counts: list[int]) -> float:
    if len(counts) < 2:
        return 1.0
    total = sum(counts)
    return -sum(n / total * math.log(n / total) for n in counts) / math.log(len(counts))


def _spread(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return {
        "min": ordered[0],
        "median": median,
        "mean": sum(ordered) / len(ordered),
        "p95": ordered[math.ceil(0.95 * len(ordered)) - 1],
        "max": ordered[-1],
    }


def _spread_words(spread: dict[str, float], form: str = "g") -> str:
    low, high = format(spread["min"], form), format(spread["max"], form)
    return (
        f"{low} to {high}, median {format(spread['median'], form)}, mean {spread['mean']:.1f}, "
        f"95 % up to {format(spread['p95'], form)}"
    )


def _told(difference: float | None) -> str:
    return "-" if difference is None else f"{difference:.3f}"


def _list(words: list[str]) -> str:
    return ", ".join(_line(word, 40) for word in words) or "none"


def _line(text: str, most: int = 300) -> str:
    """Text from outside as one line that no terminal obeys."""
    return plain(printable(" ".join(text.split()), most))
