"""The judge reads real pictures rightly, blurred and noisy ones too, and is not to be fooled."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from imagen.data.shapes import SPLITS, Scene, asked_of, caption_of, draw, parse, scene_of
from imagen.data.shapes.scene import OPPOSITE
from imagen.evaluation.shapes_judge import KEYS, alignment, judge, score

BLANK = np.full((64, 64, 3), 247, np.uint8)


@pytest.fixture(scope="module", params=SPLITS)
def real(request: pytest.FixtureRequest) -> tuple[list[Scene], list[np.ndarray]]:
    scenes = [scene_of(request.param, 5, index) for index in range(150)]
    return scenes, [draw(scene, 64) for scene in scenes]


def test_real_pictures_are_read_rightly(real: tuple[list[Scene], list[np.ndarray]]) -> None:
    scenes, pictures = real
    assert min(alignment(pictures, scenes).values()) >= 0.995
    captions = [caption_of(scene, np.random.default_rng(i)) for i, scene in enumerate(scenes)]
    assert min(alignment(pictures, captions).values()) >= 0.995


def test_blur_and_noise_are_forgiven(real: tuple[list[Scene], list[np.ndarray]]) -> None:
    scenes, pictures = real
    images = [Image.fromarray(picture) for picture in pictures]
    blurred = [
        image.resize((32, 32), Image.Resampling.BOX).resize((64, 64), Image.Resampling.BICUBIC)
        for image in images
    ]
    assert min(alignment([np.asarray(image) for image in blurred], scenes).values()) >= 0.98
    random = np.random.default_rng(0)
    noisy = [np.clip(p + random.normal(0, 0.05 * 255, p.shape), 0, 255).astype(np.uint8) for p in pictures]
    assert min(alignment(noisy, scenes).values()) >= 0.98
    tinted = [np.clip(p * 0.95 + random.uniform(-6, 6, 3), 0, 255).astype(np.uint8) for p in pictures]
    assert min(alignment(tinted, scenes).values()) >= 0.98


@pytest.mark.parametrize("resolution", [32, 48, 128])
def test_other_resolutions(resolution: int) -> None:
    scenes = [scene_of("test", 6, index) for index in range(60)]
    assert min(alignment([draw(scene, resolution) for scene in scenes], scenes).values()) >= 0.98


def test_centres_and_diameters_are_measured() -> None:
    for index in range(60):
        scene = scene_of("train", 7, index)
        seen = judge(draw(scene, 64))
        for group in scene.groups:
            for x, y in group.centres:
                nearest = min(seen.objects, key=lambda o: abs(o.x - x) + abs(o.y - y))
                assert abs(nearest.x - x) < 0.01
                assert abs(nearest.y - y) < 0.015
                assert abs(nearest.diameter - group.diameter) < 0.03


def test_another_caption_scores_low(real: tuple[list[Scene], list[np.ndarray]]) -> None:
    scenes, pictures = real
    random = np.random.default_rng(0)
    others = [caption_of(scene, random) for scene in scenes[1:] + scenes[:1]]
    means = alignment(pictures, others)
    assert means["scene"] < 0.05
    assert means["color"] < 0.3
    assert means["shape"] < 0.4
    assert means["count"] < 0.7


def test_each_mistake_is_caught(real: tuple[list[Scene], list[np.ndarray]]) -> None:
    for scene, picture in zip(*real):
        seen, first = judge(picture), scene.groups[0]

        def changed(scene: Scene = scene, **fields: object) -> Scene:
            return replace(scene, groups=(replace(scene.groups[0], **fields), *scene.groups[1:]))  # type: ignore[arg-type]

        def verdict(wrong: Scene, seen=seen) -> dict[str, bool | None]:
            return score(seen, asked_of(wrong))

        color = next(c for c in ("red", "green", "blue") if c not in [g.color for g in scene.groups])
        shape = next(s for s in ("circle", "square", "star") if s not in [g.shape for g in scene.groups])
        wrong = {
            "color": verdict(changed(color=color)),
            "shape": verdict(changed(shape=shape)),
            "count": verdict(changed(count=first.count % 3 + 1)),
        }
        if scene.relation:
            wrong["relation"] = verdict(replace(scene, relation=OPPOSITE[scene.relation]))
        for key, found in wrong.items():
            assert found["scene"] is False
            assert found[key] is False or key == "relation", (key, found)
        assert not verdict(changed(size="small" if first.size == "large" else "large"))["scene"]
        assert not verdict(replace(scene, background="mint" if scene.background != "mint" else "pink"))[
            "scene"
        ]


@pytest.mark.parametrize(
    ("drawn", "asked", "wrong"),
    [
        ("a red circle left of a blue square", "a blue circle left of a red square", {"color"}),
        ("a red circle left of a blue circle", "a blue circle left of a red circle", {"color", "relation"}),
        ("a red circle above a blue square", "a red circle below a blue square", {"relation"}),
        ("a red circle above a blue square", "a red circle left of a blue square", {"relation"}),
        ("a red circle and a blue square", "two red circles", {"color", "shape"}),
        ("two red squares", "a red square", {"count"}),
        ("two red squares", "three red squares", {"count"}),
        ("a red square", "a red square left of a blue square", {"color", "shape", "count", "relation"}),
    ],
)
def test_swaps_are_told_apart(drawn: str, asked: str, wrong: set[str]) -> None:
    """For a swap that two keys explain equally well, one of `wrong` is enough: but never none."""
    wanted = parse(drawn)
    template = scene_of("train", 0, 0)
    places = {"above": [(0.5, 0.2), (0.5, 0.8)]}.get(wanted.relation or "", [(0.2, 0.5), (0.8, 0.5)])
    if len(wanted.groups) == 1:
        spots = [tuple(places[: wanted.groups[0].count])]
    else:
        spots = [(place,) for place in places]
    groups = tuple(
        replace(
            template.groups[0],
            count=g.count,
            color=g.color,
            shape=g.shape,
            texture="plain",
            diameter=0.3,
            centres=s,
        )
        for g, s in zip(wanted.groups, spots)
    )
    seen = judge(draw(Scene(groups, wanted.relation, "white"), 64))
    assert score(seen, wanted)["scene"]
    found = score(seen, parse(asked))
    failed = {key for key in KEYS if found[key] is False}
    assert failed - {"scene"}
    assert failed - {"scene"} <= wrong
    assert found["scene"] is False


def test_size_and_background_have_their_own_verdict() -> None:
    scene = next(
        s for i in range(1000) if len((s := scene_of("train", 0, i)).groups) == 1 and s.background == "white"
    )
    seen = judge(draw(scene, 64))
    right = score(seen, asked_of(scene))
    assert (right["size"], right["background"], right["scene"]) == (True, True, True)
    other = "small" if seen.objects[0].size == "large" else "large"
    group = replace(asked_of(scene).groups[0], size=other)
    wrong = score(seen, replace(asked_of(scene), groups=(group,), background="black"))
    assert {key for key, value in wrong.items() if value is False} == {"size", "background", "scene"}
    silent = score(seen, replace(asked_of(scene), groups=(replace(group, size=None),), background=None))
    assert (silent["size"], silent["background"], silent["scene"]) == (None, None, True)


@pytest.mark.parametrize("picture", [BLANK, np.zeros_like(BLANK)], ids=["white", "black"])
def test_an_empty_picture_scores_nothing(picture: np.ndarray) -> None:
    assert alignment([picture], ["a red circle left of a blue star"]) == dict.fromkeys(KEYS, 0.0)
    assert judge(picture).objects == ()


def test_noise_alone_scores_nothing() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    means = alignment([picture], ["two red circles above a blue star"])
    assert means["scene"] == 0
    assert all(np.isfinite(value) for value in means.values())


def test_no_relation_asked_is_no_verdict() -> None:
    scene = scene_of("train", 0, 0)
    alone = replace(scene, groups=scene.groups[:1], relation=None)
    picture = draw(alone, 64)
    assert score(judge(picture), asked_of(alone))["relation"] is None
    assert alignment([picture], [alone])["relation"] == 1.0


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="float64"):
        judge(BLANK.astype(float))
    with pytest.raises(ValueError, match="give one each"):
        alignment([BLANK], [])
