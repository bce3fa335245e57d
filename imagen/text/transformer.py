"""Any T5, UMT5, ByT5, CLIP or BERT-like encoder of `transformers`, by hub name or folder."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from imagen.text.cleaning import check_cleaning, cleaned
from imagen.text.encoder import Key, refuse_empty
from imagen.text.weights import find_weights, fingerprint, model_folder

# model_type -> the class that holds the text-encoder half alone; every other type is an AutoModel.
ENCODER_HALVES = {
    "t5": "T5EncoderModel",
    "mt5": "MT5EncoderModel",
    "umt5": "UMT5EncoderModel",
    "clip": "CLIPTextModel",
    "clip_text_model": "CLIPTextModel",
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PROBE = "A red Circle left of 2 blue stars, déjà vu!"


class TransformersEncoder:
    """A frozen encoder of `transformers` (section 2.1: T5-XXL, against BERT and CLIP).

    `name`: a hub name, or a folder with config.json, the tokenizer and the weights. `dim`: the width D of its
    embeddings, which the network is built for before any weights are read; checked once they are. `layer`:
    which hidden states: -1 the encoder's output, final norm included; any other k the k-th of the hidden
    states, 0 = the input embeddings, -2 = penultimate, without the final norm. `max_length`: tokens beyond it
    are cut off, special tokens count. `dtype`: float32, bfloat16 or float16, of the computation; what comes
    out is float32. `cleaning`: of the captions, see `cleaned`.

    Loaded by the first call or the first look at `key`. Weights come from safetensors where there are any,
    else from a checkpoint read with `weights_only`; code that lies beside them is never run, and a tensor
    that they lack is an error. The key names a model by the last part of its name, so that a folder
    `/models/t5-v1_1-base` and the hub's `google/t5-v1_1-base` share a cache while their weights are the same.
    It leaves `dtype` out: half precision is the same encoder, a little less exact.
    """

    def __init__(
        self,
        name: str,
        dim: int,
        layer: int = -1,
        max_length: int = 128,
        dtype: str = "float32",
        cleaning: str = "none",
    ):
        if dtype not in DTYPES:
            raise ValueError(f"text.dtype={dtype} is none of {', '.join(DTYPES)}")
        if not dim >= 1:
            raise ValueError(f"text.dim={dim}: give at least 1")
        if not max_length >= 3:
            raise ValueError(f"text.max_length={max_length} leaves no room for words: give at least 3")
        self.name, self.dim, self.layer, self.max_length = str(name), dim, layer, max_length
        self.dtype, self.cleaning = dtype, check_cleaning(cleaning)
        self.device = torch.device("cpu")

    @property
    def arguments(self) -> dict[str, str | int]:
        """The constructor's arguments, plain JSON, with which a release rebuilds the encoder."""
        names = ("name", "dim", "layer", "max_length", "dtype", "cleaning")
        return {name: getattr(self, name) for name in names}

    @property
    def configured(self) -> Key:
        """The part of the key that is known without the weights."""
        short = self.name.rstrip("/").rsplit("/", 1)[-1]
        numbers: Key = {"layer": self.layer, "max_length": self.max_length, "dim": self.dim}
        return {"encoder": short, **numbers, "cleaning": self.cleaning}

    @cached_property
    def key(self) -> Key:
        """`configured`, the weights' fingerprint (`weights.fingerprint`: sha256, sampled when huge), and the
        tokenizer's: a hash of its vocabulary and of what it makes of one sentence."""
        vocabulary = sorted(self.tokenizer.get_vocab().items())
        told = json.dumps([vocabulary, self._ids([PROBE])], ensure_ascii=True)
        tokenizer = hashlib.sha256(told.encode()).hexdigest()[:16]
        return {**self.configured, "weights": fingerprint(find_weights(self.folder)), "tokenizer": tokenizer}

    def to(self, device: str | torch.device) -> "TransformersEncoder":
        """The same encoder on `device`; does not load it."""
        self.device = torch.device(device)
        if "model" in self.__dict__:
            self.model.to(self.device)
        return self

    @torch.no_grad()
    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B captions -> (B, L, D) float32, (B, L) bool; see `TextEncoder`. One forward pass of the whole
        batch."""
        refuse_empty(captions)
        ids, mask = self._batch([cleaned(caption, self.cleaning) for caption in captions])
        output = self.model(input_ids=ids, attention_mask=mask, output_hidden_states=self.layer != -1)
        emb = output.last_hidden_state if self.layer == -1 else output.hidden_states[self.layer]
        if not emb[mask].isfinite().all():
            raise ValueError(f"{self.name} overflows in text.dtype={self.dtype}: use bfloat16 or float32")
        return emb.float().masked_fill(~mask[..., None], 0), mask

    def _ids(self, captions: Sequence[str]) -> list[list[int]]:
        return self.tokenizer(list(captions), truncation=True, max_length=self.max_length)["input_ids"]

    def _batch(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Captions -> token ids (B, L), mask (B, L) bool. Padded here, on the right: a tokenizer may have no
        padding token, or pad on the left, or to its own length; the mask hides whatever stands there."""
        rows = [torch.tensor(ids, dtype=torch.long) for ids in self._ids(captions)]
        for caption, row in zip(captions, rows):
            if len(row) == 0:
                raise ValueError(
                    f"the caption {caption!r} has no token for {self.name}: leave the picture out"
                )
        filler = self.tokenizer.pad_token_id or 0
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=filler)
        mask = torch.arange(ids.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]
        return ids.to(self.device), mask.to(self.device)

    @cached_property
    def folder(self) -> Path:
        """Where the files lie; the hub is asked for what is not on this machine."""
        return model_folder(self.name)

    @cached_property
    def tokenizer(self) -> Any:
        folder = self.folder  # before the import, which takes seconds: a wrong name is said at once
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # each kind of tokenizer complains of missing files in its own way
            raise ValueError(f"no tokenizer of {self.name} in {folder}: {first_line(error)}") from None

    @cached_property
    def model(self) -> Any:
        """The loaded encoder half: eval, no gradients, on `device`."""
        return self._load().to(self.device)

    def _load(self) -> Any:
        model = load_model(self.folder, self.name, DTYPES[self.dtype])
        config = getattr(model.config, "text_config", None) or model.config
        if config.hidden_size != self.dim:
            raise ValueError(f"text.dim={self.dim}, but the width of {self.name} is {config.hidden_size}")
        layers = config.num_hidden_layers
        if not -layers - 1 <= self.layer <= layers:
            raise ValueError(
                f"text.layer={self.layer}, but the layers of {self.name} are 0 to {layers} (-1: the last)"
            )
        positions = getattr(config, "max_position_embeddings", None)
        if positions is not None and self.max_length > positions:
            raise ValueError(
                f"text.max_length={self.max_length}, but {self.name} reads at most {positions} tokens"
            )
        return model


