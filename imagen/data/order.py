"""The order in which a data set is seen: a property of (seed, epoch), which ranks and workers share out."""

import hashlib
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np


class Order:
    """An endless stream of pairs: position p >= 0 -> (epoch, shard, row). Every n positions see each of the n
    pairs once.

    `sizes`: pairs of each shard. Shuffled in two levels: the shards of an epoch, then the pairs within each
    `window` of consecutive shards, so that only so many files are read at a time. Any position is found
    without the ones before it."""

    def __init__(self, sizes: list[int], seed: int, window: int = 8, shuffle: bool = True) -> None:
        self.sizes, self.total = np.array(sizes), sum(sizes)
        # of more shards than there are is of all: numpy counts in 64 bits only
        self.seed, self.window, self.shuffle = seed, min(window, max(len(sizes), 1)), shuffle
        self._epoch: tuple[int, np.ndarray, np.ndarray] | None = (
            None  # the last ones looked at: positions come in turn
        )
        self._window: tuple[int, int, np.ndarray] | None = None

    def __len__(self) -> int:
        return self.total

    def instead(self, position: int, chance: float) -> tuple[int, int, int]:
        """Another (epoch, shard, row) of the epoch that `position` lies in, by `chance` in [0, 1)."""
        return self(position - position % self.total + int(chance * self.total))

    def __call__(self, position: int) -> tuple[int, int, int]:
        """(epoch, shard, row) at `position` of the stream."""
        epoch, within = divmod(position, self.total)
        shards, ends = self._shards_of(epoch)
        number = int(np.searchsorted(ends, within, side="right"))
        if self._window is None or self._window[:2] != (epoch, number):
            inside = shards[number * self.window : (number + 1) * self.window]
            self._window = (epoch, number, self._pairs_of(epoch, number, inside))
        shard, row = self._window[2][within - (int(ends[number - 1]) if number else 0)]
        return epoch, int(shard), int(row)

    def _shards_of(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The epoch's shards in turn, and after how many pairs each window ends."""
        if self._epoch is None or self._epoch[0] != epoch:
            shards = (
                _permutation(len(self.sizes), self.seed, epoch)
                if self.shuffle
                else np.arange(len(self.sizes))
            )
            last = np.append(np.arange(self.window - 1, len(shards) - 1, self.window), len(shards) - 1)
            self._epoch = (epoch, shards, np.cumsum(self.sizes[shards])[last])
        return self._epoch[1:]

    def _pairs_of(self, epoch: int, number: int, shards: np.ndarray) -> np.ndarray:
        """The pairs (shard, row) of a window, in turn."""
        pairs = np.concatenate(
            [np.stack([np.full(int(self.sizes[s]), s), np.arange(int(self.sizes[s]))], 1) for s in shards]
        )
        return pairs[_permutation(len(pairs), self.seed, epoch, number)] if self.shuffle else pairs


class Mixture:
    """Several orders as one endless stream, in exact proportion: of the first p positions, order i has p w_i to within
    one (two orders; a little more with many). Each has its own epochs, and starts again when it is through.

    `weights`: positive, in any unit: [1, 1] are two halves. Shards are numbered through, those of the first order
    first. Any position is found without the ones before it."""

    def __init__(self, orders: Sequence[Order], weights: Sequence[float]) -> None:
        self.orders = orders
        shares = [Fraction(weight).limit_denominator(10**6) for weight in weights]
        # of what the orders before it leave over, an order takes this share
        self._shares = [share / sum(shares[i:]) for i, share in enumerate(shares)]
        self._first_shard = np.cumsum([0, *(len(order.sizes) for order in orders)]).tolist()

    def __len__(self) -> int:
        return sum(map(len, self.orders))

    def __call__(self, position: int) -> tuple[int, int, int]:
        """(epoch, shard, row) at `position` of the stream; the epoch is that of the shard's data set."""
        return self._numbered(*self.place(position))

    def instead(self, position: int, chance: float) -> tuple[int, int, int]:
        """As `Order.instead`, from the same data set."""
        number, within = self.place(position)
        epoch, shard, row = self.orders[number].instead(within, chance)
        return epoch, shard + self._first_shard[number], row

    def place(self, position: int) -> tuple[int, int]:
        """(number of the order, position in it)."""
        for number, share in enumerate(self._shares):
            before, after = (_rounded(share * p) for p in (position, position + 1))
            if after > before:
                return number, before
            position -= before
        raise AssertionError("the last order takes all that is left")

    def _numbered(self, number: int, within: int) -> tuple[int, int, int]:
        epoch, shard, row = self.orders[number](within)
        return epoch, shard + self._first_shard[number], row


def _rounded(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))


def chance(seed: int, position: int, what: str) -> float:
    """A number on [0, 1) for one decision (`what`) at one position of the stream; the same on every
    machine."""
    digest = hashlib.blake2b(f"{what} {seed} {position}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / 2**53


def _permutation(n: int, *seed: int) -> np.ndarray:
    # by sorting raw bits, whose stream numpy keeps for ever; Generator.permutation may change some day
    return np.argsort(np.random.PCG64(list(seed)).random_raw(n), kind="stable")
