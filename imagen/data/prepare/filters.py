"""Which pairs of a source are wanted: by the picture's size, the captions, and numbers that came with them."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from imagen.data.sources.source import Pair, Unwanted

Limits = Sequence[float | None]
"""[least, most], either of which may be None: no limit."""


@dataclass(frozen=True)
class Filters:
    """What a pair must be to go into a data set; by default anything goes.

    `min_side`: pixels of the short side. `max_aspect`: long side over short side, at least 1. `caption_length`:
    [least, most] characters. `letters`: least share of a caption's characters, blanks left out, that are letters
    or digits of any script: 0.5 refuses "!!!! ---- ****" and keeps every language. `columns`: a numeric column of
    the source -> [least, most], such as {"aesthetic": [5, null], "pwatermark": [null, 0.8]}; a pair without that
    number is left out.

    A caption that is not wanted is dropped; a pair is left out when none of its captions is left.

    ValueError: a limit that means nothing."""

    min_side: int = 0
    max_aspect: float | None = None
    caption_length: list[int | None] = field(default_factory=lambda: [None, None])
    letters: float = 0.0
    columns: dict[str, list[float | None]] | None = None

    def __post_init__(self) -> None:
        if self.min_side < 0:
            raise ValueError(f"filters.min_side={self.min_side}: give pixels, at least 0")
        if self.max_aspect is not None and not self.max_aspect >= 1:
            raise ValueError(
                f"filters.max_aspect={self.max_aspect}: long side over short side, so at least 1"
            )
        if not 0 <= self.letters <= 1:
            raise ValueError(f"filters.letters={self.letters}: a share lies between 0 and 1")
        ranges: Mapping[str, Limits] = {"filters.caption_length": self.caption_length} | {
            f"filters.columns.{name}": limits for name, limits in (self.columns or {}).items()
        }
        for option, limits in ranges.items():
            if len(limits) != 2 or _empty(*limits):
                raise ValueError(f"{option}={list(limits)}: give [least, most], null for no limit")

    @property
    def identity(self) -> dict[str, Any]:
        """Plain JSON: the limits that are set. {} when anything goes."""
        default = Filters()
        return {name: value for name, value in vars(self).items() if value != getattr(default, name)}

    def __call__(self, pair: Pair) -> Pair:
        """The pair, with the captions that are wanted. Unwanted when it is not."""
        short, long = sorted(pair.size)
        if short < self.min_side:
            raise Unwanted("too small", _pixels(pair))
        if self.max_aspect is not None and long > self.max_aspect * short:
            raise Unwanted("too long a side", _pixels(pair))
        for name, limits in (self.columns or {}).items():
            value = _number(pair.fields.get(name))
            if value is None or _outside(value, limits):
                raise Unwanted(f"column {name}", f"{str(pair.fields.get(name))[:80]}")
        captions = tuple(caption for caption in pair.captions if self._reads_well(caption))
        if not captions:
            raise Unwanted("caption", (pair.captions or ("",))[0][:80])
        return pair if len(captions) == len(pair.captions) else replace(pair, captions=captions)

    def _reads_well(self, caption: str) -> bool:
        if _outside(len(caption), self.caption_length):
            return False
        if not self.letters:
            return True
        seen = [c for c in caption if not c.isspace()]
        # marks belong to the letters of many scripts
        return sum(unicodedata.category(c)[0] in "LMN" for c in seen) >= self.letters * len(seen)


def _pixels(pair: Pair) -> str:
    return f"{pair.size[0]} x {pair.size[1]} pixels"


def _outside(value: float, limits: Limits) -> bool:
    least, most = limits
    return (least is not None and not value >= least) or (most is not None and not value <= most)


def _empty(least: float | None, most: float | None) -> bool:
    return least is not None and most is not None and least > most


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
