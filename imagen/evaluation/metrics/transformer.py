"""Extractors of `transformers`, from local folders: DINOv2's image features, CLIP's of images and prompts.

Nothing is downloaded, no code beside the weights is run, and weights other than safetensors are not read. B batch, D width.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imagen.evaluation.metrics.features import Key, check_pictures, exact_convolutions
from imagen.evaluation.metrics.weights import checked_folder, first_line

SETTINGS = (
    "do_resize", "size", "do_center_crop", "crop_size", "do_pad", "do_rescale", "rescale_factor", "do_normalize",
    "image_mean", "image_std",
)  # fmt: skip
FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}


class DINOv2:
    """The normed class token of a DINOv2, for FD-DINOv2 (Stein et al. 2023, https://arxiv.org/abs/2306.04675).

    `folder`: facebook/dinov2-large for the paper's numbers. `sha256`: "sha256:..." of its model.safetensors, checked
    where given, recorded in the key always. Pictures are prepared as the folder's preprocessor_config.json says (short
    side to 256, the middle 224); the paper's code brings the whole picture to 224 x 224, bicubic: for its
    numbers give pictures of 224 x 224, or change that file, which changes the key. Not run with the real weights where
    this was written; the tests use a small random model.
    """

    def __init__(
        self, folder: str | Path, sha256: str | None = None, device: str | torch.device = "cpu"
    ) -> None:
        self.folder, self.weights = checked_folder(folder, sha256, "weights.dinov2", "facebook/dinov2-large")
        self.processor = load_processor(self.folder)
        self.model = load(self.folder, "AutoModel", ("dinov2", "dinov2_with_registers")).to(device)
        self.device = torch.device(device)
        self.dim: int = self.model.config.hidden_size

    @property
    def key(self) -> Key:
        """See `features.Key`."""
        return _key(f"{self.model.config.model_type}, normed class token", self.weights, self.processor)

    @torch.inference_mode()
    def __call__(self, pictures: Tensor) -> Tensor:
        """See `Extractor`."""
        with exact_convolutions():
            pixels = prepared(self.processor, pictures).to(self.device)
            return self.model(pixel_values=pixels).last_hidden_state[:, 0].float()


class CLIP:
    """CLIP's projected features, of pictures (`__call__`, for CMMD and CLIP scores) and of prompts (`text`).

    `folder`: openai/clip-vit-large-patch14-336 for CMMD's own numbers, openai/clip-vit-large-patch14 for Imagen's CLIP
    score. `sha256`: as of `DINOv2`. Features have the model's own length, not 1. Prompts are cut at the model's length
    (77 tokens), as everywhere; `cut` says how many were. Not run with the real weights where this was written.
    """

    def __init__(
        self, folder: str | Path, sha256: str | None = None, device: str | torch.device = "cpu"
    ) -> None:
        source = "openai/clip-vit-large-patch14"
        self.folder, self.weights = checked_folder(folder, sha256, "weights.clip", source)
        self.processor = load_processor(self.folder)
        self.tokenizer = _tokenizer(self.folder)
        self.model = load(self.folder, "CLIPModel", ("clip",)).to(device)
        self.device = torch.device(device)
        self.dim: int = self.model.config.projection_dim
        self.length: int = self.model.config.text_config.max_position_embeddings

    @property
    def key(self) -> Key:
        """See `features.Key`; "tokenizer" is a hash of its vocabulary."""
        vocabulary = json.dumps(sorted(self.tokenizer.get_vocab().items()))
        told = hashlib.sha256(vocabulary.encode()).hexdigest()[:16]
        return _key("clip, projected", self.weights, self.processor) | {
            "tokenizer": told,
            "tokens": self.length,
        }

    @torch.inference_mode()
    def __call__(self, pictures: Tensor) -> Tensor:
        """See `Extractor`."""
        with exact_convolutions():
            pixels = prepared(self.processor, pictures).to(self.device)
            return _projected(self.model.get_image_features(pixel_values=pixels))

    @torch.inference_mode()
    def text(self, prompts: Sequence[str]) -> Tensor:
        """B prompts -> (B, D) float32. ValueError for no prompt, or one without a token."""
        if not prompts:
            raise ValueError("no prompts to take features of")
        rows = self.tokenizer(list(prompts), truncation=True, max_length=self.length)["input_ids"]
        if empty := [prompt for prompt, ids in zip(prompts, rows) if not ids]:
            raise ValueError(f"the prompt {empty[0]!r:.60} has no token; leave it out")
        # padded here, after the end: CLIP's text half looks back only, so that what follows changes nothing
        padding = self.tokenizer.pad_token_id
        filler = padding if padding is not None else self.tokenizer.eos_token_id or 0
        longest = max(len(ids) for ids in rows)
        ids = torch.tensor([list(row) + [filler] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        found = self.model.get_text_features(
            input_ids=ids.to(self.device), attention_mask=mask.to(self.device)
        )
        return _projected(found)

    def cut(self, prompts: Sequence[str]) -> int:
        """How many prompts are longer than the model reads."""
        return sum(len(ids) > self.length for ids in self.tokenizer(list(prompts))["input_ids"])


def load(folder: Path, kind: str, types: tuple[str, ...] | None) -> Any:
    """The model in `folder` as transformers' class `kind`, float32, eval, frozen. `types`: the model types allowed, None
    for any. ValueError when it is another, needs code of its own, or tensors are missing or do not fit."""
    import transformers
    from transformers.utils import logging

    wanted: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **wanted)
    except Exception:  # a config.json of somebody else's fails anywhere
        raise ValueError(
            f"{folder}: no config.json of a model that transformers {transformers.__version__} knows by itself"
        ) from None
    if types and config.model_type not in types:
        raise ValueError(f"{folder}: a model of type {config.model_type}, not {' or '.join(types)}")
    if kind == "CLIPModel":
        del wanted["trust_remote_code"]
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        model, report = getattr(transformers, kind).from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            output_loading_info=True,
            attn_implementation="sdpa",  # config.json may name a kernel that would be fetched
            **wanted,
        )
    except Exception as error:
        raise ValueError(f"{folder}: cannot be loaded as {kind}: {first_line(error)}") from None
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
    if unfit := sorted(str(name) for name in [*report["missing_keys"], *report["mismatched_keys"]]):
        raise ValueError(f"{folder}: the weights do not fit config.json: {', '.join(unfit[:3])}"[:300])
    return model.eval().requires_grad_(False)


def load_processor(folder: Path) -> Any:
    """The image processor that `folder`/preprocessor_config.json describes, computed by Pillow, so that it gives the same
    pixels on every machine."""
    import transformers

    # torchvision's resampling differs; the option has another name before transformers 5
    choice: dict[str, Any] = (
        {"backend": "pil"} if int(transformers.__version__.split(".")[0]) >= 5 else {"use_fast": False}
    )
    try:
        return transformers.AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **choice
        )
    except Exception as error:  # of many kinds
        raise ValueError(
            f"{folder}: no preprocessor_config.json that says how pictures are prepared ({first_line(error)})"
        ) from None


def prepared(processor: Any, pictures: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) -> what the processor makes of them, float32 (B, 3, h, w)."""
    check_pictures(pictures)
    arrays = [picture.permute(1, 2, 0).cpu().numpy() for picture in pictures]
    found = processor(images=arrays, return_tensors="pt", input_data_format="channels_last")
    return found["pixel_values"].float()


