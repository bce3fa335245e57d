"""Many comparisons at once: which hold when the chance of a false one is kept for all of them together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Corrected:
    """`p` of the comparison alone, `adjusted` for all of them, and whether it holds."""

    p: float
    adjusted: float
    holds: bool


def corrected(
    p_values: Mapping[str, float], method: Literal["holm", "fdr_bh"] = "holm", level: float = 0.05
) -> dict[str, Corrected]:
    """{name: p value} -> {name: corrected}. "holm" (S. Holm 1979): with a chance of `level` at most, any that holds is false,
    whatever their dependence; "fdr_bh" (Y. Benjamini and Y. Hochberg 1995): of those that hold a share of `level` is false
    on average, if they are independent or depend positively."""
    from statsmodels.stats.multitest import multipletests

    if not p_values:
        return {}
    holds, adjusted, *_ = multipletests(list(p_values.values()), level, method)
    assert adjusted is not None
    return {
        name: Corrected(float(p), float(more), bool(held))
        for (name, p), more, held in zip(p_values.items(), adjusted, holds)
    }
