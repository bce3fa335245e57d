"""A text encoder that reads each caption once for as long as it is among the last so many."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from imagen.text.encoder import TextEncoder, pad


class Remembered:
    """`encoder`, with the token embeddings of the last `most` captions kept on the host: samplings of the same prompts with other
    settings share them. Whatever else it is asked for, `encoder` answers."""

    def __init__(self, encoder: TextEncoder, most: int = 4096) -> None:
        self._encoder, self._most = encoder, most
        self._known: OrderedDict[str, Tensor] = OrderedDict()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def to(self, device: str | torch.device) -> "Remembered":
        """See `TextEncoder`."""
        self._encoder = self._encoder.to(device)
        return self

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """See `TextEncoder`. Each new caption is read by itself, so that its embedding does not depend on its neighbours."""
        found = []
        for caption in captions:
            if caption not in self._known:
                emb, mask = self._encoder([caption])
                self.device = emb.device
                self._known[caption] = emb[0, mask[0]].cpu()
            self._known.move_to_end(caption)
            found.append(self._known[caption].to(self.device))
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return pad(found)
