"""Tiny random models of transformers, saved as people publish them."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = ["<pad>", "<s>", "a", "red", "blue", "circle", "star", "photo", "of", "<unk>", "</s>"]
SMALL: Any = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def _dinov2(folder: Path) -> Path:
    """Width 16, pictures to 32 and the middle 28."""
    torch.manual_seed(0)
    tf.Dinov2Model(tf.Dinov2Config(**SMALL, image_size=28, patch_size=14)).save_pretrained(folder)
    tf.BitImageProcessor(
        size={"shortest_edge": 32},
        crop_size={"height": 28, "width": 28},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    ).save_pretrained(folder)
    return folder


def _clip(folder: Path) -> Path:
    """Width 8, pictures of 16, 12 tokens."""
    torch.manual_seed(1)
    text: Any = {**SMALL, "intermediate_size": 24, "vocab_size": len(WORDS), "max_position_embeddings": 12}
    text |= {"eos_token_id": 10, "bos_token_id": 1, "pad_token_id": 0}
    vision: Any = {**SMALL, "intermediate_size": 24, "image_size": 16, "patch_size": 8}
    config = tf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)  # type: ignore[call-arg]
    tf.CLIPModel(config).save_pretrained(folder)
    tf.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(
        folder
    )
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    tokenizer.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 10)]
    )
    tf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    ).save_pretrained(folder)
    return folder


def _yolos(folder: Path) -> Path:
    """A detector of three classes, pictures of 32."""
    torch.manual_seed(2)
    config = tf.YolosConfig(
        **SMALL, intermediate_size=24, image_size=[32, 32], patch_size=8, num_detection_tokens=6,
        id2label={0: "cat", 1: "dog", 2: "N/A"}, label2id={"cat": 0, "dog": 1, "N/A": 2},
    )  # fmt: skip
    tf.YolosForObjectDetection(config).save_pretrained(folder)
    tf.YolosImageProcessor(size={"shortest_edge": 32, "longest_edge": 64}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Kind of model -> its folder."""
    root = tmp_path_factory.mktemp("models")
    return {
        name: save(root / name) for name, save in (("dinov2", _dinov2), ("clip", _clip), ("yolos", _yolos))
    }