def processor_key(processor: Any) -> Key:
    """What the processor does: size, resize and normalization."""
    told = json.loads(json.dumps({name: getattr(processor, name, None) for name in SETTINGS}, default=dict))
    filters = int(getattr(processor, "resample", None) or 0)
    crop = told["crop_size"] if told["do_center_crop"] else None
    resize = {"to": told["size"], "filter": FILTERS.get(filters, str(filters))} if told["do_resize"] else None
    scale = told["rescale_factor"] if told["do_rescale"] else 1
    mean_std = [told["image_mean"], told["image_std"]] if told["do_normalize"] else None
    return {"size": crop or told["size"], "resize": resize, "normalization": [scale, mean_std]}


def _key(kind: str, weights: str, processor: Any) -> Key:
    return {"kind": kind, "weights": weights} | processor_key(processor)


def _projected(found: Any) -> Tensor:
    """transformers 5 gives an output with the features in it, older ones the features."""
    return (found if isinstance(found, Tensor) else found.pooler_output).float()


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        # without them transformers 5 makes up an empty vocabulary
        raise ValueError(f"{folder}: no tokenizer there: no tokenizer.json and no vocab.json")
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # each kind of tokenizer complains of missing files in its own way
        raise ValueError(f"{folder}: no tokenizer there: {first_line(error)}") from None
