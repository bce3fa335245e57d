"""Intervals over raters and prompts have the variance of a crossed random-effects model, in every part."""

import numpy as np
import pytest

from imagen.evaluation.metrics.bootstrap import bootstrap
from imagen.evaluation.suites.sizes import wilson
from imagen.rating.statistics.crossed import SHARE, _draws, mean_influence, means, ways


def effects(
    a: float, b: float, e: float, raters: int, prompts: int, random: np.random.Generator, each: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y = a rater's + b prompt's + e rest, standard deviations; each: prompts of a rater, all by default."""
    seen = [random.permutation(prompts)[: each or prompts] for _ in range(raters)]
    who = np.repeat(np.arange(raters), [len(one) for one in seen])
    what = np.concatenate(seen)
    y = random.normal(0, a, raters)[who] + random.normal(0, b, prompts)[what] + random.normal(0, e, len(who))
    return y, who, what


@pytest.mark.parametrize("parts", [(1, 0, 1), (0, 1, 1), (0.5, 0.5, 1), (0, 0, 1), (1, 1, 0.1)])
@pytest.mark.parametrize("each", [0, 12])
def test_the_variance_is_that_of_the_model(parts: tuple[float, float, float], each: int) -> None:
    """Var(mean) = a^2 sum n_r^2 / n^2 + b^2 sum n_p^2 / n^2 + e^2 / n, on average over studies."""
    random = np.random.default_rng(0)
    found, true = [], []
    for _ in range(200):
        y, who, what = effects(*parts, 40, 50, random, each)
        ways_ = ways(mean_influence(y[:, None])[1], who, what)
        found.append(float((ways_.raters + ways_.prompts - ways_.cells)[0]))
        even = ways_.evenness
        true.append(parts[0] ** 2 * even[0] + parts[1] ** 2 * even[1] + parts[2] ** 2 / len(y))
    assert np.mean(found) == pytest.approx(np.mean(true), rel=0.08)


def test_intervals_cover_and_those_of_one_way_are_too_narrow() -> None:
    random = np.random.default_rng(1)
    both, prompts_only, raters_only = 0, 0, 0
    for i in range(200):
        y, who, what = effects(0.6, 0.6, 1.0, 25, 25, random)
        one = means(y[:, None], who, what, random, 300)[0]
        both += one.low <= 0 <= one.high
        by_prompt, by_rater = (bootstrap(y, groups.tolist(), resamples=100, seed=i) for groups in (what, who))
        prompts_only += by_prompt.low <= 0 <= by_prompt.high
        raters_only += by_rater.low <= 0 <= by_rater.high
    assert 0.91 <= both / 200 <= 0.985
    assert prompts_only / 200 < 0.87
    assert raters_only / 200 < 0.87


def test_few_raters_make_wide_intervals() -> None:
    """Student's t of what little they tell: three raters are covered as often as said."""
    random = np.random.default_rng(2)
    covered = 0
    for _ in range(300):
        y, who, what = effects(1, 0.3, 1, 3, 30, random)
        one = means(y[:, None], who, what, random, 200)[0]
        covered += one.low <= 0 <= one.high
    assert 0.91 <= covered / 300 <= 0.985


def test_draws_count_an_answer_as_its_rater_times_its_prompt() -> None:
    """Against the plain way, a weight for every answer."""
    random = np.random.default_rng(3)
    y, who, what = effects(1, 1, 1, 7, 9, random, each=4)
    value, influence = mean_influence(y[:, None])
    drawn = value + _draws(influence, who, what, np.random.default_rng(4), 50)
    again = np.random.default_rng(4)
    times = again.multinomial(7, np.full(7, 1 / 7), 50), again.multinomial(9, np.full(9, 1 / 9), 50)
    weight = (times[0][:, who] * times[1][:, what]).astype(float)
    met = weight.sum(1) > 0
    assert drawn[met, 0] == pytest.approx((weight @ y)[met] / weight.sum(1)[met])


def test_weights_are_as_so_many_answers() -> None:
    random = np.random.default_rng(5)
    y = effects(1, 1, 1, 6, 8, random)[0]
    weight = random.integers(0, 3, len(y))
    value, influence = mean_influence(y[:, None], weight.astype(float))
    assert value[0] == pytest.approx(np.repeat(y, weight).mean())
    assert influence.sum() == pytest.approx(0)
    with pytest.raises(ValueError, match="weights of 0"):
        mean_influence(y[:, None], np.zeros(len(y)))


def test_answers_all_alike_are_not_certain() -> None:
    who, what = np.divmod(np.arange(12), 4)
    one = means(np.ones((12, 1)), who, what, np.random.default_rng(0), 100, SHARE)[0]
    assert (one.low, one.high) == wilson(1.0, 3)
    assert one.p_value(0.5) == pytest.approx(0.25)
    assert one.p_value(1.0) == 1


def test_one_rater_is_a_statement_about_prompts() -> None:
    random = np.random.default_rng(6)
    y = random.normal(0, 1, (400, 1))
    one = means(y, np.zeros(400, int), np.arange(400), random)[0]
    assert one.raters == 1
    assert one.p_value(3.0) == 1  # of other raters nothing follows
    assert one.error == pytest.approx(0.05, rel=0.1)
    with pytest.raises(ValueError, match="1 raters to 1 prompts"):
        means(y[:1], np.zeros(1, int), np.zeros(1, int), random)
    with pytest.raises(ValueError, match="resamples=99"):
        means(y, np.zeros(400, int), np.arange(400), random, 99)


def test_the_same_seed_makes_the_same_interval() -> None:
    y, who, what = effects(1, 1, 1, 5, 6, np.random.default_rng(7))
    found = [means(y[:, None], who, what, np.random.default_rng(seed))[0] for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
