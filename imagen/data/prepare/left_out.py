"""What of a source does not go into a data set: counted by kind, a few of each named, and too many refused."""

from imagen.data.index import Index

NAMED = 3  # so many of a kind are named to people
DUPLICATE = "exact duplicate"


class LeftOut:
    """The tally over all shards. `total`: all rows, or None while nobody knows. `max_bad`: share of rows that may be
    unusable; what a filter leaves out, or was there before, is right in any number."""

    def __init__(self, total: int | None, max_bad: float) -> None:
        self.total, self.max_bad = total, max_bad
        self.bad, self.first = 0, ""
        self.kinds: dict[str, int] = {}
        self.examples: dict[str, list[str]] = {}

    def add(self, name: str, left_out: list[Index]) -> None:
        """What shard `name` left out. ValueError when that is too many of all rows."""
        split = name.rpartition("-")[0]
        for part in left_out:
            kind, row, reason = part["kind"], part["row"], part["reason"]
            self._count(kind, f"{split} row {row}: {reason.removeprefix(kind + ': ')}".rstrip(": "))
            if part["bad"]:
                self.bad, self.first = self.bad + 1, self.first or f"row {row}: {reason}"
        if self.total is not None:
            self.refuse(self.total)

    def add_duplicates(self, name: str, numbers: list[int]) -> None:
        """The pairs of shard `name` that equal earlier ones."""
        for number in numbers:
            self._count(DUPLICATE, f"{name} pair {number}")

    def refuse(self, rows: int) -> None:
        """ValueError when too many of all `rows` are unusable."""
        if self.bad > self.max_bad * rows:
            raise ValueError(
                f"{self._told()}: more than max_bad={self.max_bad} of all {rows}; put them right, or give a larger max_bad="
            )

    def refuse_all(self, left: int) -> None:
        """ValueError when no pair is `left`."""
        if not left and self.bad:
            raise ValueError(f"{self._told()}: nothing is left to train on")
        if not left:
            kinds = ", ".join(f"{kind} {count}" for kind, count in self.kinds.items()) or "no pairs at all"
            raise ValueError(f"nothing is left to train on ({kinds}): loosen filters=")

    def _count(self, kind: str, example: str) -> None:
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if self.kinds[kind] <= NAMED:
            self.examples.setdefault(kind, []).append(example)

    def _told(self) -> str:
        return f"{self.bad} pairs cannot be used (the first is {self.first})"
