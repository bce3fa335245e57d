"""The protocols: which prompts are asked for, how many, beside which real pictures, and what is measured of them by default.

coco30k, coco10k   Captions: captions of photographs, drawn at random, against all of these photographs (section 4.1)
prompts            Suite: every prompt of a suite such as DrawBench (section 4.3)
shapes             Drawn: held-out prompts of the drawn world, judged exactly
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from imagen.data.pictures import decode, fit
from imagen.data.shapes import draw
from imagen.data.shapes.prompts import prompts
from imagen.data.shapes.scene import Scene
from imagen.data.sources.source import BadPair, Captioned, Source
from imagen.diffusion.randomness import mix
from imagen.evaluation.protocols.wanted import Wanted, wanted_of
from imagen.evaluation.suites.suite import read_suite


class Reference(Protocol):
    """Real pictures, in an order of their own. `identity`: plain JSON that says which, and how they are brought to their size."""

    identity: dict[str, Any]

    def __len__(self) -> int: ...

    def pictures(self, start: int, stop: int, resolution: int) -> np.ndarray:
        """Numbers start to stop -> (n, R, R, 3) uint8. ValueError naming one that cannot be read."""
        ...

    def content(self, start: int, stop: int) -> str:
        """What tells numbers start to stop from other pictures of the same names: a hash of their files; "" where `identity` does."""
        ...


class Evaluated(Protocol):
    """`name`; `count`: how many pictures make a number of this protocol; `metrics`: what is measured unless one says otherwise;
    `resolution`: of the pictures that are compared, None for the pictures' own. `told`: plain JSON of all that decides which
    pictures these are."""

    name: str
    count: int
    metrics: Sequence[str]
    resolution: int | None

    @property
    def told(self) -> dict[str, Any]: ...

    def wanted(self, count: int, seed: int) -> list[Wanted]:
        """The first `count` pictures."""
        ...

    def reference(self) -> Reference | None:
        """What they are compared with, where the protocol has that."""
        ...

    def originals(self, rows: Sequence[Wanted], resolution: int) -> np.ndarray:
        """The real picture of each, (n, R, R, 3) uint8. ValueError where the protocol has none."""
        ...


class Photographs:
    """All pictures of a source, the middle square, resized with antialiased bicubic."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.rows = [(split, row) for split, total in source.splits.items() for row in range(total)]
        resized = "middle square, antialiased bicubic (PyTorch), uint8"
        self.identity = {**source.identity, "count": len(self.rows), "resized": resized}

    def __len__(self) -> int:
        return len(self.rows)

    def pictures(self, start: int, stop: int, resolution: int) -> np.ndarray:
        """See `Reference`."""
        return np.stack([fit(decode(image, resolution), resolution) for image in self._files(start, stop)])

    def content(self, start: int, stop: int) -> str:
        """See `Reference`."""
        found = hashlib.sha256()
        for image in self._files(start, stop):
            found.update(hashlib.sha256(image).digest())
        return found.hexdigest()

    def _files(self, start: int, stop: int) -> Iterator[bytes]:
        for split, row in self.rows[start:stop]:
            try:
                yield self.source.pair(split, row).image
            except BadPair as error:
                raise ValueError(
                    f"a real picture cannot be read ({error}): mend it, or take it out of the source; a distance from fewer pictures is "
                    "another number"
                ) from None


class Captions:
    """`count` captions of `source`'s pictures, drawn at random from all captions (one of each picture before a second of any: a
    picture's captions are alike), against all its pictures at `resolution`, as the paper does with COCO's validation set
    (section 4.1: 30,000, 256 x 256; 10,000 in the ablations)."""

    def __init__(
        self, source: Captioned | None, name: str, count: int, metrics: Sequence[str], resolution: int = 256
    ) -> None:
        if source is None:
            raise ValueError(
                f"protocol={name} needs photographs and their captions: source=coco source.path=captions_val2014.json "
                "source.images=val2014 (or source=table, or source=folder)"
            )
        if not hasattr(source, "captions"):
            raise ValueError(
                f"protocol={name}: source={type(source).__name__.lower()} has no captions without its pictures; give coco, table or folder"
            )
        at_least(1, count=count, resolution=resolution)
        self.source, self.name, self.count = source, name, count
        self.metrics, self.resolution = tuple(metrics), resolution

    @property
    def told(self) -> dict[str, Any]:
        """See `Evaluated`."""
        return {"name": self.name, "resolution": self.resolution, "source": self.source.identity}

    def wanted(self, count: int, seed: int) -> list[Wanted]:
        """See `Evaluated`. ValueError when there are fewer captions than that."""
        order = sorted(
            ((split, row) for split, total in self.source.splits.items() for row in range(total)),
            key=lambda place: mix("prompts", seed, *place),
        )
        found: list[str] = []
        self._places: dict[str, tuple[str, int]] = {}
        turn, more = 0, True
        while len(found) < count and more:
            more = False
            for split, row in order:
                if len(found) == count:
                    break
                captions = self._captions_of(split, row)
                more = more or len(captions) > turn + 1
                if len(captions) <= turn:
                    continue
                chosen = sorted(captions, key=lambda caption: mix("caption", seed, caption))[turn]
                if chosen not in self._places:
                    self._places[chosen] = split, row
                    found.append(chosen)
            turn += 1
        if len(found) < count:
            raise ValueError(
                f"count={count}: the source has {len(found)} different captions; give count={len(found)} or less, and the result "
                "says that it is of fewer than the protocol's"
            )
        return wanted_of([(caption, "", None) for caption in found], seed)

    def _captions_of(self, split: str, row: int) -> Sequence[str]:
        try:
            return self.source.captions(split, row)
        except BadPair:
            return ()

    def reference(self) -> Photographs:
        """See `Evaluated`."""
        return Photographs(self.source)

    def originals(self, rows: Sequence[Wanted], resolution: int) -> np.ndarray:
        """See `Evaluated`: the photograph that a caption is of. ValueError naming one that cannot be read."""
        found = []
        for row in rows:
            split, place = self._places[row.prompt]
            try:
                found.append(fit(decode(self.source.pair(split, place).image, resolution), resolution))
            except BadPair as error:
                raise ValueError(f"the photograph of {row.prompt!r:.60} cannot be read: {error}") from None
        return np.stack(found)


