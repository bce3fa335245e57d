"""What a data set is before it is shards: splits of numbered pairs, each of a picture's bytes and its
captions; or WebDataset tars already, which are used where they lie."""

from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Pair:
    """One picture and what is said of it.

    `image`: the bytes of a picture file, `extension` its kind: jpg or png in shards that are written. `size`: its
    (width, height) in pixels, as people see it. `captions`: at least one, none of them blank. `fields`: plain JSON
    values kept beside the picture in its shard (where it came from, its licence, its scene, ...). `name`: what people
    know it by, a file or a key; "" where the source knows none."""

    image: bytes
    extension: str
    size: tuple[int, int]
    captions: tuple[str, ...]
    fields: dict[str, Any] = field(default_factory=dict)
    name: str = ""


def plain(text: str) -> str:
    """One line that UTF-8 can spell and a terminal shows as it is: names and captions may hold what moves its cursor or
    names its window. Plain text stays as it is."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class LeftOut(Exception):
    """A pair that does not go into the data set. `kind` ("unreadable image", "too small", ...) is what it is counted
    as; `reason` names it to people, in `plain` words."""

    def __init__(self, kind: str, reason: str) -> None:
        reason = plain(reason)
        super().__init__(f"{kind}: {reason}")
        self.kind, self.reason = kind, reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:  # it crosses processes
        return type(self), (self.kind, self.reason)


class BadPair(LeftOut):
    """A pair that cannot be used ("unreadable image", "missing image", "empty caption", "unreadable text", "broken
    tar"): too many of them are an error."""


class Unwanted(LeftOut):
    """A pair that could be used, but that a filter was told to leave out: any number is right."""


class Source(Protocol):
    """A data set of rows: one file of this folder each. Any pair can be had by its number, in any order and any
    process, so a shard is a function of its rows alone, and a killed run goes on at the next shard.

    `splits`: name -> number of rows, bad ones too. `identity`: plain JSON that says which data set this is;
    shards of another identity are never mixed in one folder. Constructing one checks what can be checked
    (ValueError) and reads no picture. One that knows the licence of its pictures has `licence`, a text for people."""

    splits: dict[str, int]
    identity: dict[str, Any]

    def pair(self, split: str, row: int) -> Pair:
        """Row `row` (0 <= row < splits[split]) of a split; BadPair when it cannot be used."""
        ...


class Captioned(Source, Protocol):
    """A source that knows its captions without its pictures."""

    def captions(self, split: str, row: int) -> tuple[str, ...]:
        """Those of a pair, none of them blank; BadPair when they cannot be read."""
        ...


class Tars(Protocol):
    """A data set that is WebDataset tars already: each is read once, for its index, and stays as it is.

    `splits`: name -> its tars, paths or addresses. `identity`: as in `Source`."""

    splits: dict[str, list[str]]
    identity: dict[str, Any]

    def pair(self, sample: dict[str, Any]) -> Pair:
        """A sample as WebDataset has it ({"__key__": ..., "jpg": bytes, ...}) -> the pair; BadPair when it cannot be
        used."""
        ...
