"""Scenes: deterministic, well placed, in their split; what is held out is never trained on, its parts are."""

import json
import sys
from collections import Counter
from dataclasses import asdict

import pytest

from imagen.data.shapes import (
    CATEGORIES,
    SPLITS,
    category_of,
    parse,
    prompts,
    scene_from_dict,
    scene_of,
    split_of,
)
from imagen.data.shapes.scene import COLORS, GAP, MARGIN, SHAPES, SIZES, Scene
from imagen.data.shapes.splits import HELD_OUT_PAIRS, HELD_OUT_RELATIONS, composition


@pytest.fixture(scope="module")
def scenes() -> dict[str, list[Scene]]:
    return {
        split: [scene_of(split, 0, i) for i in range(3000 if split == "train" else 300)] for split in SPLITS
    }


def test_a_scene_depends_on_its_number_alone(scenes: dict[str, list[Scene]]) -> None:
    assert scene_of("test", 0, 70) == scenes["test"][70]
    assert len({scene_of("train", seed, 5) for seed in range(20)}) == 20
    assert len(set(scenes["train"])) == 3000


def test_a_scene_passes_through_json(scenes: dict[str, list[Scene]]) -> None:
    for scene in scenes["train"][:20]:
        assert scene_from_dict(json.loads(json.dumps(asdict(scene)))) == scene


def test_objects_keep_their_distance_and_their_half(scenes: dict[str, list[Scene]]) -> None:
    for scene in scenes["train"] + scenes["unseen"]:
        placed = [(x, y, group.diameter) for group in scene.groups for x, y in group.centres]
        for i, (x, y, d) in enumerate(placed):
            assert min(x, y, 1 - x, 1 - y) - d / 2 >= MARGIN - 1e-9
            for other_x, other_y, other_d in placed[:i]:
                assert max(abs(x - other_x), abs(y - other_y)) - (d + other_d) / 2 >= GAP - 1e-9
        for group in scene.groups:
            assert len(group.centres) == group.count
            assert SIZES[group.size][0] <= group.diameter <= SIZES[group.size][1]
        assert len(placed) <= 4
        if scene.relation:
            axis = 0 if scene.relation in ("left of", "right of") else 1
            firsts, seconds = ([centre[axis] for centre in group.centres] for group in scene.groups)
            if scene.relation in ("right of", "below"):
                firsts, seconds = seconds, firsts
            assert max(firsts) < 0.5 < min(seconds)


def test_splits_are_disjoint_and_their_parts_are_trained_on(scenes: dict[str, list[Scene]]) -> None:
    for split, drawn in scenes.items():
        assert {split_of(scene) for scene in drawn} == {split}
    trained = {composition(scene) for scene in scenes["train"]}
    assert trained.isdisjoint(composition(scene) for split in SPLITS[1:] for scene in scenes[split])
    pairs = {(g.color, g.shape) for scene in scenes["train"] for g in scene.groups}
    assert len(pairs) == len(COLORS) * len(SHAPES) - len(HELD_OUT_PAIRS)
    assert pairs.isdisjoint(HELD_OUT_PAIRS)
    assert {shape for _, shape in HELD_OUT_PAIRS} == set(SHAPES), "one color is held out for each shape"
    # Canonical: "A right of B" counts as "B left of A".
    related = {(c[2], c[-1], c[5]) for c in map(composition, scenes["train"]) if len(c) == 7}
    assert related.isdisjoint(HELD_OUT_RELATIONS)
    for first, relation, second in HELD_OUT_RELATIONS:
        other = "above" if relation == "left of" else "left of"
        assert {(second, relation, first), (first, other, second)} <= related


def test_a_composition_turned_round_is_the_same() -> None:
    scenes = [scene_of("train", 1, i) for i in range(500)]
    turned = {"left of": "right of", "right of": "left of", "above": "below", "below": "above", None: None}
    for scene in scenes:
        back = Scene(scene.groups[::-1], turned[scene.relation], scene.background)
        assert composition(back) == composition(scene)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="choose one of train, test"):
        scene_of("validation", 0, 0)


def test_prompts_are_balanced_distinct_and_true_to_their_category() -> None:
    for split in SPLITS:
        suite = prompts(split, 3, 50)
        assert suite == prompts(split, 3, 50)
        assert suite[:10] == prompts(split, 3, 10)
        assert len({caption for caption, _, _ in suite}) == 50
        counts = Counter(category for _, _, category in suite)
        held_out = split.startswith("unseen")
        assert set(counts) == ({"unseen"} if held_out else set(CATEGORIES) - {"unseen"})
        assert max(counts.values()) - min(counts.values()) <= 1
        for caption, scene, category in suite:
            assert category_of(scene) == category
            assert split_of(scene) == split
            if category == "position" or split == "unseen_relation":
                assert parse(caption).relation


def test_too_many_prompts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["imagen.data.shapes.prompts"]  # the package's attribute of that name is the function
    monkeypatch.setattr(module, "caption_of", lambda *_: "a red star")
    with pytest.raises(ValueError, match="ask for fewer"):
        prompts("unseen", 0, 2)
