"""Scores from logits and from CLIP's features: Inception Score, CLIP score, and whether pictures follow their prompts.

n pictures, C classes, D width of CLIP's features, which need not have length 1. In float64.
"""

import warnings

import torch
from torch import Tensor
from torchmetrics.image.inception import InceptionScore

from imagen.evaluation.metrics.features import check_features
from imagen.evaluation.metrics.kernel import Identity

BLOCK = 2048


def inception_score(logits: Tensor, splits: int = 10, seed: int = 0) -> tuple[float, float]:
    """Inception Score (Salimans et al. 2016, https://arxiv.org/abs/1606.03498), by torchmetrics: logits (n, C) -> mean
    and standard deviation over `splits` parts, in an order drawn from `seed`, of exp(mean KL(p(y|x) || p(y))).

    1 to C; the standard deviation of one part is 0. The logits are those of `Inception.logits` (torch-fidelity's
    "logits_unbiased"). ValueError for fewer than 2 pictures a part.
    """
    if splits < 1:
        raise ValueError(f"splits={splits}: give at least 1")
    logits = check_features(logits, "logits", 2 * splits)
    with warnings.catch_warnings():  # that it keeps the logits, which are here already
        warnings.simplefilter("ignore")
        metric = InceptionScore(Identity(logits.shape[1]), splits=splits)
    metric.set_dtype(torch.float64).to(logits.device)
    # torchmetrics cuts with chunk(), which gives fewer parts than asked for when n is no multiple
    if (parts := len(torch.empty(len(logits)).chunk(splits))) != splits:
        raise ValueError(f"splits={splits}: {len(logits)} pictures fall into {parts} parts; give that many")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the deviation of one part
        torch.manual_seed(seed)  # torchmetrics draws from the global generator
        metric.update(logits)
        mean, deviation = metric.compute()
    return float(mean), float(deviation) if splits > 1 else 0.0


def cosine(images: Tensor, texts: Tensor) -> Tensor:
    """(n, D), (n, D) -> (n,) float64 in [-1, 1]: of each picture and its own prompt."""
    images, texts = _paired(images, texts, "images", "texts")
    return (images * texts).sum(1).clamp(-1, 1)


def clip_score(images: Tensor, texts: Tensor) -> Tensor:
    """CLIP score (Hessel et al. 2021, https://arxiv.org/abs/2104.08718) of each picture and its own prompt: 100
    max(cosine, 0), (n,), as torchmetrics and most tables have it; the paper's own factor is 2.5, Imagen's figures show
    the plain cosine. Its mean is the score of a system."""
    return 100 * cosine(images, texts).clamp(min=0)


def prompt_wins(images: Tensor, texts: Tensor, others: Tensor | None = None) -> Tensor:
    """How often a picture's own prompt scores above another: (n,) in [0, 1], a tie counting half; 0.5 is chance.

    `others` None: against every other prompt of the set that differs from its own (prompts with the same features are
    the same). `others` (n, D): against one each, such as a contradicting prompt ("left" for "right", another colour).
    Its mean is the share of pictures that follow their prompt; unlike the CLIP score, it means the same for any CLIP.
    """
    images, texts = _paired(images, texts, "images", "texts")
    own = (images * texts).sum(1)
    if others is not None:
        other = _paired(others, texts, "others", "texts")[0]
        return _won(own, (images * other).sum(1))
    found = []
    _, same = texts.unique(dim=0, return_inverse=True)
    for start, part in zip(range(0, len(images), BLOCK), images.split(BLOCK)):
        rows = slice(start, start + len(part))
        differ = same[rows, None] != same
        if not differ.any(1).all():
            raise ValueError("all prompts are the same; there is no other to compare with")
        won = _won(own[rows, None], part @ texts.T)
        found.append((won * differ).sum(1) / differ.sum(1))
    return torch.cat(found)


def directional_similarity(before: Tensor, after: Tensor, text_before: Tensor, text_after: Tensor) -> Tensor:
    """CLIP directional similarity (Gal et al. 2021, https://arxiv.org/abs/2108.00946): the cosine of how the picture
    moved with how the prompt moved, (n,) in [-1, 1]; four times (n, D). For pictures of the same seed, one word
    changed. Where picture or prompt did not move at all it is 0."""
    before, after = _paired(before, after, "before", "after")
    text_before, text_after = _paired(text_before, text_after, "text_before", "text_after")
    if before.shape != text_before.shape:
        raise ValueError(f"pictures {tuple(before.shape)} and prompts {tuple(text_before.shape)} do not fit")
    return torch.cosine_similarity(after - before, text_after - text_before, dim=1, eps=1e-12)


def _won(own: Tensor, other: Tensor) -> Tensor:
    return (own > other).double() + (own == other).double() / 2


def _paired(a: Tensor, b: Tensor, first: str, second: str) -> tuple[Tensor, Tensor]:
    """Both (n, D), in float64 and of length 1."""
    found = []
    for name, features in ((first, a), (second, b)):
        if not isinstance(features, Tensor) or features.ndim != 2 or not len(features):
            shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(f"{name}: features must be (n, D), found {shape}")
        lengths = features.double().norm(dim=1, keepdim=True)
        if not (lengths > 0).all() or not lengths.isfinite().all():
            raise ValueError(f"{name}: features that are NaN, infinite or all 0; extract them again")
        found.append(features.double() / lengths)
    if a.shape != b.shape:
        raise ValueError(f"{first} {tuple(a.shape)} and {second} {tuple(b.shape)} do not fit; give one each")
    return found[0], found[1].to(found[0].device)
