"""The one renderer: a scene as a picture of any resolution, analytic and anti-aliased.

Every shape is a signed distance, every picture the area average of samples on one fixed grid (GRID to a
side, or finer at high resolutions), so a scene at 16 is the 4 x 4 area average of the same scene at 64.
"""

from functools import cache

import numpy as np

from imagen.data.shapes.scene import BACKGROUNDS, COLORS, Group, Scene

GRID = 256
OUTLINE = (
    0.026  # thickness, of the canvas; the details below are near 2 pixels at 32 x 32 and fade at 16 x 16
)
STRIPE_PERIOD = 0.085
DOT_PERIOD, DOT_RADIUS = 0.1, 0.03
WEAVE = 5.0  # how far the background's texture departs from its color, of 255
WEAVE_FREQUENCIES = {
    "white": (0, 12),
    "pink": (12, 0),
    "mint": (9, 9),
    "lavender": (9, -9),
}  # waves a side, x and y


def draw(scene: Scene, resolution: int) -> np.ndarray:
    """The picture, uint8 (R, R, 3). `resolution` is any positive integer."""
    samples = max(-(-GRID // resolution), 2)
    picture = background(scene.background, resolution).copy()
    for group in scene.groups:
        for x, y in group.centres:
            _paint(picture, group, x, y, samples)
    return np.rint(picture).astype(np.uint8)


@cache
def background(name: str, resolution: int) -> np.ndarray:
    """float (R, R, 3) in [0, 255]: the color with a faint weave, exactly averaged over each pixel's area."""
    fx, fy = WEAVE_FREQUENCIES[name]
    place = (np.arange(resolution) + 0.5) / resolution
    wave = np.cos(2 * np.pi * (fx * place[None, :] + fy * place[:, None]))
    wave = wave * np.sinc(fx / resolution) * np.sinc(fy / resolution)
    return np.asarray(BACKGROUNDS[name], float) + WEAVE * wave[:, :, None]


def distance(shape: str, x: np.ndarray, y: np.ndarray, diameter: float) -> np.ndarray:
    """Signed distance (negative inside) to the upright shape that fills the square of side `diameter` at 0.

    x and y broadcast; the result has their joint shape and their unit. Exact at edges, which is where it is
    used; outside of a corner it is the distance to the nearer edge's line.
    """
    r = diameter / 2
    if shape == "circle":
        return np.hypot(x, y) - r
    if shape == "square":
        return np.maximum(abs(x), abs(y)) - 0.92 * r
    if shape == "triangle":  # apex (0, -r), base from (-r, 0.8 r) to (r, 0.8 r)
        rise, run = 1.8 * r, r
        side = (rise * abs(x) - run * (y + r)) / np.hypot(rise, run)
        return np.maximum(side, y - 0.8 * r)
    assert shape == "star"
    # Five-fold symmetry: fold the plane into one half of one ray, then it is a single edge from tip to notch.
    fifth = np.pi / 5
    angle = np.arctan2(abs(x), -(y - 0.05 * r))
    angle = abs((angle + fifth) % (2 * fifth) - fifth)
    radius = np.hypot(x, y - 0.05 * r)
    px, py = radius * np.cos(angle), radius * np.sin(angle)
    tip, notch = 1.05 * r, 0.46 * r
    nx, ny = notch * np.cos(fifth), notch * np.sin(fifth)
    length = np.hypot(tip - nx, ny)
    return ((px - tip) * ny + py * (tip - nx)) / length


def _paint(picture: np.ndarray, group: Group, x: float, y: float, samples: int) -> None:
    """Lay one object over the picture, in place; only the pixels of its bounding square are touched."""
    resolution = len(picture)
    reach = group.diameter / 2 + 1 / resolution
    x0, x1 = _span(x, reach, resolution)
    y0, y1 = _span(y, reach, resolution)
    fine = resolution * samples
    u = ((np.arange(x0 * samples, x1 * samples, dtype=np.float32) + 0.5) / fine - x)[None, :]
    v = ((np.arange(y0 * samples, y1 * samples, dtype=np.float32) + 0.5) / fine - y)[:, None]
    depth = distance(group.shape, u, v, group.diameter)
    cover = np.clip(0.5 - depth * fine, 0, 1)
    detail = np.clip(_detail(group.texture, u, v, depth) * fine + 0.5, 0, 1) * cover
    cover, detail = _pool(cover, samples)[:, :, None], _pool(detail, samples)[:, :, None]
    base, tone = np.asarray(COLORS[group.color], float)
    patch = picture[y0:y1, x0:x1]
    patch *= 1 - cover
    patch += base * (cover - detail) + tone * detail


def _detail(texture: str, u: np.ndarray, v: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """How far (in lengths) a point lies inside the darker details of its object; negative outside of them."""
    if texture == "outlined":
        return depth + OUTLINE
    if texture == "striped":
        phase = ((u + v) / np.sqrt(2) / STRIPE_PERIOD) % 1
        return (0.2 - abs(phase - 0.5)) * STRIPE_PERIOD
    if texture == "dotted":
        cell_u, cell_v = ((w / DOT_PERIOD + 0.5) % 1 - 0.5 for w in (u, v))
        return DOT_RADIUS - np.hypot(cell_u, cell_v) * DOT_PERIOD
    assert texture == "plain"
    return np.full_like(depth, -1.0)


def _span(centre: float, reach: float, resolution: int) -> tuple[int, int]:
    return max(int((centre - reach) * resolution), 0), min(int((centre + reach) * resolution) + 1, resolution)


def _pool(values: np.ndarray, samples: int) -> np.ndarray:
    h, w = values.shape
    return values.reshape(h // samples, samples, w // samples, samples).mean((1, 3))
