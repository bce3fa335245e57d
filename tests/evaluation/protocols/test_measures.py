"""Measures by their names, and what is measured of pictures and prompts together."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from imagen.evaluation.protocols.evaluation import Parts
from imagen.evaluation.protocols.measures import NAMES, Measures
from imagen.evaluation.protocols.wanted import wanted_of
from imagen.evaluation.protocols.weights import NEEDED, Weights


class Directions:
    """A prompt's features: its colors; of what has none, another direction."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def text(self, prompts: Sequence[str]) -> Tensor:
        self.asked += prompts
        known = {"red": (1.0, 0, 0), "green": (0, 1.0, 0)}
        rows = [next((at for word, at in known.items() if word in p.split()), (0, 0, 1.0)) for p in prompts]
        return torch.tensor(rows)


def test_a_picture_is_told_from_its_prompts_contradiction() -> None:
    clip = Directions()
    measures = Measures(("clip",), Parts([], {"clip": clip}))  # pyright: ignore[reportArgumentType]
    rows = wanted_of([("a red cat", "", None), ("a cat", "", None), ("two dogs", "", None)], 0, per_prompt=2)
    images = torch.tensor([[3.0, 1, 0], [1, 2, 0], [0, 0, 1], [1, 0, 0], [0, 0, 1], [1, 0, 0]])
    found = measures.of_pairs(rows, {"clip": (images, None)})
    # of the picture of a red cat that is greener; "two dogs" and "three dogs" look the same
    assert [found[row.key]["clip.contradicted"] for row in rows] == [1, 0, None, None, 0.5, 0.5]
    assert found["00000000"]["clip"] == pytest.approx(100 * 3 / 10**0.5)
    assert found["00000002"]["clip.wins"] == 1, "above red alone: the dogs look as it does"
    assert sorted(clip.asked) == ["a cat", "a green cat", "a red cat", "three dogs", "two dogs"], "each once"
    plain = measures.of_pairs(rows[2:4], {"clip": (images[2:4], None)})
    assert [set(scores) for scores in plain.values()] == [{"clip", "clip.wins"}] * 2


@pytest.mark.parametrize(
    ("metric", "given", "told"),
    [
        ("aesthetics", (), "weights.aesthetics=PATH, the file sac.logos.ava1-l14-linearMSE.pth .*sha256 21dd590f"),
        ("aesthetics", ("aesthetics",), "aesthetics needs weights.clip=PATH, a folder of openai/clip-vit-large"),
        ("imagereward", (), "weights.imagereward=PATH, the file ImageReward.pt of THUDM/ImageReward .any sha256"),
        ("imagereward", ("imagereward",), "weights.imagereward_config=PATH, the file med_config.json"),
        ("hps", (), "weights.hps=PATH, the file HPS_v2_compressed.pt"),
        ("vqascore", (), "weights.vqascore=PATH, a cache folder of the hub with zhiqiulin/clip-flant5-xxl"),
        ("geneval", (), "weights.detector=PATH, a folder of a detector of COCO's classes, such as hustvl/yolos-base"),
        ("fid", (), "weights.inception=PATH, the file pt_inception-2015-12-05-6726825d.pth .*sha256 6726825d0af5"),
        ("magic", (), "magic is none; choose from aesthetics, clip, cmmd, density_coverage, drift, .*vqascore$"),
    ],
)  # fmt: skip
def test_what_is_missing_is_one_line(metric: str, given: tuple[str, ...], told: str, tmp_path: Path) -> None:
    weights = Weights(**{name: tmp_path / "w" for name in given})
    with pytest.raises(ValueError, match=told) as caught:
        Measures.of([metric], weights, "cpu")
    said = str(caught.value)
    assert "\n" not in said
    assert metric == "magic" or ("nothing is downloaded" in said and f"leave {metric} out" in said)


def test_every_weight_is_told() -> None:
    assert set(NEEDED) == set(Weights.__dataclass_fields__)
    assert len(set(NAMES)) == len(NAMES)
