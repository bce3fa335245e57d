"""The renderer: the same scene at every resolution."""

import numpy as np
import pytest

from imagen.data.shapes import draw, scene_of
from imagen.data.shapes.render import distance
from imagen.data.shapes.scene import BACKGROUNDS, COLORS, SHAPES, Group, Scene


@pytest.mark.parametrize(("small", "large"), [(16, 64), (32, 128), (64, 256), (48, 96)])
def test_a_small_picture_is_the_average_of_a_large_one(small: int, large: int) -> None:
    for index in range(12):
        scene = scene_of("train", 0, index)
        fine, ratio = draw(scene, large).astype(float), large // small
        averaged = fine.reshape(small, ratio, small, ratio, 3).mean((1, 3))
        difference = abs(averaged - draw(scene, small))
        assert difference.max() <= (
            3 if large in (64, 128) else 8
        )  # of 255; the others have another sample grid
        assert difference.mean() < 0.5


@pytest.mark.parametrize("resolution", [5, 16, 100, 1024])
def test_any_resolution(resolution: int) -> None:
    picture = draw(scene_of("train", 0, 1), resolution)
    assert picture.shape == (resolution, resolution, 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_fits_its_square_and_is_symmetric(shape: str) -> None:
    place = (np.arange(200) + 0.5) / 100 - 1
    inside = distance(shape, place[None, :], place[:, None], 1.0) < 0
    assert (inside != inside[:, ::-1]).mean() < 0.002
    rows, columns = np.nonzero(inside)
    assert max(abs(place[rows]).max(), abs(place[columns]).max()) <= 0.54
    assert max(np.ptp(place[rows]), np.ptp(place[columns])) >= 0.9
    assert 0.2 < inside.mean() * 4 < 0.9


def test_details_grow_with_resolution_and_leave_the_color() -> None:
    """A striped and a plain disc differ at 64 more than at 8, and both are nearest to their own color."""

    def disc(texture: str, resolution: int) -> np.ndarray:
        group = Group(1, "blue", "circle", "large", texture, 0.4, ((0.5, 0.5),))
        return draw(Scene((group,), None, "white"), resolution).astype(float)

    assert np.ptp(disc("striped", 64)[32, 24:40, 2]) > 60
    assert np.ptp(disc("plain", 64)[32, 24:40, 2]) == 0
    for texture in ("plain", "outlined", "striped", "dotted"):
        mean = disc(texture, 64)[24:40, 24:40].mean((0, 1))
        assert min(COLORS, key=lambda name: np.linalg.norm(mean - np.asarray(COLORS[name][0]))) == "blue"


def test_colors_and_backgrounds_lie_apart() -> None:
    tones = [np.asarray(base, float) for base, _ in COLORS.values()]
    grounds = [np.asarray(rgb, float) for rgb in BACKGROUNDS.values()]
    assert min(np.linalg.norm(a - b) for i, a in enumerate(tones) for b in tones[:i]) > 75
    assert min(np.linalg.norm(a - b) for a in tones for b in grounds) > 150
    assert min(np.linalg.norm(a - b) for i, a in enumerate(grounds) for b in grounds[:i]) > 40
