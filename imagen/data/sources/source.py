"""What a data set is before it is shards: splits of numbered pairs, each of a picture's bytes and its
captions."""

from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Pair:
    """One picture and what is said of it.

    `image`: the bytes of a jpg or png file, `extension` which of the two. `captions`: at least one, none of
    them blank. `fields`: plain JSON values kept beside the picture in its shard (where it came from, its
    licence, its scene, ...)."""

    image: bytes
    extension: str
    captions: tuple[str, ...]
    fields: dict[str, Any] = field(default_factory=dict)


class BadPair(Exception):
    """A pair that cannot be used. `kind` ("unreadable image", "missing image", "empty caption", "unreadable text")
    is what it is counted as."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"{kind}: {reason}")
        self.kind, self.reason = kind, reason


class Source(Protocol):
    """A data set: one file of this folder each. Any pair can be had by its number, in any order and any
    process, so a shard is a function of its rows alone, and a killed run goes on at the next shard.

    `splits`: name -> number of rows, bad ones too. `identity`: plain JSON that says which data set this is;
    shards of another identity are never mixed in one folder. Constructing one checks what can be checked
    (ValueError) and reads no picture."""

    splits: dict[str, int]
    identity: dict[str, Any]

    def pair(self, split: str, row: int) -> Pair:
        """Row `row` (0 <= row < splits[split]) of a split; BadPair when it cannot be used."""
        ...
