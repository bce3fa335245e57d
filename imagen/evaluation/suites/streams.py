"""Any number of different prompts from a space that can be counted: its members in a random order, without a list of them."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from imagen.evaluation.suites.suite import Prompt

ROUNDS = 6


@dataclass(frozen=True)
class Space:
    """`size` different prompts, of which `member(i)` is number i, 0 <= i < size."""

    name: str
    size: int
    member: Callable[[int], Prompt]


def shuffled(space: Space, seed: int) -> Iterator[Prompt]:
    """All members once, in an order that (seed, the space's name and size) alone decide."""
    key = hashlib.blake2b(f"{seed}/{space.name}/{space.size}".encode(), digest_size=16).digest()
    for index in range(space.size):
        yield space.member(_permuted(index, space.size, key))


def in_turn(streams: Sequence[Iterator[Prompt]]) -> Iterator[Prompt]:
    """One of each, over and over; a stream that has ended is passed over."""
    waiting = list(streams)
    while waiting:
        for stream in list(waiting):
            try:
                yield next(stream)
            except StopIteration:
                waiting.remove(stream)


def split_index(index: int, sizes: Sequence[int]) -> list[int]:
    """A number below the product of `sizes` -> one number below each: every combination has its own."""
    parts = []
    for size in reversed(sizes):
        index, part = divmod(index, size)
        parts.append(part)
    return parts[::-1]


def _permuted(index: int, size: int, key: bytes) -> int:
    """Where a random permutation of range(size) takes `index`: a Feistel network over the next even number of bits,
    walked on until it is in range (cycle walking, Black and Rogaway 2002)."""
    if size == 1:
        return 0
    half = ((size - 1).bit_length() + 1) // 2
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for turn in range(ROUNDS):
            digest = hashlib.blake2b(
                bytes([turn]) + right.to_bytes(8, "big"), key=key, digest_size=8
            ).digest()
            left, right = right, left ^ (int.from_bytes(digest, "big") & mask)
        index = left << half | right
        if index < size:
            return index
