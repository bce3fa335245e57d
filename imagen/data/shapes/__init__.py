"""Drawn scenes with true captions: the embedded data set, the workbench of ablations. See data/shapes.md."""

from imagen.data.shapes.captions import Asked, AskedGroup, asked_of, caption_of, parse
from imagen.data.shapes.prompts import CATEGORIES, category_of, prompts
from imagen.data.shapes.render import draw
from imagen.data.shapes.sampling import scene_of
from imagen.data.shapes.scene import Group, Scene, scene_from_dict
from imagen.data.shapes.splits import SPLITS, split_of

__all__ = [
    "CATEGORIES",
    "SPLITS",
    "Asked",
    "AskedGroup",
    "Group",
    "Scene",
    "asked_of",
    "caption_of",
    "category_of",
    "draw",
    "parse",
    "prompts",
    "scene_from_dict",
    "scene_of",
    "split_of",
]