def load_model(folder: Path, name: str, dtype: torch.dtype) -> Any:
    """The encoder half in `folder`, in `dtype`, eval and frozen. `name` is for messages. ValueError when
    tensors are missing or misshapen (where `transformers` would draw random ones), or when the model needs
    code of its own."""
    import transformers
    from transformers.utils import logging

    wanted = {"trust_remote_code": False, "local_files_only": True}
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **wanted)
    except (OSError, ValueError, KeyError):
        raise ValueError(
            f"{folder} has no config.json of a model that transformers {transformers.__version__} knows"
            " by itself (code that lies beside weights is not run)"
        ) from None
    kind = getattr(transformers, ENCODER_HALVES.get(config.model_type, "AutoModel"))
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # the decoder that is left out is no news
    logging.disable_progress_bar()
    try:
        model, report = kind.from_pretrained(
            folder, dtype=dtype, weights_only=True, output_loading_info=True, **wanted
        )
    except (OSError, RuntimeError, ValueError, SafetensorError, UnpicklingError) as error:
        raise ValueError(f"the weights of {name} in {folder} cannot be loaded: {first_line(error)}") from None
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
    absent = [k for k in report["missing_keys"] if "pooler." not in k]  # BERT's pooler is not used
    if unfit := sorted(str(k) for k in [*absent, *report["mismatched_keys"]]):
        raise ValueError(f"the weights of {name} do not fit its config.json: {', '.join(unfit[:4])}"[:400])
    if model.config.is_encoder_decoder and hasattr(model, "decoder"):
        model = model.get_encoder()
    return model.eval().requires_grad_(False)


def first_line(error: Exception) -> str:
    """What of an exception fits into one line."""
    return next(iter(str(error).splitlines()), type(error).__name__)