class Suite:
    """Every prompt of the suite in the file `path`, `per_prompt` pictures each. `metrics`: by default the judge of drawn scenes, where
    all prompts are of the drawn world, else none."""

    def __init__(self, path: str | Path | None, metrics: Sequence[str], per_prompt: int = 1) -> None:
        if path is None:
            raise ValueError(
                "path=null: protocol=prompts needs a suite of prompts: protocol.path=FILE (DrawBench's csv, PartiPrompts' tsv, ...; "
                "imagen-suite describe FILE says what it is)"
            )
        self.suite, self.per_prompt = read_suite(Path(path)), per_prompt
        # a suite composed in the drawn world has an exact judge
        drawn = all((prompt.truth or {}).get("world") == "shapes" for prompt in self.suite.prompts)
        self.name, self.resolution = "prompts", None
        self.metrics = tuple(metrics) or (("shapes",) if drawn else ())
        self.count = len(self.suite.prompts) * per_prompt

    @property
    def told(self) -> dict[str, Any]:
        """See `Evaluated`."""
        card = self.suite.card
        suite = {
            "name": card.name,
            "version": card.version,
            "sha256": self.suite.sha256,
            "count": len(self.suite.prompts),
        }
        return {"name": self.name, "suite": suite, "per_prompt": self.per_prompt}

    def wanted(self, count: int, seed: int) -> list[Wanted]:
        """See `Evaluated`. Fewer than all are the first ones. ValueError for more."""
        if count > self.count:
            raise ValueError(
                f"count={count}: the suite has {self.count // self.per_prompt} prompts, {self.per_prompt} pictures each; give at most "
                f"{self.count}, or more with protocol.per_prompt="
            )
        rows = [(p.prompt, p.category or "", getattr(p, "truth", None)) for p in self.suite.prompts]
        return wanted_of(rows, seed, self.per_prompt)[:count]

    def reference(self) -> None:
        """See `Evaluated`."""
        return None

    def originals(self, rows: Sequence[Wanted], resolution: int) -> np.ndarray:
        """See `Evaluated`."""
        raise ValueError(
            "generator: a suite of prompts has no real pictures, to enlarge or to show; use protocol=shapes, coco10k or coco30k"
        )


def at_least(least: int, **values: int) -> None:
    """ValueError naming a setting of the protocol below `least`."""
    for name, value in values.items():
        if value < least:
            raise ValueError(f"protocol.{name}={value}: must be at least {least}")


MOST = 20_000  # drawn prompts, which are looked for one by one


class Drawn:
    """`count` prompts of the drawn world's `split` (test, unseen, unseen_relation), categories in turn; compared with pictures
    drawn of the same prompts. `reading_order`: see `imagen.data.shapes.captions.caption_of`."""

    def __init__(
        self,
        split: str,
        count: int,
        metrics: Sequence[str],
        resolution: int | None = None,
        reading_order: float = 1.0,
    ) -> None:
        at_least(1, count=count)
        if not 0 <= reading_order <= 1:
            raise ValueError(f"protocol.reading_order={reading_order}: a share lies between 0 and 1")
        self.name, self.split, self.count, self.reading_order = "shapes", split, count, reading_order
        self.metrics, self.resolution, self._seed = tuple(metrics), resolution, 0

    @property
    def told(self) -> dict[str, Any]:
        """See `Evaluated`."""
        return {"name": self.name, "split": self.split, "reading_order": self.reading_order}

    def wanted(self, count: int, seed: int) -> list[Wanted]:
        """See `Evaluated`."""
        if count > MOST:
            raise ValueError(f"count={count}: more than the {MOST:,} that are drawn here; give fewer")
        self._seed = seed
        suite = prompts(self.split, seed, count, self.reading_order)
        self._scenes = [scene for _, scene, _ in suite]
        return wanted_of([(caption, category, asdict(scene)) for caption, scene, category in suite], seed)

    def reference(self) -> "DrawnPictures":
        """See `Evaluated`."""
        identity = {"drawn": self.split, "seed": self._seed, "count": len(self._scenes)}
        return DrawnPictures(self._scenes, {**identity, "reading_order": self.reading_order})

    def originals(self, rows: Sequence[Wanted], resolution: int) -> np.ndarray:
        """See `Evaluated`."""
        return np.stack([draw(self._scenes[row.index], resolution) for row in rows])


class DrawnPictures:
    """What the prompts of `Drawn` say, drawn; `identity` says which these are."""

    def __init__(self, scenes: Sequence[Scene], identity: dict[str, Any]) -> None:
        self.scenes, self.identity = scenes, identity

    def __len__(self) -> int:
        return len(self.scenes)

    def pictures(self, start: int, stop: int, resolution: int) -> np.ndarray:
        """See `Reference`."""
        return np.stack([draw(scene, resolution) for scene in self.scenes[start:stop]])

    def content(self, start: int, stop: int) -> str:
        """See `Reference`."""
        return ""
