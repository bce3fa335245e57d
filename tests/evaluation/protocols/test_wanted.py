"""What is wanted: pictures whose seeds do not depend on what else is wanted."""

import pytest

from imagen.evaluation.protocols.wanted import digest, wanted_of

ROWS = [("a red circle", "color", None), ("two stars", "count", {"count": 2})]


def test_a_pictures_seed_is_its_own() -> None:
    both, one = wanted_of(ROWS, 0, 3), wanted_of(ROWS[1:], 0, 2)
    seeds = {(row.prompt, row.number): row.seed for row in both}
    assert len(set(seeds.values())) == 6
    assert all(seeds[row.prompt, row.number] == row.seed for row in one)
    assert all(0 <= seed < 2**32 for seed in seeds.values())
    assert {row.seed for row in wanted_of(ROWS, 1, 3)}.isdisjoint(seeds.values())


def test_their_digest_is_of_everything() -> None:
    given = wanted_of(ROWS, 0)
    changed = [
        wanted_of(ROWS, 1),
        wanted_of(ROWS[::-1], 0),
        wanted_of([ROWS[0], ("two stars", "count", {"count": 3})], 0),
        wanted_of([ROWS[0], ("two stars", "other", {"count": 2})], 0),
    ]
    assert digest(given) == digest(wanted_of(ROWS, 0))
    assert len({digest(given), *map(digest, changed)}) == 5


def test_no_pictures_of_a_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match=r"protocol.per_prompt=0"):
        wanted_of(ROWS, 0, 0)
