"""Tables for other programs have every number of results.json that a paper's tables have."""

import csv
import io

import pytest

from imagen.rating.statistics.results import results
from imagen.rating.statistics.sheets import sheets

from .test_results import CATEGORIES, study


def test_every_share_and_mean_is_a_row() -> None:
    found = results(study(), resamples=100)
    made = {name: list(csv.DictReader(io.StringIO(text))) for name, text in sheets(found).items()}
    assert set(made) == {"preferences.csv", "scores.csv"}
    rows = {(row["question"], row["category"], row["measure"]): row for row in made["preferences.csv"]}
    one = next(one for one in found["preferences"] if one["question"] == "alignment")
    assert {category for _, category, _ in rows} == {"", *CATEGORIES}
    row = rows["alignment", "", "share"]
    assert (row["a"], row["b"]) == (one["a"], one["b"])
    assert float(row["low"]) == one["share"]["low"]
    assert (float(row["p"]), row["p_holm"]) == (one["p"], "")
    assert float(rows["alignment", "Text", "share"]["p_holm"]) == one["categories"]["Text"]["adjusted"]
    assert rows["alignment", "", "wins"]["p"] == ""
    parts = [float(rows["alignment", "", measure]["value"]) for measure in ("wins", "same", "losses")]
    assert sum(parts) == pytest.approx(1)
    means = {row["system"]: float(row["value"]) for row in made["scores.csv"] if row["category"] == ""}
    assert means == {name: mean["value"] for name, mean in found["scores"]["faithful"]["means"].items()}


def test_nothing_makes_no_table() -> None:
    assert sheets({"preferences": [], "scores": {}}) == {}
