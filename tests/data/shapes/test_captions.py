"""Captions are true, and read back to what they say."""

import numpy as np
import pytest

from imagen.data.shapes import SPLITS, Asked, AskedGroup, Scene, caption_of, parse, scene_of
from imagen.data.shapes.captions import words_of
from imagen.data.shapes.scene import OPPOSITE


def true_of(asked: Asked, scene: Scene) -> bool:
    """Whether the scene is as the caption says, in either order of its groups."""
    relation = asked.relation
    for groups, same in (
        (scene.groups, scene.relation),
        (scene.groups[::-1], OPPOSITE.get(scene.relation or "")),
    ):
        agree = len(groups) == len(asked.groups) and all(
            (a.count, a.color, a.shape) == (g.count, g.color, g.shape)
            and a.size in (None, g.size)
            and a.texture in (None, g.texture)
            for a, g in zip(asked.groups, groups)
        )
        if agree and relation in (None, same):
            return asked.background in (None, scene.background)
    return False


def test_captions_are_true_and_parse_back() -> None:
    captions = set()
    for index in range(300):
        for split in SPLITS:
            scene = scene_of(split, 0, index)
            caption = caption_of(scene, np.random.default_rng(index))
            asked = parse(caption)
            assert true_of(asked, scene), caption
            assert parse(words_of(asked)) == asked
            captions.add(caption)
    for word in (
        "there are ",
        "picture",
        " and ",
        "to the right of",
        "below",
        "an outlined",
        "triangles",
        "mint",
    ):
        assert any(word in caption for caption in captions), word


def test_what_is_said_does_not_depend_on_what_is_drawn() -> None:
    """Scene and caption made from equal small seeds are still independent."""
    said = {1: 0, 2: 0}
    total = {1: 0, 2: 0}
    for index in range(1500):
        scene = scene_of("train", 0, index)
        asked = parse(caption_of(scene, np.random.default_rng([0, 0, index])))
        total[len(scene.groups)] += len(scene.groups)
        said[len(scene.groups)] += sum(group.size is not None for group in asked.groups)
    for groups in (1, 2):
        assert said[groups] / total[groups] == pytest.approx(0.2, abs=0.05)


def test_an_example() -> None:
    assert parse(
        "there is a yellow circle to the left of two small striped blue stars on a pink background"
    ) == Asked(
        (AskedGroup(1, "yellow", "circle"), AskedGroup(2, "blue", "star", "small", "striped")),
        "left of",
        "pink",
    )
    assert parse("a red star and three black squares").relation is None


@pytest.mark.parametrize(
    "caption", ["", "a horse", "a red circle left of", "two red circle left", "a red circle "]
)
def test_other_words_are_refused(caption: str) -> None:
    with pytest.raises(ValueError, match="grammar"):
        parse(caption)
