"""imagen-evaluate with networks that look at single pictures: small random ones, and stand-ins of packages."""

import hashlib
import json
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from imagen.evaluation.metrics import geneval, judges
from imagen.evaluation.metrics.detector import TransformersDetector, clip_colors
from imagen.evaluation.metrics.judges import Aesthetics
from imagen.evaluation.metrics.scores import prompt_wins
from imagen.evaluation.metrics.transformer import CLIP
from imagen.programs import evaluate as program

LINES = [
    {"tag": "single_object", "include": [{"class": "cat", "count": 1}], "prompt": "a photo of a cat"},
    {"tag": "colors", "include": [{"class": "dog", "count": 1, "color": "red"}], "prompt": "a photo of a red dog"},
    {
        "tag": "counting", "include": [{"class": "cat", "count": 2}], "exclude": [{"class": "cat", "count": 3}],
        "prompt": "a photo of two cats",
    },
    {
        "tag": "position",
        "include": [{"class": "cat", "count": 1}, {"class": "dog", "count": 1, "position": ["left of", 0]}],
        "prompt": "a photo of a dog left of a cat",
    },
]  # fmt: skip
PROMPTS: list[str] = [str(line["prompt"]) for line in LINES]


@pytest.fixture
def asked(tmp_path: Path) -> list[str]:
    """The words of an evaluation of four pictures in a folder, by GenEval's prompts."""
    suite, folder = tmp_path / "geneval.jsonl", tmp_path / "pictures"
    suite.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    folder.mkdir()
    for i, (prompt, picture) in enumerate(zip(PROMPTS, pictures())):
        Image.fromarray(picture).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(prompt)
    words = [f"images={folder}", "protocol=prompts", f"protocol.path={suite}", "devices=[cpu]"]
    return [*words, "block=3", "progress=false", "bootstrap=20"]


def pictures() -> np.ndarray:
    """(4, 48, 48, 3)"""
    return np.random.default_rng(0).integers(0, 256, (4, 48, 48, 3), np.uint8)


