"""Measures of pictures: features in, number out. Extractors are handed in; nothing is downloaded."""

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

__all__ = [
    "DensityCoverage",
    "Extractor",
    "Extrapolated",
    "Moments",
    "Pixels",
    "PrecisionRecall",
    "cmmd",
    "density_coverage",
    "extract",
    "frechet_distance",
    "frechet_infinity",
    "gaussian",
    "kernel_distance",
    "kid",
    "moments",
    "precision_recall",
]
