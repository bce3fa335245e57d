"""What is planted lies within the stated intervals as often as they say, over 200 simulated studies each."""

from typing import Any

import numpy as np
import pytest
from scipy import optimize
from scipy.special import expit, log_softmax

from imagen.rating.statistics.bradley_terry import strengths
from imagen.rating.statistics.difficulty import item_response, told, weighted_preference
from imagen.rating.statistics.preference import by_category, differences, mean_scores, preference
from imagen.rating.statistics.simulate import NODES, WEIGHTS, World, choices, difficulties, scales
from imagen.rating.statistics.tables import pairs, scores

TIMES = 200
RESAMPLES = 200
# of 200 intervals that cover with 95 %, 183 to 197 do in 98.5 % of tests; intervals of 92.5 to 97.5 % are let through
LOW, HIGH = 0.91, 0.985
WORLD = World(
    {"ours": 0.6, "theirs": 0.0}, side=0.4, tie=-0.4, taste=0.5, fit=0.5, hardness=0.8, levelling=0.3, lapses=0.05, careless=0.08
)  # fmt: skip


def model_of(world: World) -> np.ndarray:
    """(3,): strength of ours above theirs, side and tie of Davidson's model that is nearest to all answers there could be, of
    which raters' tastes, prompts and lapses make a mixture."""
    answered = world.answered("ours", "theirs"), world.answered("theirs", "ours")

    def loss(at: np.ndarray) -> float:
        gap, side, tie = at
        halves = (gap + side) / 2, (side - gap) / 2
        return -sum(float(p @ log_softmax([h, tie, -h])) for p, h in zip(answered, halves))

    return optimize.minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-8}).x


@pytest.mark.parametrize(
    "size",
    [{"raters": 25, "prompts": 40}, {"raters": 40, "prompts": 60, "each": 12}],
    ids=["all see all", "blocks"],
)
def test_planted_preferences_are_covered(size: Any) -> None:
    """With ties, a side, raters' tastes, prompts, difficulty, lapses and careless raters."""
    truth = {"share": WORLD.share("ours", "theirs")}
    one, two = WORLD.answered("ours", "theirs"), WORLD.answered("theirs", "ours")
    truth["wins"], truth["same"] = (one[0] + two[2]) / 2, (one[1] + two[1]) / 2
    truth["strength"], truth["side"], truth["tie"] = model_of(WORLD)
    covered = dict.fromkeys(truth, 0)
    for seed in range(TIMES):
        random = np.random.default_rng(seed)
        table = pairs(choices(WORLD, random=random, **size), "alignment")
        found = preference(table, "ours", "theirs", random, RESAMPLES)
        model = strengths(table, random, RESAMPLES)
        assert model.side is not None
        assert model.tie is not None
        gap = model.strengths["ours"]  # of mean 0: half of the gap
        bounds = {
            "share": found.share, "wins": found.wins, "same": found.same, "side": model.side, "tie": model.tie,
        }  # fmt: skip
        for name, at in bounds.items():
            covered[name] += at.low <= truth[name] <= at.high
        covered["strength"] += 2 * gap.low <= truth["strength"] <= 2 * gap.high
    rates = {name: number / TIMES for name, number in covered.items()}
    assert all(LOW <= rate <= HIGH for rate in rates.values()), rates


def test_planted_scores_and_difficulty_are_covered() -> None:
    world = World({"ours": 0.8, "theirs": 0.0}, hardness=1.0, severity=0.8)
    b = NODES
    mean = {name: 10 * float(WEIGHTS @ expit(s - b) / WEIGHTS.sum()) for name, s in world.strengths.items()}
    covered: dict[str, int] = dict.fromkeys(("mean", "difference", "ability", "weighted"), 0)
    levelled = World({"ours": 0.8, "theirs": 0.0}, tie=-0.5, taste=0.4, fit=0.4, hardness=1.0, levelling=0.5)
    # the share on prompts of each difficulty, tastes and prompts integrated out
    shares = [
        World({"ours": 0.8 * np.exp(-0.5 * x), "theirs": 0.0}, tie=-0.5, taste=0.4, fit=0.4).share("ours", "theirs") for x in b
    ]  # fmt: skip
    weighted = float((WEIGHTS * expit(b)) @ shares / (WEIGHTS @ expit(b)))
    for seed in range(TIMES):
        random = np.random.default_rng(seed)
        hard = difficulties(world, 40, random)
        answers = scales(world, 20, 40, random, hard=hard, ask_difficulty=True)
        table = scores(answers, "faithful")
        found = item_response(table, random, RESAMPLES)
        [apart] = differences(table, random, RESAMPLES)
        own = mean_scores(table, random, RESAMPLES)["ours"]
        rows = pairs(choices(levelled, 20, 40, random, hard=hard), "alignment")
        by = weighted_preference(
            rows, "ours", "theirs", told(scores(answers, "difficulty")), random, RESAMPLES
        )
        assert by is not None
        for name, at, truth in (
            ("mean", own, mean["ours"]),
            ("difference", apart.difference, mean["ours"] - mean["theirs"]),
            ("ability", found.differences[0].difference, 0.8),
            ("weighted", by, weighted),
        ):
            covered[name] += at.low <= truth <= at.high
    rates = {name: number / TIMES for name, number in covered.items()}
    assert all(LOW <= rate <= HIGH for rate in rates.values()), rates


def test_where_there_is_no_preference_few_categories_hold() -> None:
    """Any of 11 in 5 % of studies at most, as Holm says; without a correction in many."""
    world = World({"ours": 0.0, "theirs": 0.0}, side=0.4, tie=-0.4, taste=0.4, fit=0.4)
    names = [f"c{i:02}" for i in range(11)]
    held, alone, inside = 0, 0, []
    for seed in range(TIMES):
        random = np.random.default_rng(seed)
        table = pairs(choices(world, 20, 88, random, categories=names), "alignment")
        found = by_category(table, "ours", "theirs", random, 100)
        least = min(one.share.p_value(0.5) for one in found.values())
        held += least * len(names) < 0.05  # Holm's first step
        alone += least < 0.05
        inside += [one.share.low <= 0.5 <= one.share.high for one in found.values()]
    assert held / TIMES <= 0.09
    assert alone / TIMES > 0.2
    assert LOW <= np.mean(inside) <= HIGH


def test_two_raters_a_category_do_not_make_false_preferences() -> None:
    """Whose tastes differ widely: Holm's 5 % are kept, though a spread that two happen not to show is looked for 11 times."""
    world = World({"ours": 0.0, "theirs": 0.0}, side=0.4, tie=-0.4, taste=1.0, fit=0.5)
    held = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        studies = [pairs(choices(world, 2, 10, random), "alignment") for _ in range(11)]
        found = [preference(table, "ours", "theirs", random, 100).share.p_value(0.5) for table in studies]
        held += min(found) * 11 < 0.05
    assert held / 60 <= 0.1


def test_planted_answers_are_as_the_world_says() -> None:
    random = np.random.default_rng(0)
    answers = choices(WORLD, 300, 300, random, each=60)
    shares = np.zeros(3)
    for answer in answers:
        if answer.shown == ("ours", "theirs"):
            shares[("left", "same", "right").index(str(answer.value))] += 1
    assert shares / shares.sum() == pytest.approx(WORLD.answered("ours", "theirs"), abs=0.03)
