"""How much disk a data set will take, before it is written: by a few rows of it."""

from dataclasses import dataclass
from pathlib import Path

from imagen.data.remote import is_address
from imagen.data.sources.source import LeftOut, Pair, Source, Tars

LOOKED_AT = 64  # rows
HEADERS = 3 * 1024  # bytes of a pair's three tar headers and of filling up to whole blocks
INDEX = 100  # bytes of a pair in the index, about
CHARACTERS = 4  # of a caption a token, about
PICTURE = 100_000  # bytes of a pair in a tar of others, about
REMOTE = 10_000  # pairs of a tar that lies elsewhere: what img2dataset puts into one unless told otherwise


@dataclass(frozen=True)
class Estimate:
    """What a source will take. `bytes`: `shards` and `embeddings` together."""

    pairs: int
    shards: int
    embeddings: int

    @property
    def bytes(self) -> int:
        return self.shards + self.embeddings

    def __str__(self) -> str:
        return (
            f"about {self.pairs:,} pairs: {self.shards / 1e9:.2f} GB of shards, {self.embeddings / 1e9:.2f} GB of "
            "text embeddings"
        )


def estimate(source: Source | Tars, dim: int) -> Estimate:
    """Of all splits, by the mean of `LOOKED_AT` rows spread over each; embeddings of width `dim` in half precision, 0
    for none. Of tars that stay where they are, by their sizes: their pictures are taken for 100 kB; remote ones, which are
    not asked, for 10,000 pairs each."""
    pairs = shards = embeddings = 0
    for split, content in source.splits.items():
        if isinstance(content, int):
            step = max(content // LOOKED_AT, 1)
            some = [
                pair for row in range(0, content, step) if (pair := _pair(source, split, row)) is not None
            ]
            if not some:
                continue
            each = sum(len(p.image) + len(str(p.fields)) + 2 * _characters(p) + HEADERS + INDEX for p in some)
            pairs += content
            shards += content * each // len(some)
            embeddings += content * sum(_tokens(p) for p in some) * dim * 2 // len(some)
        else:
            count = sum(REMOTE if is_address(tar) else Path(tar).stat().st_size // PICTURE for tar in content)
            pairs += count
            shards += count * INDEX
            embeddings += count * 20 * dim * 2
    return Estimate(pairs, shards, embeddings)


def _pair(source: Source | Tars, split: str, row: int) -> Pair | None:
    try:
        return source.pair(split, row)  # type: ignore[call-arg, arg-type]
    except LeftOut:
        return None


def _characters(pair: Pair) -> int:
    return sum(map(len, pair.captions))


def _tokens(pair: Pair) -> int:
    return sum(len(caption) // CHARACTERS + 2 for caption in pair.captions)
