"""Composed suites: seeded, without duplicates, a prefix of larger ones, and true: the judge agrees with their ground truth."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from imagen.data.shapes.captions import parse
from imagen.data.shapes.render import draw
from imagen.data.shapes.sampling import _placed
from imagen.data.shapes.scene import OPPOSITE, Group, Scene
from imagen.data.shapes.splits import split_of
from imagen.evaluation.shapes_judge import judge, score
from imagen.evaluation.suites import open_prompts
from imagen.evaluation.suites.compose import WORLDS, compose, size_of
from imagen.evaluation.suites.drawn_prompts import asked_for, truth_of
from imagen.evaluation.suites.streams import Space, shuffled
from imagen.evaluation.suites.suite import Prompt

BOTH = pytest.mark.parametrize("world", list(WORLDS))


@pytest.mark.parametrize("size", [1, 2, 3, 16, 17, 1000])
def test_a_space_is_gone_through_once_in_another_order_for_each_seed(size: int) -> None:
    space = Space("numbers", size, lambda i: Prompt(str(i)))
    orders = [[int(p.prompt) for p in shuffled(space, seed)] for seed in (0, 0, 1)]
    assert sorted(orders[0]) == list(range(size))
    assert orders[0] == orders[1]
    if size > 10:
        assert orders[0] != orders[2]
        assert sum(abs(a - b) == 1 for a, b in pairwise(orders[0])) < size / 4


@BOTH
def test_the_same_seed_is_the_same_suite_and_its_first_prompts_those_of_less(world: str) -> None:
    large, small = compose(world, 1000, 3), compose(world, 100, 3)
    assert large.sha256 == compose(world, 1000, 3).sha256
    assert large.prompts[:100] == small.prompts
    assert small.sha256 != compose(world, 100, 4).sha256
    counts = list(small.categories.values())
    assert max(counts) - min(counts) <= 1, "categories in turn"
    assert all(prompt.truth for prompt in large.prompts)


@BOTH
def test_members_of_all_spaces_differ(world: str) -> None:
    seen = Counter[str]()
    for kinds in WORLDS[world].spaces().values():
        for space in kinds:
            step = max(1, space.size // 3000)
            seen.update(space.member(i).prompt for i in range(0, space.size, step))
            assert space.member(space.size - 1).prompt
    assert max(seen.values()) == 1


def test_the_small_categories_can_be_had_whole_and_no_more() -> None:
    sizes = size_of("shapes")
    assert sizes["Colors"] == 360
    assert len({p.prompt for p in compose("shapes", 360, 0, ["Colors"]).prompts}) == 360
    with pytest.raises(ValueError, match="n=361: world=shapes has 360 different prompts in Colors"):
        compose("shapes", 361, 0, ["Colors"])
    mixed = compose("shapes", 900, 0, ["Colors", "Positional"]).categories
    assert mixed == {"Colors": 360, "Positional": 540}, "a category that ran out is passed over"
    assert sum(size_of("open").values()) > 1_000_000


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("sea", 1, 0), "world=sea: there is no such world; choose from shapes, open"),
        (("open", 1, 0, ["Reddit"]), "world=open has no 'Reddit'; choose from Colors"),
        (("open", 1, 0, []), "choose from Colors"),
        (("open", 0, 0), "give at least 1 prompt"),
        (("open", 1, -1), "a seed of at least 0"),
        (("open", 1, 0, None, "test"), "only world=shapes has splits"),
        (("shapes", 1, 0, None, "tset"), "has splits: train, test"),
    ],
)
def test_what_there_is_not(given: tuple, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compose(*given)


def drawn(prompt: Prompt, relation: str | None = None) -> np.ndarray:
    """A picture of what the truth asks for, of 64 x 64 pixels."""
    asked = asked_for(prompt.truth or {})
    groups = tuple(
        Group(g.count, g.color, g.shape, g.size or "small", "plain", 0.0, ()) for g in asked.groups
    )
    scene = Scene(groups, relation or asked.relation, asked.background or "white")
    return draw(_placed(scene, np.random.default_rng(0)), 64)


def test_the_judge_agrees_with_the_truth_of_the_drawn_world() -> None:
    for prompt in compose("shapes", 200, 1).prompts:
        asked = asked_for(prompt.truth or {})
        assert asked == parse(prompt.prompt)
        assert truth_of(asked) == prompt.truth
        assert score(judge(drawn(prompt)), asked)["scene"], prompt
        if asked.relation:
            assert not score(judge(drawn(prompt, OPPOSITE[asked.relation])), asked)["scene"], prompt


def test_tags_say_what_was_held_out() -> None:
    for prompt in compose("shapes", 40, 0, split="unseen").prompts:
        asked = asked_for(prompt.truth or {})
        groups = tuple(Group(g.count, g.color, g.shape, "", "", 0.0, ()) for g in asked.groups)
        assert split_of(Scene(groups, asked.relation, "")) == "unseen"


@pytest.mark.parametrize(
    "truth",
    [
        {},
        {"world": "open"},
        {"world": "shapes", "groups": []},
        {"world": "shapes", "groups": [{"count": 9, "color": "red", "shape": "star"}]},
        {"world": "shapes", "groups": [{"count": 1, "color": "red", "shape": "star"}], "relation": "in"},
        {"world": "shapes", "groups": 3},
        {"world": "shapes", "groups": [{"count": 1, "color": [], "shape": "star"}]},
    ],
)
def test_a_truth_of_another_world_is_refused(truth: dict) -> None:
    with pytest.raises(ValueError, match="is none of the drawn world"):
        asked_for(truth)


def test_open_prompts_say_what_their_truth_says() -> None:
    for prompt in compose("open", 500, 0).prompts:
        assert prompt.truth
        include = prompt.truth["include"]
        for entry in include:
            assert entry.keys() <= {"class", "count", "color", "position"}
            assert entry.get("color", "") in prompt.prompt
            if entry["count"] > 1:
                assert (
                    f"{open_prompts.NUMBERS[entry['count']]} {open_prompts.THINGS[entry['class']]}"
                    in prompt.prompt
                )
                assert {"class": entry["class"], "count": entry["count"] + 1} in prompt.truth["exclude"]
            elif prompt.category != "Misspellings":
                assert entry["class"] in prompt.prompt
        if prompt.category == "Positional":
            (relation, other), first = include[1]["position"], include[1]["class"]
            before, after = prompt.prompt.split(f" {relation} ")
            assert before.endswith(first)
            assert after.endswith(include[other]["class"])
        if prompt.category == "Conflicting":
            assert all(entry["color"] not in open_prompts.USUAL[entry["class"]] for entry in include)
    words = " ".join(prompt.prompt for prompt in compose("open", 500, 0).prompts)
    assert " a orange" not in words
    assert "an red" not in words
