"""The order of a data set is a function of (seed, epoch), found at any place without the places before it."""

from collections import Counter

import pytest

from imagen.data.order import Mixture, Order, chance

SIZES = [5, 0, 7, 3, 4, 6]


def stream(order: Order, count: int) -> list[tuple[int, int, int]]:
    return [order(position) for position in range(count)]


def test_every_pair_once_an_epoch() -> None:
    order = Order(SIZES, seed=3, window=2)
    everything = {(shard, row) for shard, size in enumerate(SIZES) for row in range(size)}
    for epoch in range(3):
        seen = stream(order, 75)[25 * epoch : 25 * (epoch + 1)]
        assert {number for number, _, _ in seen} == {epoch}
        assert len(seen) == len({pair[1:] for pair in seen}) == 25
        assert {pair[1:] for pair in seen} == everything


def test_places_are_found_in_any_order() -> None:
    expected = stream(Order(SIZES, 1, window=2), 60)
    order = Order(SIZES, 1, window=2)
    assert [order(p) for p in reversed(range(60))][::-1] == expected
    assert Order(SIZES, 1, window=2)(47) == expected[47]


def test_seeds_and_epochs_differ_and_windows_hold() -> None:
    order = Order(SIZES, 1, window=2)
    first, second = stream(order, 25), stream(order, 50)[25:]
    assert [p[1:] for p in first] != [p[1:] for p in second]
    assert first != stream(Order(SIZES, 2, window=2), 25)
    # pairs of at most two shards are mixed: once a third one comes, the first two are over
    runs: list[set[int]] = [set()]
    for _, shard, _ in first:
        if shard not in runs[-1] and len(runs[-1]) == 2:
            runs.append(set())
        runs[-1].add(shard)
    assert len(runs) == 3


def test_unshuffled_is_the_order_of_the_shards() -> None:
    plain = [(0, shard, row) for shard, size in enumerate(SIZES) for row in range(size)]
    assert stream(Order(SIZES, 9, window=2, shuffle=False), 25) == plain


def test_a_window_of_more_shards_than_there_are_is_of_all() -> None:
    expected = stream(Order(SIZES, 1, window=len(SIZES)), 50)
    for window in (len(SIZES) + 1, 10**23):
        assert stream(Order(SIZES, 1, window=window), 50) == expected


def test_chance_is_uniform_and_fixed() -> None:
    draws = [chance(7, position, "caption") for position in range(4000)]
    assert all(0 <= d < 1 for d in draws)
    assert abs(sum(draws) / len(draws) - 0.5) < 0.02
    assert draws[:3] != [chance(7, position, "place") for position in range(3)]
    assert chance(0, 0, "x") == chance(0, 0, "x")


@pytest.mark.parametrize("weights", [[1, 1], [0.9, 0.1], [1, 2, 4], [0.3, 0.3, 0.4]])
def test_proportions_hold_at_every_time(weights: list[float]) -> None:
    orders = [Order([3, 4], seed) for seed in range(len(weights))]
    mixture, seen = Mixture(orders, weights), Counter()
    for position in range(2000):
        number, within = mixture.place(position)
        assert within == seen[number], "every position of an order, once, in turn"
        seen[number] += 1
        for i, weight in enumerate(weights):
            assert abs(seen[i] - (position + 1) * weight / sum(weights)) <= len(weights) / 2


def test_each_data_set_is_exhausted_and_starts_again_on_its_own() -> None:
    small, large = Order([2, 3], 0), Order([10], 1)
    mixture = Mixture([small, large], [1, 1])
    taken = [mixture(position) for position in range(40)]
    mine = [(epoch, shard, row) for epoch, shard, row in taken if shard < 2]
    other = [(epoch, shard - 2, row) for epoch, shard, row in taken if shard >= 2]
    assert mine == [small(p) for p in range(20)]
    assert other == [large(p) for p in range(20)]
    for epoch in range(4):
        assert {(s, r) for e, s, r in mine if e == epoch} == {(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)}


def test_another_pair_is_of_the_same_data_set_and_epoch() -> None:
    mixture = Mixture([Order([2, 3], 0), Order([10], 1)], [1, 3])
    for position in range(100):
        epoch, shard, _ = mixture(position)
        for part in (0.0, 0.5, 0.999):
            e, s, _ = mixture.instead(position, part)
            assert (e, s < 2) == (epoch, shard < 2)
