"""The words of prompts: which other captions have them, whether they are of people, and prompts that say nearly the same."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

COMPARISONS = 2_000_000  # of two prompts, at most, when near-duplicates are looked for
SHOWN = 12  # words of a list
_WORD = re.compile(r"\w+(?:['’]\w+)*")
_FUNCTION = """
a an the of in on at to for with and or by from is are was were be it its his her their this that as into over up
down out one two there some who which while has have
"""
FUNCTION = frozenset(_FUNCTION.split())
_PEOPLE = """
person persons people human humans man men woman women boy boys girl girls child children kid kids baby babies
toddler toddlers lady ladies guy guys gentleman gentlemen adult adults teen teens teenager teenagers someone
somebody anyone everyone crowd crowds family families friend friends he she him her his hers mother father mom dad
parent parents grandmother grandfather son daughter brother brothers sister sisters husband wife bride groom king
queen prince princess knight knights soldier soldiers officer officers policeman policemen firefighter firefighters
doctor doctors nurse nurses teacher teachers student students chef chefs waiter waitress farmer farmers worker
workers driver drivers pilot pilots astronaut astronauts scientist scientists artist painter singer musician
musicians dancer dancers players player athlete athletes surfer surfers skier skiers snowboarder snowboarders
skateboarder skateboarders cyclist cyclists pedestrian pedestrians umpire tourist tourists
passenger passengers cowboy cowboys samurai wizard witch monk nun priest president businessman businesswoman
politician photographer actor actress selfie
"""
PEOPLE = frozenset(_PEOPLE.split())
"""Words that make a prompt one of people, as far as a list can tell; names of persons are not known."""


def words_of(text: str) -> list[str]:
    """The words of a text in their order, in small letters."""
    return _WORD.findall(text.casefold())


def has_people(text: str) -> bool:
    """Whether a word of PEOPLE is in it."""
    return not PEOPLE.isdisjoint(re.split("['’]", word)[0] for word in words_of(text))


def coverage(prompts: Iterable[str], captions: Iterable[str]) -> dict[str, Any]:
    """How the words of prompts and of captions overlap, all shares in [0, 1].

    `words`: of the suite's distinct words, the share that captions have; `running`: of all its words as often as they
    are there; `captions`: of the captions' running words without function words, the share that the suite has.
    `unknown`: the suite's words that no caption has, `missing`: the captions' most frequent words that it has not."""
    own = Counter(word for text in prompts for word in words_of(text))
    said, count = Counter[str](), 0
    for text in captions:
        said.update(words_of(text))
        count += 1
    content = {word: times for word, times in said.items() if word not in FUNCTION and not word.isdigit()}
    unknown = sorted((word for word in own if word not in said), key=lambda word: (-own[word], word))
    missing = sorted((word for word in content if word not in own), key=lambda word: (-content[word], word))
    return {
        "count": count,
        "vocabulary": len(said),
        "words": _share(sum(word in said for word in own), len(own)),
        "running": _share(sum(times for word, times in own.items() if word in said), sum(own.values())),
        "captions": _share(
            sum(times for word, times in content.items() if word in own), sum(content.values())
        ),
        "unknown": unknown[:SHOWN],
        "missing": missing[:SHOWN],
    }


@dataclass(frozen=True)
class Near:
    """Prompts number `first` and `second` and the share of their distinct words that both have."""

    first: int
    second: int
    similarity: float


def near_duplicates(prompts: Sequence[str], threshold: float) -> tuple[list[Near], bool]:
    """Pairs whose distinct words overlap (intersection over union) by `threshold` in (0, 1] or more, the most similar
    first; order, case and punctuation do not count. And whether all pairs were looked at: beyond COMPARISONS of
    prompts that share a rare word the search ends.

    Two sets that overlap by t share one of the rarest words of each, the first size - ceil(t size) + 1 (the prefix
    filter of Chaudhuri et al. 2006), so most pairs are never compared."""
    sets = [frozenset(words_of(text)) or frozenset([text]) for text in prompts]
    times = Counter(word for words in sets for word in words)
    waiting: dict[str, list[int]] = {}
    found, compared = [], 0
    for index, words in enumerate(sets):
        rarest = sorted(words, key=lambda word: (times[word], word))
        prefix = rarest[: len(words) - _ceil(threshold * len(words)) + 1]
        candidates = {other for word in prefix for other in waiting.get(word, ())}
        compared += sum(len(waiting.get(word, ())) for word in prefix)
        for other in candidates:
            both = len(words & sets[other])
            similarity = both / (len(words) + len(sets[other]) - both)
            if similarity >= threshold - 1e-12:
                found.append(Near(other, index, similarity))
        for word in prefix:
            waiting.setdefault(word, []).append(index)
        if compared > COMPARISONS:
            break
    else:
        index = len(sets) - 1
    found.sort(key=lambda pair: (-pair.similarity, pair.first, pair.second))
    return found, index == len(sets) - 1


def _ceil(value: float) -> int:
    return -int(-(value - 1e-9) // 1)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
