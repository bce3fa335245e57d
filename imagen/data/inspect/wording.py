"""What captions are like, in any language: their lengths, their words, how many say the same."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from imagen.data.pipeline import SIDES
from imagen.files import printable

TOP = 50  # most common words that are told
TOP_BIGRAMS = 20
TOP_CAPTIONS = 5
CHARACTERS = (0, 10, 20, 30, 40, 60, 80, 100, 150, 200, 300, 500, 1000)
WORDS = (0, 2, 4, 6, 8, 10, 12, 15, 20, 30, 50, 100, 200)


def wording(captions: Sequence[str]) -> dict[str, Any]:
    """Statistics of n captions as plain values: lengths in `characters` and `words` ({"summary", "histogram"}), the size
    of the `vocabulary`, the most common words and `bigrams` as [what, count], how many are `distinct`,
    capitals and spaces aside, and `repeated`, the share that are equal to an earlier one, `most_common` captions as [caption, count], `sides` (share
    of captions that name left or right)."""
    texts = [" ".join(caption.casefold().split()) for caption in captions]
    equal, parts = Counter(texts), [words_of(text) for text in texts]
    counted = Counter(word for words in parts for word in words)
    bigrams = Counter(pair for words in parts for pair in pairwise(words))
    return {
        "captions": len(captions),
        "characters": described([len(caption) for caption in captions], CHARACTERS),
        "words": described([len(words) for words in parts], WORDS),
        "vocabulary": len(counted),
        "most_common_words": [[printable(word), n] for word, n in _top(counted, TOP)],
        "bigrams": [[printable(" ".join(pair)), n] for pair, n in _top(bigrams, TOP_BIGRAMS)],
        "distinct": len(equal),
        "repeated": share(len(texts) - len(equal), len(texts)),
        "most_common": [[printable(text), n] for text, n in _top(equal, TOP_CAPTIONS) if n > 1],
        "sides": share(sum(SIDES.search(text) is not None for text in texts), len(texts)),
    }


def words_of(text: str) -> list[str]:
    """The words of a text: runs of letters of any script with their marks and apostrophes. Scripts that put no spaces
    between words have a word a character."""
    signs = []
    for c in unicodedata.normalize("NFC", text):
        if "\u3040" <= c <= "\u9fff":
            signs.append(f" {c} " if c.isalpha() else " ")
        else:
            signs.append(c if unicodedata.category(c)[0] in "LM" or c in "'’" else " ")
    return [word for part in "".join(signs).split() if (word := part.strip("'’"))]


def described(values: Iterable[float], edges: Sequence[float]) -> dict[str, Any]:
    """Numbers -> {"summary": {min, median, mean, max} or None, "histogram": {"edges", "counts"}}: counts[i] lie in
    edges[i] <= x < edges[i + 1], and the last ones lie at or above the last edge."""
    numbers = np.asarray(list(values) if not isinstance(values, np.ndarray) else values, float)
    counts = np.histogram(numbers, [*edges, np.inf])[0].tolist()
    summary = None
    if len(numbers):
        found = (numbers.min(), np.median(numbers), numbers.mean(), numbers.max())
        summary = {name: round(float(x), 2) for name, x in zip(("min", "median", "mean", "max"), found)}
    return {"summary": summary, "histogram": {"edges": list(edges), "counts": counts}}


def share(part: float, whole: float) -> float:
    """A part of a whole, to four digits; 0 of nothing."""
    return round(part / whole, 4) if whole else 0.0


def _top(counted: Counter, most: int) -> list[tuple[Any, int]]:
    # equal counts by name: otherwise by which caption was read first
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:most]
