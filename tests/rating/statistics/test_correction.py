"""Holm and Benjamini-Hochberg by their own formulas."""

import pytest

from imagen.rating.statistics.correction import corrected

P = {f"c{i}": p for i, p in enumerate([0.001, 0.04, 0.03, 0.9, 0.004, 0.2, 0.012, 0.5, 0.0001, 0.07, 0.05])}


def test_holm() -> None:
    """The i-th smallest of m times m - i + 1, never less than a smaller one's."""
    found, most = corrected(P), 0.0
    for i, name in enumerate(sorted(P, key=P.__getitem__)):
        most = max(most, min(1.0, P[name] * (len(P) - i)))
        assert found[name].adjusted == pytest.approx(most)
        assert found[name].holds == (most <= 0.05)
        assert found[name].p == P[name]
    assert list(found) == list(P)


def test_benjamini_hochberg() -> None:
    """The i-th smallest of m times m / i, never more than a larger one's."""
    found, least = corrected(P, "fdr_bh"), 1.0
    names = sorted(P, key=P.__getitem__)
    for i in range(len(P), 0, -1):
        least = min(least, P[names[i - 1]] * len(P) / i)
        assert found[names[i - 1]].adjusted == pytest.approx(least)
    assert sum(one.holds for one in found.values()) > sum(one.holds for one in corrected(P).values())


def test_nothing_is_corrected_where_there_is_one_or_none() -> None:
    assert corrected({}) == {}
    assert corrected({"all": 0.03})["all"].adjusted == 0.03
