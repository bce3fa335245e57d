"""Prompt suites, and a scene's category, after DrawBench's (section 4.3): what a prompt puts to the test."""

import numpy as np

from imagen.data.shapes.captions import caption_of, parse
from imagen.data.shapes.sampling import scene_of
from imagen.data.shapes.scene import Scene
from imagen.data.shapes.splits import split_of

CATEGORIES = ("color", "count", "position", "conflicting", "unseen")


def category_of(scene: Scene) -> str:
    """One of CATEGORIES.

    color        one object
    count        two or three equal ones
    position     two groups that share neither color nor shape
    conflicting  two groups that share one of them, so that attributes can be bound wrongly
    unseen       whatever has a color-shape pair, or a relation of shapes, that training never shows
    """
    if split_of(scene) in ("unseen", "unseen_relation"):
        return "unseen"
    if len(scene.groups) == 1:
        return "color" if scene.groups[0].count == 1 else "count"
    a, b = scene.groups
    return "conflicting" if a.color == b.color or a.shape == b.shape else "position"


def prompts(split: str, seed: int, n: int, reading_order: float = 0.5) -> list[tuple[str, Scene, str]]:
    """n times (caption, scene, category): no caption twice, categories in turn, so balanced to within one.

    train and test have all categories but "unseen", the other splits that one alone. Captions of "position"
    and of the split unseen_relation always say the relation. ValueError for a split without enough captions.
    """
    held_out = split in ("unseen", "unseen_relation")
    wanted = ("unseen",) if held_out else tuple(c for c in CATEGORIES if c != "unseen")
    waiting: dict[str, list[tuple[str, Scene, str]]] = {category: [] for category in wanted}
    need = -(-n // len(wanted))
    seen: set[str] = set()
    for index in range(500 + 40 * n):
        if all(len(found) >= need for found in waiting.values()):
            break
        scene = scene_of(split, seed, index)
        found = waiting[category_of(scene)]
        about_place = split == "unseen_relation" or category_of(scene) == "position"
        caption = caption_of(scene, np.random.default_rng([1, seed, index]), reading_order)
        if len(found) < need and caption not in seen and (not about_place or parse(caption).relation):
            seen.add(caption)
            found.append((caption, scene, category_of(scene)))
    else:
        raise ValueError(f"n={n} prompts are more than split={split!r} has; ask for fewer")
    return [waiting[wanted[i % len(wanted)]][i // len(wanted)] for i in range(n)]
