"""How much disk a data set will take, before it is written: by a few pairs of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from imagen.data.members import scan
from imagen.data.prepare.filters import Filters
from imagen.data.prepare.writing import members_of
from imagen.data.remote import is_address
from imagen.data.sources.source import LeftOut, Pair, Source, Tars, plain
from imagen.files import size_in_words

LOOKED_AT = 64  # pairs of a split
HEADERS = 3 * 1024  # bytes of a pair's three tar headers and of filling up to whole blocks
INDEX = 100  # bytes of a pair in the index, about
CHARACTERS = 4  # of a caption a token, about
TOKENS = 128  # of a caption at most: where encoders cut one off unless told otherwise
REMOTE = 10_000  # pairs of a tar that lies elsewhere: what img2dataset puts into one unless told otherwise
REMOTE_TOKENS = 20  # of a caption there


@dataclass
class Estimate:
    """What a source will take. `pairs`: that will be left, of `looked` pairs that were looked at and all others alike;
    `left_out`: kind -> how many of those looked at. `shards`, `embeddings`: bytes on disk, `bytes` together."""

    pairs: int = 0
    shards: int = 0
    embeddings: int = 0
    looked: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return self.shards + self.embeddings

    def add(self, pairs: int, some: "Some", each: float, dim: int) -> None:
        """A split of so many `pairs`, of which `some` were looked at; those that are wanted take `each` bytes."""
        self.looked += some.looked
        for kind, count in some.left_out.items():
            self.left_out[kind] = self.left_out.get(kind, 0) + count
        if some.pairs:
            kept = pairs * len(some.pairs) / some.looked
            self.pairs += round(kept)
            self.shards += round(kept * each)
            self.embeddings += round(kept * sum(map(_tokens, some.pairs)) * dim * 2 / len(some.pairs))

    def __str__(self) -> str:
        words = (
            f"about {self.pairs:,} pairs: {size_in_words(self.shards)} of shards, {size_in_words(self.embeddings)} of "
            "text embeddings"
        )
        if self.left_out:
            kinds = ", ".join(f"{count} {kind}" for kind, count in self.left_out.items())
            words += f" (of {self.looked} pairs looked at, left out: {kinds})"
        return words


@dataclass
class Some:
    """Pairs of a split that were looked at: the wanted ones, the bytes that they take if shards are written of them, and
    how many of each kind were left out."""

    pairs: list[Pair] = field(default_factory=list)
    bytes: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    columns: set[str] = field(default_factory=set)

    def wanted(self, pair: Pair, filters: Filters) -> Pair:
        """The pair as `filters` let it through; LeftOut when they do not."""
        self.columns.update(pair.fields)
        return filters(pair)

    def check(self, filters: Filters) -> None:
        """ValueError for a column that no pair has which was looked at: a slip of the finger, most likely."""
        for name in filters.columns or {}:
            if self.columns and name not in self.columns:
                there = ", ".join(sorted(map(plain, self.columns)))
                raise ValueError(
                    f"filters.columns: no pair of those looked at has {plain(name)}; they have {there}"
                )

    @property
    def looked(self) -> int:
        return len(self.pairs) + sum(self.left_out.values())

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Counts a pair that is left out in here."""
        try:
            yield
        except LeftOut as why:
            self.left_out[why.kind] = self.left_out.get(why.kind, 0) + 1


def estimate(source: Source | Tars, dim: int, filters: Filters | None = None) -> Estimate:
    """Of all splits, by `LOOKED_AT` rows spread over each, as `filters` let them through; embeddings of width `dim` in
    half precision, 0 for none. Of tars that stay where they are, by the first pairs of the first, the middle and the last
    one and the sizes of all; remote ones, which are not asked, are taken for 10,000 pairs each."""
    found, filters = Estimate(), filters or Filters()
    read: Callable[..., Pair] = source.pair
    for split, content in source.splits.items():
        if isinstance(content, int):
            some, rows = Some(), range(0, content, max(content // LOOKED_AT, 1))
            for row in rows:
                with some.looking():
                    pair = some.wanted(read(split, row), filters)
                    some.bytes += _bytes(pair)
                    some.pairs.append(pair)
            some.check(filters)
            found.add(content, some, some.bytes / max(len(some.pairs), 1), dim)
        elif all(map(is_address, content)):
            pairs = REMOTE * len(content)
            found.pairs += pairs
            found.shards += pairs * INDEX
            found.embeddings += pairs * REMOTE_TOKENS * dim * 2
        else:
            some, size = Some(), 0
            # the first tar may be unlike the others: sets come in the order of their quality, or of their sources
            spread = sorted({0, len(content) // 2, len(content) - 1})
            for number, at in enumerate(spread):
                most, end = (LOOKED_AT + number) // len(spread), 0
                for entry in islice(scan(Path(content[at]), lambda words: None, pictures=True), most):
                    with some.looking():
                        some.pairs.append(some.wanted(read(entry.whole()), filters))
                    end = entry.end
                size += end
            some.check(filters)
            if size:
                pairs = sum(Path(tar).stat().st_size for tar in content) * some.looked // size
                found.add(pairs, some, INDEX, dim)
    return found


def _bytes(pair: Pair) -> int:
    return sum(map(len, members_of(pair, "").values())) + HEADERS + INDEX


def _tokens(pair: Pair) -> int:
    return sum(min(len(caption) // CHARACTERS + 2, TOKENS) for caption in pair.captions)
