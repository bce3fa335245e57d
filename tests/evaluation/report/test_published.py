"""The published numbers, and what of one's own may stand beside them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagen.evaluation.report.numbers import escaped, published_part
from imagen.evaluation.report.published import published, why_not
from imagen.evaluation.report.read import Evaluated, read_evaluation

Made = Callable[..., Path]
PROTOCOL = {"name": "coco30k", "count": 30_000, "asked": 30_000, "resolution": 256}
KEY = {"kind": "inception-v3", "weights": "6726825d" + "0" * 56, "resize": "bilinear as in TensorFlow 1"}


def made(evaluated: Made, folder: Path, key: Any = KEY, n: int = 30_000, **protocol: Any) -> Evaluated:
    """An evaluation with an FID, which counts unless it is told otherwise."""
    metrics = {"fid": {"value": 9.5, "interval": [9.4, 9.6], "n": n, "note": ""}}
    return read_evaluation(
        evaluated(
            folder,
            [("x", "", 1)],
            metrics=metrics,
            extractors={"inception": key},
            protocol={**PROTOCOL, **protocol},
            pictures={"count": n},
        )
    )


def test_the_table_of_the_paper() -> None:
    rows = {row["name"]: (row["fid"], row["trained_on_coco"]) for row in published()["rows"]}
    assert rows == {
        "Imagen": (7.27, False),
        "DALL-E 2": (10.39, False),
        "GLIDE": (12.24, False),
        "LDM": (12.63, False),
        "DALL-E": (17.89, False),
        "Make-A-Scene": (7.55, True),
        "LAFITE": (8.12, True),
        "XMC-GAN": (9.33, True),
    }


def test_what_counts(evaluated: Made, tmp_path: Path) -> None:
    own = made(evaluated, tmp_path / "own")
    assert why_not(own) == []
    part = published_part([own])
    assert "9.5 comparable" in part
    assert "Not comparable" not in part
    assert 'class="own"' in part


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"name": "prompts"}, "its protocol is prompts, and not coco30k"),
        ({"asked": 1000}, "it is of 1,000 pictures, and not of 30,000"),
        ({"n": 29_000}, "it is of 29,000 pictures, and not of 30,000"),
        ({"count": 10_000}, "its protocol is of 10,000 pictures, and not of 30,000"),
        ({"resolution": 64}, "its pictures are compared at 64 x 64, and not at 256 x 256"),
        ({"key": {}}, "its features are not said to be those of the Inception network"),
        (
            {"key": {"kind": "pixels, no network"}},
            "its features are not said to be those of the Inception network",
        ),
        ({"key": {"kind": "inception"}}, "it does not say which weights its Inception network has"),
        (
            {"key": {**KEY, "resize": "bicubic"}},
            "its network's pictures are resized otherwise than in papers (bicubic)",
        ),
        (
            {"key": {**KEY, "weights": "a" * 64}},
            "its Inception network has other weights (aaaaaaaa, and not 6726825d)",
        ),
    ],
)
def test_what_does_not(evaluated: Made, tmp_path: Path, other: dict[str, Any], reason: str) -> None:
    own = made(evaluated, tmp_path / "own", **other)
    assert why_not(own) == [reason]
    part = published_part([own])
    assert "9.5 not comparable" in part
    assert f"<bdi>own</bdi>: <bdi>{escaped(reason)}." in part


def test_other_measures_are_no_fid(evaluated: Made, tmp_path: Path) -> None:
    own = read_evaluation(evaluated(tmp_path / "own", [("x", "", 1)], metrics={"pixels": {"value": 1.0}}))
    assert why_not(own) == ["it has no FID"]
    assert "None of these evaluations has an FID" in published_part([own])


def test_a_huge_fid_stays_on_the_axis(evaluated: Made, tmp_path: Path) -> None:
    folder = evaluated(
        tmp_path / "own", [("x", "", 1)], metrics={"fid": {"value": 1e300, "interval": [-1e300, 1e300]}}
    )
    part = published_part([read_evaluation(folder)])
    assert "beyond it" in part
    assert all(0 <= float(at) <= 100 for at in re.findall(r'(?:cx|x1|x2)="([^"%]*)%"', part))
