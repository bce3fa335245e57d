"""A detector of transformers out of a folder, and colors by CLIP."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as tf
from torch import Tensor

from imagen.evaluation.metrics.detector import TransformersDetector, clip_colors, crop
from imagen.evaluation.metrics.geneval import COLORS, Found, judge, truth_of
from imagen.evaluation.metrics.transformer import CLIP


def pictures(n: int) -> Tensor:
    return torch.randint(0, 256, (n, 3, 48, 48), dtype=torch.uint8, generator=torch.manual_seed(n))


def test_objects_are_those_of_transformers(folders: dict[str, Path]) -> None:
    detector, shown = TransformersDetector(folders["yolos"], confidence=0.1), pictures(2)
    assert list(detector.classes) == ["cat", "dog"]
    found = detector(shown)
    model = tf.AutoModelForObjectDetection.from_pretrained(folders["yolos"]).eval()
    processor = tf.AutoImageProcessor.from_pretrained(folders["yolos"])
    images = [np.asarray(p.permute(1, 2, 0)) for p in shown]
    with torch.no_grad():
        output = model(pixel_values=processor(images=images, return_tensors="pt")["pixel_values"])
    expected = processor.post_process_object_detection(output, threshold=0.1, target_sizes=[(48, 48)] * 2)
    assert [len(one) for one in found] == [len(one["scores"]) for one in expected]
    assert sum(map(len, found)) > 0
    for one, theirs in zip(found, expected):
        assert [o.confidence for o in one] == pytest.approx(theirs["scores"].tolist(), rel=1e-4)
        assert np.allclose([o.box for o in one], theirs["boxes"], atol=1e-2)
    assert str(detector.key["weights"]).startswith("sha256:")


def test_verdicts_by_a_detector(folders: dict[str, Path]) -> None:
    detector = TransformersDetector(folders["yolos"])
    truths = [truth_of({"tag": "x", "include": [{"class": "cat", "count": 1, "color": "red"}]})] * 2
    found = judge(detector, pictures(2), truths, clip_colors(CLIP(folders["clip"])))
    assert len(found) == 2
    assert not found[0].unchecked
    with pytest.raises(ValueError, match="the detector knows no zebra"):
        judge(detector, pictures(1), [truth_of({"include": [{"class": "zebra", "count": 1}]})])


def test_no_detector(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"weights\.detector=.*no config\.json there"):
        TransformersDetector(tmp_path)
    with pytest.raises(ValueError, match="cannot be loaded as AutoModelForObjectDetection"):
        TransformersDetector(folders["dinov2"])
    with pytest.raises(ValueError, match=r"detector\.confidence=1"):
        TransformersDetector(folders["yolos"], confidence=1)


class ColorBlindClip:
    """Sees a picture's mean colour; a sentence's is that of its color word, black where it has another."""

    def text(self, prompts: list[str]) -> Tensor:
        known = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}
        rows = [
            next((known[c] for c in COLORS if c in known and c in p.split()), (-1, -1, -1)) for p in prompts
        ]
        return torch.tensor(rows, dtype=torch.float32)

    def __call__(self, shown: Tensor) -> Tensor:
        return shown.float().mean((2, 3)) / 255


def test_colors_are_of_the_box_alone() -> None:
    picture = torch.zeros(3, 40, 40, dtype=torch.uint8)
    picture[2] = 255
    picture[:, 5:15, 5:15] = torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None]
    color_of = clip_colors(ColorBlindClip())  # type: ignore[arg-type]
    boxes = [(5.0, 5.0, 15.0, 15.0), (20.0, 20.0, 39.0, 39.0)]
    assert color_of(picture, [Found("cat", 1, box) for box in boxes]) == ["red", "blue"]


def test_crops_are_within_the_picture_and_never_empty() -> None:
    picture = torch.zeros(3, 40, 40, dtype=torch.uint8)
    assert crop(picture, (0, 10, 40, 20)).shape == (3, 10, 40)
    assert crop(picture, (60, 60, 70, 70)).shape == (3, 1, 1)
    assert crop(picture, (-5, -5, 3.4, 3.4)).shape == (3, 3, 3)
    assert crop(picture, (8, 8, 2, 2)).shape == (3, 1, 1)
