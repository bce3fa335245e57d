"""Small studies of drawn pictures, as imagen-rate new makes them."""

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagen.rating.study.design import design_of
from imagen.rating.study.making import drawn_up, make
from imagen.rating.study.study import Prompt, Study, opaque, read_study

Questions = list[dict[str, Any]]
Systems = Callable[..., dict[str, str]]
Made = Callable[..., Study]
EVIL = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">'
CHOICES: Questions = [
    {"key": "quality", "text": "Which set is better?", "kind": "choice", "control": "damaged"},
    {"key": "alignment", "text": "Which set fits the caption?", "kind": "choice", "control": "other"},
]


def designed(**given: Any) -> dict[str, Any]:
    """A whole mapping of a design; `given`: keys that differ."""
    return {
        "name": "drawn",
        "seed": 3,
        "protocol": "own",
        "systems": {"alpha": "a", "beta": "b"},
        "questions": CHOICES,
        "show": {"systems": 2, "pictures": 2},
        "session": {"items": 4},
        "raters": 6,
        "expires": 3,
        "consent": "You will see pictures.",
        **given,
    }


def invented(prompts: int, categories: int = 1, **given: Any) -> Study:
    """A study of which no pictures are drawn."""
    design = design_of(designed(**given))
    rows = []
    for n in range(prompts):
        names = tuple(
            tuple(opaque("0" * 32, s, n, k) for k in range(design.show.pictures))
            for s in range(len(design.names))
        )
        rows.append(Prompt(f"prompt {n}", f"category {n % categories}", (), names))
    return Study(design, "0" * 32, tuple(rows), ())


def picture(words: str, side: int) -> bytes:
    """A png that says where it comes from in its metadata, as samplers write it."""
    from PIL.PngImagePlugin import PngInfo

    generator = np.random.default_rng(random.Random(words).randrange(2**32))
    coarse = generator.integers(0, 256, (4, 4, 3), np.uint8).repeat(side // 4, 0).repeat(side // 4, 1)
    info, exif, file = PngInfo(), Image.Exif(), io.BytesIO()
    info.add_text("system", words)
    exif[0x010E] = words  # ImageDescription
    Image.fromarray(coarse).save(file, "PNG", pnginfo=info, exif=exif)
    return file.getvalue()


@pytest.fixture(scope="session")
def systems(tmp_path_factory: pytest.TempPathFactory) -> Systems:
    """systems(names, prompts, pictures, side): folders of pictures with their prompts beside -> name -> folder."""

    def draw(names: Any, prompts: Any, pictures: int = 2, side: int = 16) -> dict[str, str]:
        root = tmp_path_factory.mktemp("systems")
        for name in names:
            (root / name).mkdir()
            for n, prompt in enumerate(prompts):
                for k in range(pictures):
                    (root / name / f"{name}-{n:03d}-{k}.png").write_bytes(picture(f"{name} {n} {k}", side))
                    (root / name / f"{name}-{n:03d}-{k}.txt").write_text(prompt)
        return {name: str(root / name) for name in names}

    return draw


@pytest.fixture
def made(systems: Systems, tmp_path: Path) -> Made:
    """made(prompts, names, side, **design): a study in tmp_path/"study"."""

    def run(prompts: Any = 6, names: Any = ("alpha", "beta"), side: int = 16, **given: Any) -> Study:
        texts = [f"a drawing of thing {n}" for n in range(prompts)] if isinstance(prompts, int) else prompts
        pictures = given.get("show", {}).get("pictures", 2)
        design = design_of(designed(systems=systems(names, texts, pictures, side), **given))
        make(tmp_path / "study", *drawn_up(design, "ab" * 16))
        return read_study(tmp_path / "study")

    return run