def head(file: Path, width: int) -> str:
    """Random weights of the aesthetics head, and their sha256."""
    torch.manual_seed(0)
    lines = [nn.Linear(a, b) for a, b in pairwise((width, 1024, 128, 64, 16, 1))]
    state = {
        f"layers.{n}.{k}": v for n, line in zip((0, 2, 4, 6, 7), lines) for k, v in line.state_dict().items()
    }
    torch.save(state, file)
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def weights(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Words that name networks which have random weights."""
    monkeypatch.setattr(judges, "AESTHETICS_SHA256", head(tmp_path / "head.pth", 8))
    monkeypatch.setattr(geneval, "CONFIDENCE", 0.05)  # random networks are not sure
    monkeypatch.setattr(geneval, "COUNTING_CONFIDENCE", 0.1)
    where = {"clip": folders["clip"], "detector": folders["yolos"], "aesthetics": tmp_path / "head.pth"}
    return [f"weights.{name}={path}" for name, path in where.items()]


def scores(out: Path) -> list[dict[str, float | None]]:
    """Of each picture."""
    return [json.loads(line)["scores"] for line in (out / "per_prompt.jsonl").read_text().splitlines()]


def result(out: Path) -> dict[str, Any]:
    """What two equal evaluations share."""
    told = json.loads((out / "result.json").read_text())
    return {key: value for key, value in told.items() if key not in ("name", "cost", "code")}


def test_scores_are_those_of_the_networks(
    called: Any,
    asked: list[str],
    weights: list[str],
    folders: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, metrics = tmp_path / "out", "metrics=[aesthetics,geneval,clip]"
    code, said, err = called(program.main, *asked, *weights, metrics, f"out={out}")
    assert code == 0, err
    shown = torch.from_numpy(pictures()).permute(0, 3, 1, 2)
    clip, detector = CLIP(folders["clip"]), TransformersDetector(folders["yolos"])
    judge = Aesthetics(clip, tmp_path / "head.pth", judges.AESTHETICS_SHA256)
    truths = [geneval.truth_of(line) for line in LINES]
    verdicts = geneval.judge(detector, shown, truths, clip_colors(clip))
    found = scores(out)
    assert [one["aesthetics"] for one in found] == pytest.approx(judge(shown, PROMPTS).tolist(), abs=1e-5)
    assert [one["geneval.correct"] for one in found] == [float(one.correct) for one in verdicts]
    others = ["a photo of a green dog", "a photo of three cats", "a photo of a dog right of a cat"]
    wins = prompt_wins(clip(shown[1:]), clip.text(PROMPTS[1:]), clip.text(others)).tolist()
    assert [one["clip.contradicted"] for one in found] == [None, *wins]
    told = result(out)
    assert told["metrics"]["aesthetics"]["n"] == 4
    low, high = told["metrics"]["aesthetics"]["interval"]
    assert low < told["metrics"]["aesthetics"]["value"] < high
    assert told["metrics"]["clip.contradicted"]["n"] == 3
    assert told["by_category"]["colors"]["geneval.correct"]["n"] == 1
    assert told["extractors"]["geneval"]["colors"]["kind"] == "clip, projected"
    assert "geneval.unchecked" not in told["metrics"]
    assert "aesthetics" in said

    # by two processes, the first one last, since it waits for the other
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        for rank in ("1", "0"):
            patch.setenv("RANK", rank)
            patch.setenv("LOCAL_RANK", rank)
            code, _, err = called(program.main, *asked, *weights, metrics, f"out={tmp_path / 'two'}")
            assert code == 0, err
    assert result(tmp_path / "two") == told

    def never(*_: object) -> None:
        raise AssertionError("is asked again")

    for network in (Aesthetics, TransformersDetector):
        monkeypatch.setattr(network, "__call__", never)
    code, _, err = called(program.main, *asked, *weights, metrics, f"out={out}")
    assert code == 0, err
    assert result(out) == told
    code, _, err = called(program.main, *asked, *weights, "metrics=[geneval]", f"out={out}")
    assert code == 0, err
    assert set(result(out)["metrics"]) == {"geneval.correct"}


def test_colors_without_clip_are_said_to_be_unchecked(
    called: Any, asked: list[str], weights: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    detector = [word for word in weights if "detector" in word]
    code, _, err = called(program.main, *asked, *detector, "metrics=[geneval]", f"out={out}")
    assert code == 0, err
    assert [one["geneval.unchecked"] for one in scores(out)] == [0, 1, 0, 0]
    assert scores(out)[1]["geneval.correct"] is None
    told = result(out)
    assert told["metrics"]["geneval.correct"]["n"] == 3
    assert told["metrics"]["geneval.unchecked"]["value"] == 0.25
    assert told["extractors"]["geneval"]["colors"] == "not checked: no weights.clip"


def module(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    """A package that cannot be had here, as far as it is asked."""
    parts = name.split(".")
    for i in range(1, len(parts) + 1):
        made = ModuleType(".".join(parts[:i]))
        made.__path__ = []
        monkeypatch.setitem(sys.modules, made.__name__, made)
    for key, value in content.items():
        setattr(sys.modules[name], key, value)


def test_judges_of_other_packages_are_asked(
    called: Any, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reward(nn.Module):
        def __init__(self, device: str, med_config: str):
            super().__init__()
            self.gain = nn.Linear(1, 1, bias=False)

        def score(self, prompt: str, image: Image.Image) -> float:
            return float(np.asarray(image)[0, 0, 0]) * float(self.gain.weight) + len(prompt)

    class OpenClip(nn.Module):
        def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels

        encode_text = encode_image

    def create(name: str, pretrained: str, device: str) -> tuple:
        return OpenClip(), None, lambda image: torch.tensor(np.asarray(image)[0, 0].astype(np.float32))

    def vqa(model: str, device: str, cache_dir: str) -> Any:
        return lambda images, texts: torch.tensor([[len(texts[0]) / 100]])

    def tokenizer(prompts: list[str]) -> torch.Tensor:
        return torch.ones(len(prompts), 3)

    module(monkeypatch, "ImageReward.ImageReward", ImageReward=Reward)
    module(monkeypatch, "open_clip", create_model_and_transforms=create, get_tokenizer=lambda _: tokenizer)
    module(monkeypatch, "t2v_metrics", VQAScore=vqa)
    (tmp_path / "med.json").write_text("{}")
    torch.save({"gain.weight": torch.full((1, 1), 2.0)}, tmp_path / "reward.pt")
    named = {
        "imagereward": "reward.pt",
        "imagereward_config": "med.json",
        "hps": "reward.pt",
        "vqascore": ".",
    }
    words = [f"weights.{name}={tmp_path / file}" for name, file in named.items()]
    out = tmp_path / "out"
    code, _, err = called(program.main, *asked, *words, "metrics=[imagereward,hps,vqascore]", f"out={out}")
    assert code == 0, err
    first = pictures()[:, 0, 0].astype(float)
    lengths = np.array(list(map(len, PROMPTS)))
    found = scores(out)
    assert [one["imagereward"] for one in found] == pytest.approx(2 * first[:, 0] + lengths)
    assert [one["vqascore"] for one in found] == pytest.approx(lengths / 100)
    cosines = first.sum(1) / np.linalg.norm(first, axis=1) / 3**0.5
    assert [one["hps"] for one in found] == pytest.approx(cosines, abs=1e-6)
    assert set(result(out)["metrics"]) == {"imagereward", "hps", "vqascore"}

    torch.save({"gain.weight": torch.ones(2, 2)}, tmp_path / "reward.pt")
    code, _, err = called(program.main, *asked, *words, "metrics=[imagereward]", f"out={tmp_path / 'new'}")
    assert code == 2
    assert "reward.pt: does not fit the network" in err
    assert "size mismatch" in err
    assert err.count("\n") == 1


def test_networks_that_do_not_fit_are_one_line(
    called: Any, asked: list[str], weights: list[str], folders: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "drawbench.csv").write_text("prompt\na cat\n")
    wide = tmp_path / "wide.pth"
    for words, told in (
        (["metrics=[hps]", "weights.hps=/none.pt"], "weights.hps=/none.pt: no such file; put HPS_v2_compressed.pt"),
        (["metrics=[geneval]", f"weights.detector={folders['dinov2']}"], "cannot be loaded as AutoModelForObject"),
        (["metrics=[geneval]", f"protocol.path={tmp_path / 'drawbench.csv'}"], "none of the 1 prompts has a ground truth"),
        (["metrics=[shapes]"], "the judge knows only prompts of the drawn world"),
        (["metrics=[aesthetics]", f"weights.aesthetics={folders['yolos'] / 'config.json'}"], "put sac+logos"),
    ):  # fmt: skip
        code, _, err = called(program.main, *asked, *weights, *words, f"out={tmp_path / 'out'}")
        assert code == 2
        assert told in err
        assert err.count("\n") == 1, err
        assert not (tmp_path / "out").exists(), "nothing is made"
    with pytest.raises(ValueError, match=r"its head takes 12 features, and the CLIP of weights\.clip has 8;"):
        Aesthetics(CLIP(folders["clip"]), wide, head(wide, 12))
