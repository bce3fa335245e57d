"""What every frozen text encoder is: captions in, token embeddings and a mask out.

B captions, L tokens of the longest of them, D text width.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

Key = dict[str, str | int]


class TextEncoder(Protocol):
    """A frozen language model (paper, section 2.1).

    Constructing one is cheap: weights are loaded by the first call or the first look at `key`, so a training
    run that reads cached embeddings never loads a T5-XXL. Hence two identities, both plain
    JSON:

    * `configured`: what the configuration alone says (encoder, layer, max_length, dim, cleaning). Cached embeddings are
      found, and refused, by this part.
    * `key`: `configured` and what only the files tell (weights, tokenizer). It is stored with the cache, and
      compared whenever an encoder writes to that cache, or when a reader gives the whole key.
    """

    @property
    def dim(self) -> int:
        """D."""
        ...

    @property
    def arguments(self) -> Mapping[str, str | int]:
        """The constructor's arguments, plain JSON, with which a release rebuilds the encoder."""
        ...

    @property
    def configured(self) -> Key: ...

    @property
    def key(self) -> Key: ...

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B captions -> embeddings (B, L, D) float32, zero where there is no token, and mask (B, L) bool,
        True where there is one; L is the length of the longest caption. ValueError when a caption is
        empty."""
        ...

    def to(self, device: str | torch.device) -> "TextEncoder":
        """The same encoder, computing and answering on `device`."""
        ...


def refuse_empty(captions: Sequence[str]) -> None:
    """ValueError that says which of the captions is empty or blank: an unconditional picture is asked for
    with guidance or text dropout, not with an empty caption, of which encoders make something arbitrary."""
    for index, caption in enumerate(captions):
        if not caption.strip():
            raise ValueError(
                f"caption {index} of {len(captions)} is empty: give it words, or leave the picture out"
            )


def pad(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """B embeddings (L_i, D), each of its true length -> (B, L, D), zeros behind, and mask (B, L) bool; L the
    largest L_i."""
    lengths = torch.tensor([len(row) for row in rows], device=rows[0].device)
    emb = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
    return emb, torch.arange(emb.shape[1], device=emb.device) < lengths[:, None]
