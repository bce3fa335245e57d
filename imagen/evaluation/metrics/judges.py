"""Learned judges of single pictures, each through its own package: aesthetics, ImageReward, HPS v2, VQAScore.

None comes with this framework: weights are files that a person puts there, packages are imported when a judge is made,
and the hub's client is kept offline meanwhile, since three of these packages would download in silence. None but the
aesthetics head could be run where this was written (their packages need torchvision): the tests use stand-ins of the
packages, and no number of theirs is claimed. B pictures.
"""

import tempfile
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor, nn

from imagen.evaluation.metrics.features import Extractor, Key, check_pictures
from imagen.evaluation.metrics.weights import (
    checked_file,
    first_line,
    load_strictly,
    offline,
    read_tensors,
)

AESTHETICS_SHA256 = "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0"
AESTHETICS = "sac+logos+ava1-l14-linearMSE.pth (github.com/christophschuhmann/improved-aesthetic-predictor)"


class Judge(Protocol):
    """Pictures and their prompts -> a score each; more is better."""

    @property
    def key(self) -> Key:
        """What identifies it, weights included (see `features.Key`)."""
        ...

    def __call__(self, pictures: Tensor, prompts: Sequence[str]) -> Tensor:
        """uint8 (B, 3, H, W), B prompts -> float32 (B,)."""
        ...


def judged(judge: Judge, pictures: Tensor, prompts: Sequence[str]) -> Tensor:
    """What a judge says, checked: float32 (B,), finite. ValueError for unequal numbers, and for anything else it says."""
    check_pictures(pictures)
    if len(pictures) != len(prompts):
        raise ValueError(f"{len(pictures)} pictures and {len(prompts)} prompts; give one each")
    said, name = judge(pictures, prompts), type(judge).__name__
    if not isinstance(said, Tensor) or tuple(said.shape) != (len(pictures),) or not said.isfinite().all():
        found = tuple(said.shape) if isinstance(said, Tensor) else type(said).__name__
        raise ValueError(f"judge {name} gave {found}, not (B,) = ({len(pictures)},) finite scores")
    return said.detach().float().cpu()


class Aesthetics:
    """LAION's improved aesthetic predictor (2022): a head on CLIP ViT-L/14 image features of length 1 -> about 1 to 10.

    `clip`: an extractor of 768 numbers, `CLIP` of openai/clip-vit-large-patch14. `weights`: the file of `AESTHETICS`,
    hash checked. It judges the picture alone, and likes what the raters of 2022 liked.
    """

    def __init__(self, clip: Extractor, weights: str | Path, sha256: str = AESTHETICS_SHA256) -> None:
        file, self.sha256 = checked_file(weights, sha256, "weights.aesthetics", AESTHETICS)
        widths = (clip.dim, 1024, 128, 64, 16, 1)
        lines = [nn.Linear(a, b) for a, b in pairwise(widths)]
        # dropout does nothing here, but the numbers of the layers count it
        self.layers = nn.Sequential(
            lines[0], nn.Dropout(), lines[1], nn.Dropout(), lines[2], nn.Dropout(), lines[3], lines[4]
        )
        tensors = {k.removeprefix("layers."): v for k, v in read_tensors(file, "weights.aesthetics").items()}
        first = tensors.get("0.weight")
        if first is not None and first.ndim == 2 and first.shape[1] != clip.dim:
            raise ValueError(
                f"weights.aesthetics={weights}: its head takes {first.shape[1]} features, and the CLIP of weights.clip has "
                f"{clip.dim}; give the CLIP that it was trained on, a folder of openai/clip-vit-large-patch14"
            )
        load_strictly(self.layers, tensors, f"weights.aesthetics={weights}")
        self.clip = clip
        self.layers.eval().requires_grad_(False)

    @property
    def key(self) -> Key:
        """Head and extractor."""
        return {"kind": "aesthetics, LAION improved", "weights": self.sha256, "clip": self.clip.key}

    @torch.inference_mode()
    def __call__(self, pictures: Tensor, prompts: Sequence[str]) -> Tensor:
        """See `Judge`; the prompts are not read."""
        features = self.clip(pictures).float().cpu()
        return self.layers(nn.functional.normalize(features))[:, 0]


class ImageReward:
    """ImageReward (Xu et al. 2023, https://arxiv.org/abs/2304.05977), by the package `image-reward`; about -2 to 2.

    `weights`: ImageReward.pt, `config`: med_config.json, both of THUDM/ImageReward. The package also takes the tokenizer
    bert-base-uncased from the hub's local cache: fetch it once (hf download bert-base-uncased), it is not fetched here.
    """

    def __init__(
        self, weights: str | Path, config: str | Path, sha256: str | None = None, device: str = "cpu"
    ) -> None:
        file, self.sha256 = checked_file(
            weights, sha256, "weights.imagereward", "ImageReward.pt of THUDM/ImageReward"
        )
        settings, self.config = checked_file(
            config, None, "weights.imagereward_config", "med_config.json of THUDM/ImageReward"
        )
        package = required("ImageReward.ImageReward", "image-reward", "ImageReward", file)
        with _made("ImageReward"), offline():
            self.model: Any = package.ImageReward(device=device, med_config=str(settings)).to(device)
        # the network has constants that the file lacks; a weight that it lacks would be a random one
        tensors = read_tensors(file, "weights.imagereward")
        try:
            missing, unknown = self.model.load_state_dict(tensors, strict=False)
        except RuntimeError as error:  # of another shape
            told = " ".join(str(error).split())
            raise ValueError(
                f"weights.imagereward={weights}: does not fit the network: {told:.200}"
            ) from None
        trained = {name for name, _ in self.model.named_parameters()}
        if lacking := sorted(trained & set(missing)) + sorted(unknown):
            raise ValueError(f"weights.imagereward={weights}: missing or unknown: {', '.join(lacking[:3])}")
        self.model.eval()

    @property
    def key(self) -> Key:
        """Weights and configuration."""
        return {"kind": "ImageReward", "weights": self.sha256, "config": self.config}

    @torch.inference_mode()
    def __call__(self, pictures: Tensor, prompts: Sequence[str]) -> Tensor:
        """See `Judge`."""
        said = [self.model.score(prompt, one) for prompt, one in zip(prompts, _images(pictures))]
        return torch.tensor([float(one) for one in said])


