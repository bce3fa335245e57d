"""Weights that measures need, by their options: which of them are on this disk, and what is said of one that is not."""

from dataclasses import dataclass
from pathlib import Path

from imagen.evaluation.metrics import detector, inception, judges
from imagen.evaluation.metrics.features import Extractor, Pixels
from imagen.evaluation.metrics.inception import Inception
from imagen.evaluation.metrics.transformer import CLIP, DINOv2

RECORDED = "any sha256, which is recorded"
NEEDED = {
    "inception": f"the file {inception.SOURCE} (sha256 {inception.SHA256})",
    "dinov2": f"a folder of facebook/dinov2-large ({RECORDED})",
    "clip": f"a folder of openai/clip-vit-large-patch14 ({RECORDED})",
    "detector": f"a folder of {detector.SOURCE} ({RECORDED})",
    "aesthetics": f"the file {judges.AESTHETICS} (sha256 {judges.AESTHETICS_SHA256})",
    "imagereward": f"the file ImageReward.pt of THUDM/ImageReward ({RECORDED})",
    "imagereward_config": f"the file med_config.json of THUDM/ImageReward ({RECORDED})",
    "hps": f"the file HPS_v2_compressed.pt or HPS_v2.1_compressed.pt of xswu/HPSv2 ({RECORDED})",
    "vqascore": "a cache folder of the hub with zhiqiulin/clip-flant5-xxl (not hashed)",
}


@dataclass(frozen=True)
class Weights:
    """Files and folders on this disk; None where there is none."""

    inception: Path | None = None
    dinov2: Path | None = None
    clip: Path | None = None
    detector: Path | None = None
    aesthetics: Path | None = None
    imagereward: Path | None = None
    imagereward_config: Path | None = None
    hps: Path | None = None
    vqascore: Path | None = None

    def path(self, name: str, metric: str) -> Path:
        """Where `name` lies. ValueError naming the option that `metric` misses, what goes there, and its hash where that is known."""
        where: Path | None = getattr(self, name)
        if where is None:
            raise ValueError(
                f"metrics: {metric} needs weights.{name}=PATH, {NEEDED[name]} on this disk (nothing is downloaded); or leave "
                f"{metric} out with metrics=[...]"
            )
        return where

    def of(self, extractor: str, metric: str, device: str) -> Extractor:
        """The extractor of that name. ValueError as `path`."""
        if extractor == "pixels":
            return Pixels()
        where = self.path(extractor, metric)
        return {"inception": Inception, "dinov2": DINOv2, "clip": CLIP}[extractor](where, device=device)
