"""Judges: the aesthetics head itself; of the others, what they ask of their packages, which stand-ins play."""

import hashlib
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from PIL import Image
from torch import Tensor, nn

from imagen.evaluation.metrics.features import Pixels
from imagen.evaluation.metrics.judges import (
    AESTHETICS_SHA256,
    Aesthetics,
    HPSv2,
    ImageReward,
    VQAScore,
    judged,
)


def pictures(n: int) -> Tensor:
    return torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=torch.manual_seed(n))


def module(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    parts = name.split(".")
    for i in range(1, len(parts) + 1):
        made = ModuleType(".".join(parts[:i]))
        made.__path__ = []
        monkeypatch.setitem(sys.modules, made.__name__, made)
    for key, value in content.items():
        setattr(sys.modules[name], key, value)


def test_aesthetics_is_its_layers_of_directions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    widths = (12, 1024, 128, 64, 16, 1)
    lines = [nn.Linear(a, b) for a, b in pairwise(widths)]
    state = {
        f"layers.{n}.{k}": v for n, line in zip((0, 2, 4, 6, 7), lines) for k, v in line.state_dict().items()
    }
    file = tmp_path / "head.pth"
    torch.save(state, file)
    head = Aesthetics(Pixels(2), file, hashlib.sha256(file.read_bytes()).hexdigest())
    shown = pictures(3)
    x = nn.functional.normalize(Pixels(2)(shown))
    for line in lines:
        x = line(x)
    torch.testing.assert_close(judged(head, shown, ["a"] * 3), x[:, 0].detach())
    assert head.key["clip"] == Pixels(2).key
    with pytest.raises(ValueError, match=f"weights.aesthetics=.*sha256 .*, not {AESTHETICS_SHA256}; put sac"):
        Aesthetics(Pixels(2), file)  # fmt: skip
    with pytest.raises(ValueError, match="no such file; put sac"):
        Aesthetics(Pixels(2), tmp_path / "none")


def test_packages_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ImageReward", "ImageReward.ImageReward", "open_clip", "t2v_metrics"):
        monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]
    file = tmp_path / "w.pt"
    with pytest.raises(ValueError, match=r"weights\.hps=.*put HPS_v2_compressed\.pt of xswu/HPSv2 there"):
        HPSv2(file)
    with pytest.raises(ValueError, match=r"weights\.imagereward=.*put ImageReward\.pt of THUDM"):
        ImageReward(file, file)
    with pytest.raises(ValueError, match=r"weights\.vqascore=.*hf download zhiqiulin/clip-flant5-xxl"):
        VQAScore(file)
    file.write_bytes(b"1")
    with pytest.raises(
        ValueError, match="pip install open-clip-torch; the extra judges; it needs torchvision"
    ):
        HPSv2(file)
    with pytest.raises(ValueError, match="pip install image-reward"):
        ImageReward(file, file)
    with pytest.raises(ValueError, match="pip install t2v-metrics"):
        VQAScore(tmp_path)


class RewardStub(nn.Module):
    def __init__(self, device: str, med_config: str):
        super().__init__()
        assert constants.HF_HUB_OFFLINE
        self.gain = nn.Linear(1, 1, bias=False)
        self.register_buffer("constant", torch.ones(1))

    def score(self, prompt: str, image: Image.Image) -> float:
        return len(prompt) + float(np.asarray(image)[0, 0, 0]) * float(self.gain.weight)


def test_imagereward_reads_its_weights_strictly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module(monkeypatch, "ImageReward.ImageReward", ImageReward=RewardStub)
    file, config = tmp_path / "w.pt", tmp_path / "med_config.json"
    config.write_text("{}")
    torch.save({"gain.weight": torch.full((1, 1), 2.0)}, file)
    shown = pictures(2)
    said = judged(ImageReward(file, config), shown, ["a", "bcd"])
    assert said.tolist() == [1 + 2.0 * int(shown[0, 0, 0, 0]), 3 + 2.0 * int(shown[1, 0, 0, 0])]
    for state, name in (({}, "gain.weight"), ({"gain.weight": torch.ones(1, 1), "x": torch.ones(1)}, "x")):
        torch.save(state, file)
        with pytest.raises(ValueError, match=f"missing or unknown: {name}"):
            ImageReward(file, config)


class OpenClipStub:
    def eval(self) -> None: ...

    def encode_image(self, pixels: Tensor) -> Tensor:
        return pixels

    def encode_text(self, tokens: Tensor) -> Tensor:
        return tokens


def test_hps_is_the_cosine_by_open_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "w.pt"
    file.write_bytes(b"1")
    asked: list = []

    def create(name: str, pretrained: str, device: str) -> tuple:
        asked.append((name, pretrained))
        return OpenClipStub(), None, lambda image: torch.tensor(np.asarray(image)[0, 0].astype(np.float32))

    def tokenizer(prompts: list[str]) -> Tensor:
        return torch.tensor([[float(p == "red"), 0, float(p == "blue")] for p in prompts])

    module(monkeypatch, "open_clip", create_model_and_transforms=create, get_tokenizer=lambda _: tokenizer)
    shown = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    shown[:, 0] = 100
    assert judged(HPSv2(file), shown, ["red", "blue"]).tolist() == [1, 0]
    assert asked == [("ViT-H-14", str(file))]


def test_vqascore_is_asked_a_picture_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stub:
        def __init__(self, model: str, device: str, cache_dir: str):
            assert (model, cache_dir) == ("clip-flant5-xxl", str(tmp_path))

        def __call__(self, images: list[str], texts: list[str]) -> Tensor:
            assert constants.HF_HUB_OFFLINE
            with Image.open(images[0]) as image:
                return torch.tensor([[float(np.asarray(image)[0, 0, 0]) + len(texts[0])]])

    module(monkeypatch, "t2v_metrics", VQAScore=Stub)
    shown = pictures(2)
    said = judged(VQAScore(tmp_path), shown, ["a", "bc"])
    assert said.tolist() == [1 + int(shown[0, 0, 0, 0]), 2 + int(shown[1, 0, 0, 0])]


def test_what_a_package_cannot_make_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise OSError("no tokenizer in the cache\nand a long story")

    module(monkeypatch, "t2v_metrics", VQAScore=fail)
    with pytest.raises(ValueError, match="VQAScore cannot be made from what is on this machine") as caught:
        VQAScore(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_wrong_judge_is_named() -> None:
    class Wrong:
        def __init__(self, said: object):
            self.said, self.key = said, {}

        def __call__(self, pictures: Tensor, prompts: object) -> Any:
            return self.said

    for said in (torch.zeros(2, 1), None, torch.full((2,), torch.nan)):
        with pytest.raises(ValueError, match=r"judge Wrong gave .*, not \(B,\) = \(2,\) finite"):
            judged(Wrong(said), pictures(2), ["a", "b"])
    with pytest.raises(ValueError, match="2 pictures and 1 prompts"):
        judged(Wrong(None), pictures(2), ["a"])