class HPSv2:
    """HPS v2 (Wu et al. 2023, https://arxiv.org/abs/2306.09341): the cosine of a fine-tuned CLIP ViT-H/14, about 0.2 to
    0.3, by the package `open-clip-torch`, whose weights format the file has (the package `hpsv2` would fetch others).

    `weights`: HPS_v2_compressed.pt (v2) or HPS_v2.1_compressed.pt of xswu/HPSv2.
    """

    def __init__(self, weights: str | Path, sha256: str | None = None, device: str = "cpu") -> None:
        file, self.sha256 = checked_file(weights, sha256, "weights.hps", "HPS_v2_compressed.pt of xswu/HPSv2")
        package = required("open_clip", "open-clip-torch", "HPS v2", file)
        with _made("HPS v2"), offline():
            self.model, _, self.prepare = package.create_model_and_transforms(
                "ViT-H-14", pretrained=str(file), device=device
            )
            self.tokenizer = package.get_tokenizer("ViT-H-14")
        self.model.eval()
        self.device = device

    @property
    def key(self) -> Key:
        """Weights."""
        return {"kind": "HPS v2, CLIP ViT-H/14", "weights": self.sha256}

    @torch.inference_mode()
    def __call__(self, pictures: Tensor, prompts: Sequence[str]) -> Tensor:
        """See `Judge`."""
        pixels = torch.stack([self.prepare(one) for one in _images(pictures)]).to(self.device)
        images = self.model.encode_image(pixels)
        texts = self.model.encode_text(self.tokenizer(list(prompts)).to(self.device))
        return torch.cosine_similarity(images.float(), texts.float(), dim=1).cpu()


class VQAScore:
    """VQAScore (Lin et al. 2024, https://arxiv.org/abs/2404.01291): how probable "yes" is to "does this figure show
    PROMPT?", 0 to 1, by the package `t2v-metrics`.

    `folder`: the hub cache in which the model's files lie (hf download zhiqiulin/clip-flant5-xxl --cache-dir FOLDER, and
    what that package names besides); `model`: its name there. The package hashes nothing; the key has the name only.
    """

    def __init__(self, folder: str | Path, model: str = "clip-flant5-xxl", device: str = "cpu") -> None:
        place = Path(folder).expanduser()
        if not place.is_dir():
            raise ValueError(
                f"weights.vqascore={folder}: no such folder; put zhiqiulin/{model} there "
                f"(hf download zhiqiulin/{model} --cache-dir FOLDER), nothing is downloaded here"
            )
        self.name = model
        with offline():
            package = required("t2v_metrics", "t2v-metrics", "VQAScore", place)
            with _made("VQAScore"):
                self.model: Any = package.VQAScore(model=model, device=device, cache_dir=str(place))

    @property
    def key(self) -> Key:
        """The model's name."""
        return {"kind": "VQAScore", "model": self.name, "weights": None}

    @torch.inference_mode()
    def __call__(self, pictures: Tensor, prompts: Sequence[str]) -> Tensor:
        """See `Judge`. The package reads files: pictures go through a temporary folder, as PNG."""
        said = []
        with tempfile.TemporaryDirectory() as folder, offline():
            for number, (image, prompt) in enumerate(zip(_images(pictures), prompts)):
                file = Path(folder) / f"{number}.png"
                image.save(file)
                said.append(float(self.model(images=[str(file)], texts=[prompt])[0, 0]))
        return torch.tensor(said)


def required(module: str, package: str, judge: str, weights: Path) -> Any:
    """The module of a package that a judge needs; ValueError saying how to install it, and that `weights` were found."""
    try:
        return import_module(module)
    except Exception as error:  # torchvision's own import fails in several ways
        raise ValueError(
            f"{judge} needs the package {package} (pip install {package}; the extra judges; it needs torchvision): "
            f"{first_line(error)}; its weights {weights} are there"
        ) from None


class _made:
    """What a package cannot make without its files becomes one line."""

    def __init__(self, judge: str):
        self.judge = judge

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            raise ValueError(
                f"{self.judge} cannot be made from what is on this machine (nothing is downloaded): {first_line(error)}"
            ) from None


def _images(pictures: Tensor) -> list[Image.Image]:
    check_pictures(pictures)
    return [Image.fromarray(one.permute(1, 2, 0).cpu().numpy()) for one in pictures]
