"""The embedded data set as a source: drawn scenes with true captions."""

from dataclasses import asdict

import numpy as np

from imagen.data.pictures import png
from imagen.data.shapes import SPLITS, caption_of, draw, scene_of
from imagen.data.sources.source import Pair


class Shapes:
    """`count` training pictures and `held_out` of each of the splits test, unseen, unseen_relation
    (imagen.data.shapes).

    `resolution`: side in pixels. `captions`: phrasings of each picture, equal ones left out. `reading_order`:
    see `caption_of`. `seed`: from 0 on, as large as one likes. Pair (split,
    row) depends on (`seed`, split, row) alone; its fields are {"scene": the whole scene}."""

    def __init__(
        self,
        count: int = 20000,
        resolution: int = 64,
        captions: int = 1,
        held_out: int = 512,
        reading_order: float = 0.5,
        seed: int = 0,
    ) -> None:
        least = {"count": (count, 1), "resolution": (resolution, 1), "captions": (captions, 1)}
        for name, (value, smallest) in {**least, "held_out": (held_out, 0), "seed": (seed, 0)}.items():
            if not value >= smallest:
                raise ValueError(f"source.{name}={value} must be at least {smallest}")
        if resolution > 4096:  # drawn whole in float32, several times over
            raise ValueError(f"source.resolution={resolution} must be at most 4096")
        if not 0 <= reading_order <= 1:
            raise ValueError(f"source.reading_order={reading_order}: a share lies between 0 and 1")
        self.resolution, self.captions, self.seed = resolution, captions, seed
        self.reading_order = reading_order
        self.splits = {split: count if split == "train" else held_out for split in SPLITS}
        self.identity = {
            "source": "shapes",
            "count": count,
            "resolution": resolution,
            "captions": captions,
            "held_out": held_out,
            "reading_order": reading_order,
            "seed": seed,
        }

    licence = "Apache-2.0"  # drawn by this package, which is

    def pair(self, split: str, row: int) -> Pair:
        """See `Source`; always a png."""
        scene = scene_of(split, self.seed, row)
        random = np.random.default_rng([SPLITS.index(split), self.seed, row])
        captions = tuple(
            dict.fromkeys(caption_of(scene, random, self.reading_order) for _ in range(self.captions))
        )
        size = (self.resolution, self.resolution)
        return Pair(png(draw(scene, self.resolution)), "png", size, captions, {"scene": asdict(scene)})
