"""Numbers from fewer pictures than the protocol's say so, with the bias that this has."""

PROTOCOL = {
    "fid": 30_000,
    "fd_dinov2": 50_000,
    "kid": 50_000,
    "cmmd": 30_000,
    "inception_score": 50_000,
    "precision": 50_000,
    "recall": 50_000,
    "density": 10_000,
    "coverage": 10_000,
    "clip_score": 30_000,
}
"""Pictures that the metric's papers use: Imagen's zero-shot FID and CLIP score on COCO (30k), Stein et al. (FD-DINOv2,
50k), Jayasumana et al. (CMMD, 30k), Salimans et al. (Inception Score, 50k), Kynkaanniemi et al. (50k), Naeem et al.
(10k)."""

BIAS = {
    "fid": "biased upward by about a constant / n: compare at equal n (from 60 pictures on it is extrapolated)",
    "fd_dinov2": "biased upward by about a constant / n: compare at equal n (from 60 pictures on it is extrapolated)",
    "kid": "unbiased, but noisier: see the interval",
    "cmmd": "biased upward by less than scale (1000) / n for each set: compare at equal n",
    "inception_score": "biased downward, more so the fewer pictures a split has: compare at equal n",
    "precision": "depends on n, k and the size of the real set: compare at equal sizes",
    "recall": "depends on n, k and the size of the real set: compare at equal sizes",
    "density": "unbiased in the made pictures, but depends on k and the size of the real set",
    "coverage": "biased downward with fewer made than real pictures: compare at equal sizes",
    "clip_score": "unbiased, but noisier: see the interval",
}


def fewer(metric: str, count: int, asked: int | None = None) -> str | None:
    """None when `count` pictures are what the protocol asks for (`asked`, else `PROTOCOL`), else one line that says how
    many there are and the metric's known bias. A metric that is not in `BIAS` has a mean's noise only."""
    wanted = asked if asked is not None else PROTOCOL.get(metric)
    if wanted is None or count >= wanted:
        return None
    bias = BIAS.get(metric, "a mean over pictures: unbiased, but noisier")
    return f"{count} pictures, not the protocol's {wanted}; {bias}"
