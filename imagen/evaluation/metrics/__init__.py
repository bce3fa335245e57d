"""Measures of pictures: features in, number out. Extractors are handed in; nothing is downloaded."""

from imagen.evaluation.metrics.bootstrap import (
    Difference,
    Interval,
    bootstrap,
    half_samples,
    paired_difference,
)
from imagen.evaluation.metrics.features import Extractor, Pixels, extract
from imagen.evaluation.metrics.frechet import (
    Extrapolated,
    Moments,
    frechet_distance,
    frechet_infinity,
    gaussian,
    moments,
)
from imagen.evaluation.metrics.kernel import cmmd, kernel_distance, kid
from imagen.evaluation.metrics.manifold import (
    DensityCoverage,
    PrecisionRecall,
    density_coverage,
    precision_recall,
)
from imagen.evaluation.metrics.sample_size import fewer
from imagen.evaluation.metrics.scores import (
    clip_score,
    cosine,
    directional_similarity,
    inception_score,
    prompt_wins,
)

__all__ = [
    "DensityCoverage",
    "Difference",
    "Extractor",
    "Extrapolated",
    "Interval",
    "Moments",
    "Pixels",
    "PrecisionRecall",
    "bootstrap",
    "clip_score",
    "cmmd",
    "cosine",
    "density_coverage",
    "directional_similarity",
    "extract",
    "fewer",
    "frechet_distance",
    "frechet_infinity",
    "gaussian",
    "half_samples",
    "inception_score",
    "kernel_distance",
    "kid",
    "moments",
    "paired_difference",
    "precision_recall",
    "prompt_wins",
]
