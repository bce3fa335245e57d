"""Averages of weights whose length is chosen after training: power-function profiles (Karras et al. 2024, "Analyzing and
Improving the Training Dynamics of Diffusion Models", section 3 and appendix C).

At step n the average is sum over k <= n of theta_k (k^(g+1) - (k-1)^(g+1)) / n^(g+1): older weights count less, by a power of
their age. Its length is its standard deviation in time, as a share of n (sigma_rel there): a profile of length 0.1 spans the last
tenth of training, roughly. A few kept averages of two lengths make one of any other by least squares.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

SHORTEST = 1e-6  # a step of a million; the exponent of far shorter ones is no number any more
LONGEST = 0.28  # of the profile that weighs all steps alike: 12 ** -0.5


class Profile(NamedTuple):
    """A power-function profile of exponent `gamma` at step `step`."""

    step: float
    gamma: float


def gamma_of(length: float) -> float:
    """The exponent of the profile of a length in [1e-06, 0.28]. ValueError for others."""
    if not SHORTEST <= length <= LONGEST:
        raise ValueError(
            f"{length:g} is no length of an average: give a share of training from {SHORTEST:g} to {LONGEST}"
        )
    least = length**-2
    roots = np.roots([1, 7, 16 - least, 12 - least])  # of length^2 (g + 2)^2 (g + 3) = g + 1
    return float(roots.real.max())


def decay_at(step: int, gamma: float) -> float:
    """What remains of the average in update `step` (from 1): the first one forgets the initial weights."""
    return (1 - 1 / step) ** (gamma + 1)


def similarity(a: Profile, b: Profile) -> float:
    """The integral over time of the product of two profiles."""
    early, late = (a, b) if a.step <= b.step else (b, a)
    ratio = (early.step / late.step) ** late.gamma
    return (a.gamma + 1) * (b.gamma + 1) * ratio / ((a.gamma + b.gamma + 1) * late.step)


def mixture(kept: Sequence[Profile], wanted: Profile) -> np.ndarray:
    """Coefficients (n,) of the kept averages whose sum comes closest to the wanted one. They sum to 1, nearly."""
    products = np.array([[similarity(a, b) for b in kept] for a in kept])
    target = np.array([similarity(a, wanted) for a in kept])
    return np.linalg.lstsq(products, target, rcond=None)[0]


def missed(kept: Sequence[Profile], wanted: Profile) -> float:
    """How far the best mixture is from the wanted profile: 0 exact, 1 has nothing in common with it."""
    coefficients = mixture(kept, wanted)
    products = np.array([[similarity(a, b) for b in kept] for a in kept])
    target = np.array([similarity(a, wanted) for a in kept])
    own = similarity(wanted, wanted)
    rest = own - 2 * coefficients @ target + coefficients @ products @ coefficients
    return math.sqrt(max(float(rest), 0.0) / own)
