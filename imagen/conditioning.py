"""What a network is told besides z and the noise level: text, and in super-resolution a low-resolution image.

B batch, L text tokens, D text width, R resolution.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from imagen.diffusion.randomness import Randomness
from imagen.diffusion.schedule import Schedule, alpha_sigma, expand


@dataclass(frozen=True)
class Cond:
    """Conditioning of a batch.

    `text_emb` (B, L, D); `text_mask` (B, L) bool, True where there is a token. `lowres` (B, 3, R, R), the
    noised low-resolution image already enlarged to the stage's resolution, and `lowres_logsnr` (B,), its
    noise level, both None for a base model. `context`: what a network made of the text (`Denoiser.read`),
    None until then; it does not depend on z or t, so a sampling run computes it once.
    """

    text_emb: Tensor
    text_mask: Tensor
    lowres: Tensor | None = None
    lowres_logsnr: Tensor | None = None
    context: Any = None

    def __len__(self) -> int:
        return len(self.text_emb)

    def unconditional(self) -> "Cond":
        """The same pictures with no text: the other half of classifier-free guidance (section 2.2)."""
        emb, mask = null_text(self.text_emb, self.text_mask)
        return replace(self, text_emb=emb, text_mask=mask, context=None)

    def joined(self, other: "Cond") -> "Cond":
        """Both batches as one of B + B', conditional first; neither may have been read by a network yet."""
        if self.context is not None or other.context is not None:
            raise ValueError("join conditioning before a network reads it, not after")
        return Cond(
            torch.cat([self.text_emb, other.text_emb]),
            torch.cat([self.text_mask, other.text_mask]),
            _joined(self.lowres, other.lowres),
            _joined(self.lowres_logsnr, other.lowres_logsnr),
        )


def _joined(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    assert (a is None) == (b is None), "one batch has a low-resolution image, the other has none"
    return None if a is None or b is None else torch.cat([a, b])


def null_text(text_emb: Tensor, text_mask: Tensor, drop: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The text of an unconditional prediction: one token of zeros (the paper zeroes the embeddings; what
    becomes of their length it does not say, and here it is hidden too).

    `drop` (B,) bool says which rows; all when None. Shapes as given: (B, L, D), (B, L).
    """
    if drop is None:
        drop = torch.ones(len(text_emb), dtype=torch.bool, device=text_emb.device)
    nothing = torch.zeros_like(text_mask)
    nothing[:, 0] = True
    return text_emb.masked_fill(drop[:, None, None], 0), torch.where(drop[:, None], nothing, text_mask)


def drop_text(
    text_emb: Tensor, text_mask: Tensor, probability: float, random: Randomness
) -> tuple[Tensor, Tensor]:
    """Text dropped from each picture with `probability` (the paper: 0.1): one network learns both halves."""
    return null_text(text_emb, text_mask, random.uniform() < probability)


def downsample(x: Tensor, resolution: int) -> Tensor:
    """(B, 3, R, R) -> (B, 3, resolution, resolution), antialiased bicubic, clipped to [-1, 1]: the picture
    that the stage below would have been trained on."""
    if x.shape[-1] == resolution:
        return x
    return F.interpolate(x, (resolution, resolution), mode="bicubic", antialias=True).clamp(-1, 1)


def upsample(lowres: Tensor, resolution: int) -> Tensor:
    """(B, 3, r, r) -> (B, 3, resolution, resolution), bilinear: what a super-resolution network sees."""
    return F.interpolate(lowres, (resolution, resolution), mode="bilinear")


def augment(lowres: Tensor, level: Tensor, schedule: Schedule, eps: Tensor) -> tuple[Tensor, Tensor]:
    """Noise-conditioning augmentation (section 2.5): Gaussian noise on the low-resolution picture.

    As in the forward process. `lowres` (B, 3, R, R); `level` (B,) in [0, 1], one for each image, 0 almost
    clean; `eps` like `lowres`. Returns the noised picture and its logsnr (B,), which the network is told.
    """
    logsnr = schedule(level)
    alpha, sigma = alpha_sigma(expand(logsnr, lowres))
    return alpha * lowres + sigma * eps, logsnr
