"""Forecasts against simulated studies of the size that they ask for."""

import numpy as np
import pytest

from imagen.rating.statistics.crossed import means
from imagen.rating.statistics.power import Parts, parts, power

A, B, E = 0.16, 0.09, 1.0  # variances of raters, prompts, and the rest


def study(
    raters: int, prompts: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    who, what = np.divmod(np.arange(raters * prompts), prompts)
    y = random.normal(0, A**0.5, raters)[who] + random.normal(0, B**0.5, prompts)[what]
    return y + random.normal(0, E**0.5, len(who)), who, what


def test_parts_are_recovered() -> None:
    random = np.random.default_rng(0)
    found = [parts(*study(30, 40, random)) for _ in range(100)]
    assert np.mean([one.rater for one in found]) == pytest.approx(A, rel=0.12)
    assert np.mean([one.prompt for one in found]) == pytest.approx(B, rel=0.12)
    assert np.mean([one.rest for one in found]) == pytest.approx(E, rel=0.05)
    assert (found[0].raters, found[0].prompts, found[0].density) == (30, 40, 1)


@pytest.mark.parametrize("seed", range(2))
def test_the_study_that_is_asked_for_is_as_sure_as_wanted(seed: int) -> None:
    random = np.random.default_rng(seed)
    known = Parts(A, B, E, 10, 15, 1.0)
    now = known.half_width(10, 15)
    need = power(known, 0.6 * now)
    assert need.now == now
    assert need.both is not None
    for raters, prompts in ((10 + need.both[0], 15 + need.both[1]), (10, 15)):
        widths = []
        for _ in range(40):
            y, who, what = study(raters, prompts, random)
            one = means(y[:, None], who, what, random, 300)[0]
            widths.append((one.high - one.low) / 2)
        assert np.mean(widths) == pytest.approx(known.half_width(raters, prompts), rel=0.1)


def test_the_number_is_the_least() -> None:
    known = Parts(A, B, E, 10, 40, 0.5)
    need = power(known, 0.8 * known.half_width(10, 40))
    assert need.raters is not None
    assert known.half_width(10 + need.raters, 40) <= need.wanted < known.half_width(9 + need.raters, 40)


def test_what_more_of_one_kind_cannot_do_is_told() -> None:
    need = power(Parts(A, 0.0, E, 10, 40, 1.0), 0.1)
    assert need.prompts is None  # ten raters' taste is wider
    assert need.raters
    assert power(Parts(0.0, 0.0, 0.0, 2, 2, 1.0), 0.1).raters == 0
    with pytest.raises(ValueError, match="wanted=0"):
        power(Parts(A, B, E, 10, 40, 1.0), 0)
    with pytest.raises(ValueError, match="1 raters, 5 prompts"):
        parts(np.arange(5.0), np.zeros(5, int), np.arange(5))
