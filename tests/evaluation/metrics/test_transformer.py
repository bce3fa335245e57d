"""DINOv2 and CLIP out of a local folder: what transformers makes of it, offline, in any batch; errors that help."""

import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as tf
from torch import Tensor

from imagen.evaluation.metrics import extract
from imagen.evaluation.metrics.scores import clip_score, prompt_wins
from imagen.evaluation.metrics.transformer import CLIP, DINOv2
from imagen.text.weights import sha256


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def pictures(n: int, size: int = 40) -> Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.manual_seed(n))


def test_dinov2_is_transformers_pooled_output(folders: dict[str, Path]) -> None:
    extractor, shown = DINOv2(folders["dinov2"]), pictures(3)
    features = extract(extractor, [shown])
    assert features.shape == (3, extractor.dim) == (3, 16)
    model = tf.AutoModel.from_pretrained(folders["dinov2"]).eval()
    processor = tf.AutoImageProcessor.from_pretrained(folders["dinov2"])
    images = [np.asarray(p.permute(1, 2, 0)) for p in shown]
    with torch.no_grad():
        expected = model(**processor(images=images, return_tensors="pt")).pooler_output
    torch.testing.assert_close(features, expected)


@pytest.mark.parametrize("kind", ["dinov2", "clip"])
def test_features_do_not_depend_on_the_batch(folders: dict[str, Path], kind: str) -> None:
    extractor = (DINOv2 if kind == "dinov2" else CLIP)(folders[kind])
    shown = pictures(5)
    whole = extract(extractor, [shown])
    torch.testing.assert_close(extract(extractor, shown.split(2)), whole, rtol=1e-5, atol=1e-5)
    assert torch.equal(extract(extractor, [shown]), whole)


def test_the_key_tells_weights_size_filter_and_normalization(folders: dict[str, Path]) -> None:
    key = DINOv2(folders["dinov2"]).key
    assert key["weights"] == "sha256:" + sha256(folders["dinov2"] / "model.safetensors")
    assert key["size"] == {"height": 28, "width": 28}
    assert key["resize"]["filter"] == "bicubic"
    assert key["resize"]["to"] == {"shortest_edge": 32}
    assert key["normalization"][1] == [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]
    clip = CLIP(folders["clip"]).key
    assert clip["kind"] == "clip, projected"
    assert clip["tokens"] == 12


def test_clip_is_transformers_scores(folders: dict[str, Path]) -> None:
    clip, shown = CLIP(folders["clip"]), pictures(3)
    prompts = ["a red circle", "blue star", "a photo of a red star"]
    model = tf.CLIPModel.from_pretrained(folders["clip"]).eval()
    processor = tf.AutoImageProcessor.from_pretrained(folders["clip"])
    tokenizer = tf.AutoTokenizer.from_pretrained(folders["clip"])
    images = [np.asarray(p.permute(1, 2, 0)) for p in shown]
    tokens = tokenizer(prompts, padding=True, return_tensors="pt")
    with torch.no_grad():
        pixels = processor(images=images, return_tensors="pt")["pixel_values"]
        out = model(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], pixel_values=pixels
        )
    cosines = (out.image_embeds @ out.text_embeds.T).diagonal()
    found = clip_score(extract(clip, [shown]), clip.text(prompts))
    torch.testing.assert_close(found.float(), 100 * cosines.clamp(min=0), rtol=1e-4, atol=1e-3)
    assert prompt_wins(extract(clip, [shown]), clip.text(prompts)).shape == (3,)


def test_a_prompts_features_do_not_depend_on_the_others(folders: dict[str, Path]) -> None:
    clip = CLIP(folders["clip"])
    alone = clip.text(["red star"])
    torch.testing.assert_close(clip.text(["red star", "a photo of a blue circle of a star"])[:1], alone)


def test_long_prompts_are_cut_and_counted(folders: dict[str, Path]) -> None:
    clip = CLIP(folders["clip"])
    prompts = ["red " * 30, "blue"]
    assert clip.text(prompts).shape == (2, 8)
    assert clip.cut(prompts) == 1
    with pytest.raises(ValueError, match="no prompts"):
        clip.text([])


def test_a_missing_folder_or_file_is_named(tmp_path: Path, folders: dict[str, Path]) -> None:
    with pytest.raises(
        ValueError, match=r"weights.dinov2=.*no config.json there; give the folder of facebook/dinov2-large"
    ):
        DINOv2(tmp_path / "nothing")  # fmt: skip
    for gone, said in [
        ("model.safetensors", r"no model.safetensors there \(any hash; it is recorded; other formats"),
        ("preprocessor_config.json", "no preprocessor_config.json"),
        ("tokenizer.json", "no tokenizer there"),
    ]:
        copy = tmp_path / gone.replace(".", "-")
        shutil.copytree(folders["clip"], copy)
        (copy / gone).unlink()
        for rest in ("tokenizer_config.json", "special_tokens_map.json"):
            if gone == "tokenizer.json":
                (copy / rest).unlink(missing_ok=True)
        with pytest.raises(ValueError, match=said) as caught:
            CLIP(copy)
        assert "\n" not in str(caught.value)


def test_other_weights_and_other_models_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"its weights are sha256:[0-9a-f]{64}, not sha256:00"):
        CLIP(folders["clip"], sha256="sha256:00")
    with pytest.raises(ValueError, match="a model of type clip, not dinov2"):
        DINOv2(folders["clip"])
    shutil.copytree(folders["clip"], tmp_path / "mixed")
    shutil.copy(folders["dinov2"] / "config.json", tmp_path / "mixed")
    with pytest.raises(ValueError, match="a model of type dinov2, not clip"):
        CLIP(tmp_path / "mixed")


def test_weights_that_lack_a_tensor_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "clip"
    shutil.copytree(folders["clip"], folder)
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("visual_projection.weight")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"the weights do not fit config\.json: visual_projection.weight"):
        CLIP(folder)
