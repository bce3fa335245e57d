"""Detectors of `transformers` from a local folder, and colors by CLIP, for GenEval's verdicts.

GenEval's own numbers come from a Mask2Former of mmdetection and OpenCLIP; another detector's are near them at best, and
its key goes with the number. Not run with real weights where this was written; the tests use a small random YOLOS.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from imagen.evaluation.metrics.features import Key, exact_convolutions
from imagen.evaluation.metrics.geneval import COLORS, ColorOf, Found, class_of
from imagen.evaluation.metrics.transformer import CLIP, load, load_processor, prepared, processor_key
from imagen.evaluation.metrics.weights import checked_folder

SOURCE = "a detector of COCO's classes, such as hustvl/yolos-base or facebook/detr-resnet-101"


class TransformersDetector:
    """Any object detector that transformers loads by `AutoModelForObjectDetection` (DETR, RT-DETR, YOLOS, ...).

    `folder`: config.json, preprocessor_config.json, model.safetensors; `sha256` as of `DINOv2`. Needs no extra, except
    that backbones of timm need the package `timm`. Objects below `confidence` are left out.
    """

    def __init__(
        self,
        folder: str | Path,
        sha256: str | None = None,
        confidence: float = 0.05,
        device: str | torch.device = "cpu",
    ) -> None:
        if not 0 <= confidence < 1:
            raise ValueError(f"detector.confidence={confidence}: give 0 to below 1")
        self.folder, self.weights = checked_folder(folder, sha256, "weights.detector", SOURCE)
        self.processor = load_processor(self.folder)
        self.model = load(self.folder, "AutoModelForObjectDetection", None).to(device)
        if not hasattr(self.processor, "post_process_object_detection"):
            raise ValueError(
                f"weights.detector={folder}: its preprocessor_config.json ({type(self.processor).__name__}) is none of a detector; "
                f"give the whole folder of {SOURCE}"
            )
        self.device, self.confidence = torch.device(device), confidence
        names = self.model.config.id2label.items()
        self.names: dict[int, str] = {int(number): class_of(str(name)) for number, name in names}

    @property
    def key(self) -> Key:
        """See `features.Key`."""
        kind = f"{self.model.config.model_type}, object detection"
        return {"kind": kind, "weights": self.weights} | processor_key(self.processor)

    @property
    def classes(self) -> Sequence[str]:
        """Names of its classes, by `geneval.class_of`."""
        return [name for _, name in sorted(self.names.items()) if name != "N/A"]

    @torch.inference_mode()
    def __call__(self, pictures: Tensor) -> list[list[Found]]:
        """See `geneval.Detector`."""
        pixels = prepared(self.processor, pictures).to(self.device)
        with exact_convolutions():
            output: Any = self.model(pixel_values=pixels)
        found = self.processor.post_process_object_detection(
            output, threshold=self.confidence, target_sizes=[tuple(pictures.shape[2:])] * len(pictures)
        )
        return [
            [
                Found(self.names[int(label)], float(score), tuple(float(x) for x in box))  # type: ignore[arg-type]
                for score, label, box in zip(one["scores"], one["labels"], one["boxes"])
            ]
            for one in found
        ]


def clip_colors(clip: CLIP) -> ColorOf:
    """Colors of objects by CLIP, zero-shot: GenEval's three sentences for each color, of the object's box.

    As GenEval with a detector without masks: what of the background lies within the box is seen too."""

    @cache
    def sentences(name: str) -> Tensor:
        forms: tuple[Callable[[str], str], ...] = (
            lambda color: f"a photo of a {color} {name}",
            lambda color: f"a photo of a {color}-colored {name}",
            lambda color: f"a photo of a {color} object",
        )
        each = [F.normalize(clip.text([form(color) for color in COLORS])) for form in forms]
        return F.normalize(torch.stack(each).mean(0))

    def color_of(picture: Tensor, objects: Sequence[Found]) -> list[str]:
        told = []
        for one in objects:
            features = F.normalize(clip(crop(picture, one.box)[None]))
            told.append(COLORS[int((features @ sentences(one.name).T).argmax())])
        return told

    return color_of


def crop(picture: Tensor, box: tuple[float, float, float, float]) -> Tensor:
    """uint8 (3, H, W) and x0, y0, x1, y1 -> the box's pixels, at least one: uint8 (3, h, w)."""
    height, width = picture.shape[1:]
    x0, y0 = (min(max(int(at), 0), most - 1) for at, most in zip(box[:2], (width, height)))
    x1, y1 = (min(max(round(at), low + 1), most) for at, low, most in zip(box[2:], (x0, y0), (width, height)))
    return picture[:, y0:y1, x0:x1]
