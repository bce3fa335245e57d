"""What of a source does not go into a data set: counted by kind, a few of each named, and too many refused."""

from imagen.data.index import Index
from imagen.data.sources.source import plain
from imagen.files import printable

NAMED = 3  # so many of a kind are named to people
DUPLICATE = "exact duplicate"


class TooManyBad(ValueError):
    """More pairs cannot be used than may be."""


def refuse_bad(bad: int, first: str, rows: int, max_bad: float) -> None:
    """TooManyBad when `bad` of all `rows`, of which one is called `first`, are too many."""
    if bad > max_bad * rows:
        raise TooManyBad(
            f"{bad} pairs cannot be used (the first is {printable(first, 300)}): more than max_bad={max_bad} of all "
            f"{rows}; put them right, or give a larger max_bad="
        )


class LeftOut:
    """The tally over all shards. `total`: all rows, or None while nobody knows. `max_bad`: share of rows that may be
    unusable; what a filter leaves out, or was there before, is right in any number."""

    def __init__(self, total: int | None, max_bad: float) -> None:
        self.total, self.max_bad = total, max_bad
        self.bad, self.first = 0, ""
        self.kinds: dict[str, int] = {}
        self.examples: dict[str, list[str]] = {}

    def add(self, where: str, left_out: list[Index]) -> None:
        """What a shard left out; `where` its rows are from, for people. TooManyBad when that is too many of all rows."""
        for part in left_out:
            # plain when it was written here; an index may also come from elsewhere
            kind, row, reason = plain(part["kind"]), part["row"], plain(part["reason"])
            self._count(kind, f"{where} row {row}: {reason.removeprefix(kind + ': ')}".rstrip(": "))
            if part["bad"]:
                self.bad, self.first = self.bad + 1, self.first or f"{where} row {row}: {reason}"
        if self.total is not None:
            self.refuse(self.total)

    def add_duplicates(self, count: int, examples: list[str]) -> None:
        """Pairs whose picture came before; a few of them, named."""
        for number in range(count):
            self._count(DUPLICATE, examples[number] if number < len(examples) else "")

    def refuse(self, rows: int) -> None:
        """TooManyBad when too many of all `rows` are unusable."""
        refuse_bad(self.bad, self.first, rows, self.max_bad)

    def refuse_all(self) -> None:
        """ValueError: no pair is left."""
        if not self.kinds:
            raise ValueError("nothing to train on: the source has no pairs at all")
        kinds = "; ".join(
            f"{count:,} {kind} ({self.examples[kind][0]})" for kind, count in self.kinds.items()
        )
        remedy = "put them right" if self.bad == sum(self.kinds.values()) else "loosen filters="
        raise ValueError(f"nothing is left to train on: {kinds}: {remedy}")

    def _count(self, kind: str, example: str) -> None:
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if self.kinds[kind] <= NAMED:
            self.examples.setdefault(kind, []).append(plain(example))
