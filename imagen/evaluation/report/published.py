"""The published FID-30K on COCO (arXiv 2205.11487, table 1), and whether one's own number may stand beside it."""

import importlib.resources
import json
import re
from typing import Any

from imagen.evaluation.outside import number
from imagen.evaluation.report.read import Evaluated, text

COUNT, RESOLUTION = 30_000, 256
WEIGHTS = "6726825d"  # how the sha256 of the Inception network's file of 2015-12-05 begins


def published() -> dict[str, Any]:
    """{"measure", "source", "rows": [{"name", "fid", "trained_on_coco", "note"}]}."""
    file = importlib.resources.files("imagen.evaluation.report") / "published.json"
    return json.loads(file.read_text(encoding="utf-8"))


def why_not(made: Evaluated) -> list[str]:
    """Why `made`'s number cannot stand beside the published ones; empty when it is FID-30K with Inception's weights by the
    protocol coco30k."""
    reasons = []
    if "fid" not in made.metrics or made.metrics["fid"].value is None:
        return ["it has no FID"]
    if (name := text(made.protocol.get("name"), 60)) != "coco30k":
        reasons.append(f"its protocol is {name}, and not coco30k")
    count, n = number(made.protocol.get("count")), made.metrics["fid"].n
    if count is not None and count != COUNT:
        reasons.append(f"its protocol is of {count:,.0f} pictures, and not of {COUNT:,}")
    asked = number(made.protocol.get("asked"))
    there = [value for value in (asked, n) if value is not None]
    if not there or min(there) < COUNT:
        reasons.append(
            f"it is of {min(there):,.0f} pictures, and not of {COUNT:,}"
            if there
            else "it does not say how many pictures it is of"
        )
    if (side := number(made.protocol.get("resolution"))) is not None and side != RESOLUTION:
        reasons.append(
            f"its pictures are compared at {side:g} x {side:g}, and not at {RESOLUTION} x {RESOLUTION}"
        )
    key = _extractor(made)
    if "inception" not in json.dumps(key).lower() or "no network" in str(key.get("kind")):
        reasons.append("its features are not said to be those of the Inception network")
    elif not (weights := key.get("weights") or key.get("sha256")):
        reasons.append("it does not say which weights its Inception network has")
    elif re.fullmatch("[0-9a-f]{64}", str(weights)) and not str(weights).startswith(WEIGHTS):
        reasons.append(f"its Inception network has other weights ({str(weights)[:8]}, and not {WEIGHTS})")
    elif (resize := key.get("resize")) and "tensorflow" not in str(resize).lower():
        reasons.append(f"its network's pictures are resized otherwise than in papers ({text(resize, 80)})")
    if made.fewer and not any("pictures" in reason for reason in reasons):
        reasons.append(f"it is {made.fewer}")
    return reasons


def _extractor(made: Evaluated) -> dict[str, Any]:
    for name in ("fid", "inception"):
        if isinstance(key := made.extractors.get(name), dict):
            return key
    return {}
