"""What may not be asked for or shown: a filter of prompts and pictures, off unless one is configured, and never fetched.

    safety=words       a list of words of one's own           (imagen.safety.words)
    safety=classifier  a local folder of a picture classifier (imagen.safety.classifier)

A class of one's own is `+safety._target_=PACKAGE.CLASS` with IMAGEN_TRUSTED_PACKAGES=PACKAGE."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

Reasons = list[str | None]
"""Of each asked about, why it is refused; None: it is not."""


class Safety(Protocol):
    """`identity`: plain JSON that says which filter this is, without paths: pictures that another one let through do not share
    a folder with those of this one."""

    identity: dict[str, Any]

    def prompts(self, prompts: list[str]) -> Reasons:
        """Before anything is drawn."""
        ...

    def pictures(self, pictures: np.ndarray) -> Reasons:
        """(B, R, R, 3) uint8, before anything is written."""
        ...


def checked(reasons: Sequence[str | None], count: int, what: str) -> Reasons:
    """An answer for each of `count`, or ValueError: a filter that says too little must not let the rest through."""
    if len(reasons) != count or any(not (r is None or (isinstance(r, str) and r)) for r in reasons):
        raise ValueError(
            f"safety: gave {len(reasons)} answers of {what} for {count}; each must be a reason, or None to let it through"
        )
    return list(reasons)
