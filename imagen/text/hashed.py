"""The baseline without a language model: a fixed random vector for each word, by its hash."""

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from imagen.text.cleaning import check_cleaning, cleaned
from imagen.text.encoder import Key, pad, refuse_empty


class HashedWords:
    """One token a word or punctuation mark: (vector of the word + vector of its place) / sqrt(2).

    Vectors are uniform with mean 0 and variance 1, read straight from SHAKE-256 of the lower-case word, so
    they are equal on every machine and with every version of everything. Without the place a caption would be
    a bag of words, and "a red circle left of a blue star" would mean its opposite as well. Words beyond
    `max_length` are cut off.
    """

    def __init__(self, dim: int = 384, max_length: int = 128, cleaning: str = "none"):
        for name, value in {"dim": dim, "max_length": max_length}.items():
            if not value >= 1:
                raise ValueError(f"text.{name}={value}: give at least 1")
        self.dim, self.max_length, self.cleaning = dim, max_length, check_cleaning(cleaning)
        self.device = torch.device("cpu")

    @property
    def arguments(self) -> dict[str, str | int]:
        """The constructor's arguments, with which a release rebuilds the encoder."""
        return {"dim": self.dim, "max_length": self.max_length, "cleaning": self.cleaning}

    @property
    def configured(self) -> Key:
        """The whole identity: there are no weights."""
        return {"encoder": "hashed_words", **self.arguments}

    key = configured

    def to(self, device: str | torch.device) -> "HashedWords":
        """The same encoder, answering on `device`."""
        self.device = torch.device(device)
        return self

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B captions -> (B, L, D) float32, (B, L) bool; see `TextEncoder`."""
        refuse_empty(captions)
        emb, mask = pad([torch.from_numpy(self._embed(caption)) for caption in captions])
        return emb.to(self.device), mask.to(self.device)

    def _embed(self, caption: str) -> np.ndarray:
        words = re.findall(r"\w+|[^\w\s]", cleaned(caption, self.cleaning).lower())[: self.max_length]
        tokens = [hashed(f"word {w}", self.dim) + hashed(f"place {i}", self.dim) for i, w in enumerate(words)]
        return np.stack(tokens) * np.float32(0.5**0.5)


@lru_cache(maxsize=100_000)
def hashed(text: str, dim: int) -> np.ndarray:
    """`text` -> (dim,) float32, uniform in [-sqrt(3), sqrt(3)]: variance 1."""
    raw = hashlib.shake_256(text.encode()).digest(2 * dim)
    unit = (np.frombuffer(raw, dtype="<u2").astype(np.float64) + 0.5) / 2**15 - 1
    return (unit * 3**0.5).astype(np.float32)
