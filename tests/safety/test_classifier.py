"""A local classifier, small and random, refuses by its own probabilities; nothing is fetched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imagen.safety.classifier import Classifier

PICTURES = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)
PICTURES[::2] //= 4  # dark ones among them
Saved = Callable[..., Path]


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    """saved(**config): a folder of a ViT with random weights."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    def make(**more: Any) -> Path:
        torch.manual_seed(0)
        labels = {0: "fine", 1: "nsfw", 2: "gore"}
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        config = ViTConfig(
            **sizes, image_size=16, patch_size=8, id2label=labels, initializer_range=1.0, **more
        )
        model = ViTForImageClassification(config)
        model.classifier.weight.data = torch.randn(3, 16) / 2  # pyright: ignore[reportAttributeAccessIssue]
        model.save_pretrained(tmp_path / "model")
        processor = ViTImageProcessor(do_resize=False, do_normalize=True)
        processor.save_pretrained(tmp_path / "model")
        return tmp_path / "model"

    return make


def shares(folder: Path, several: bool = False) -> np.ndarray:
    """What the model says, computed apart: (B, labels)."""
    from transformers import ViTForImageClassification

    model = ViTForImageClassification.from_pretrained(folder).eval()
    values = (torch.from_numpy(PICTURES).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    with torch.no_grad():
        logits = model(pixel_values=values).logits
    return (logits.sigmoid() if several else logits.softmax(-1)).numpy()


@pytest.mark.parametrize("several", [False, True])
def test_refuses_by_the_models_own_probabilities(saved: Saved, several: bool) -> None:
    folder = saved(problem_type="multi_label_classification" if several else None)
    known = shares(folder, several)[:, 1:].max(1)
    above = float(np.sort(known)[2:4].mean())
    filter_ = Classifier(str(folder), ["nsfw", "gore"], above)
    reasons = filter_.pictures(PICTURES)
    assert [reason is not None for reason in reasons] == [bool(share >= above) for share in known]
    assert sum(reason is not None for reason in reasons) == 3
    assert all("looks like" in reason for reason in reasons if reason)
    assert filter_.prompts(["x", "y"]) == [None, None]


def test_no_number_is_refused(saved: Saved) -> None:
    filter_ = Classifier(str(saved()), ["nsfw"], 1.0)
    assert filter_.pictures(PICTURES) == [None] * 6
    filter_.model.classifier.bias.fill_(float("nan"))
    assert all(filter_.pictures(PICTURES))


def test_it_is_known_by_weights_and_settings(saved: Saved) -> None:
    folder = str(saved())
    one = Classifier(folder, ["nsfw"]).identity
    assert one != Classifier(folder, ["gore"]).identity
    assert one != Classifier(folder, ["nsfw"], 0.6).identity
    assert folder not in str(one)


def test_what_cannot_be_used(saved: Saved, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^folder=nowhere/x: no config.json there; .* none is downloaded"):
        Classifier("nowhere/x", ["nsfw"])
    folder = str(saved())
    for refuse in (["porn"], []):
        with pytest.raises(ValueError, match=r"^refuse=.*it has fine, gore, nsfw"):
            Classifier(folder, refuse)
    with pytest.raises(ValueError, match=r"^above=0: a probability"):
        Classifier(folder, ["nsfw"], 0)
    (tmp_path / "model/model.safetensors").unlink()
    with pytest.raises(ValueError, match="cannot be loaded"):
        Classifier(folder, ["nsfw"])
