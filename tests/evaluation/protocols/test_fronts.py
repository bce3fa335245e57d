"""The figure of a sweep: which measures it is of, and which cells a line joins."""

from pathlib import Path
from typing import Any

from imagen.evaluation.protocols.fronts import axes_of, draw_fronts, lines_of


def cell(guidance: Any, threshold: str, **metrics: float) -> dict[str, Any]:
    told = {name.replace("__", "."): {"value": v, "interval": [v - 1, v + 2]} for name, v in metrics.items()}
    return {"cell": {"guidance": guidance, "threshold": threshold}, "metrics": told}


CELLS = [cell(w, t, pixels=w, shapes__scene=w / 10, kid=1.0) for t in ("none", "dynamic") for w in (4, 1, 2)]


def test_a_line_joins_cells_that_differ_in_guidance_alone() -> None:
    lines = lines_of(CELLS)
    assert list(lines) == ["threshold none", "threshold dynamic"]
    assert [c["cell"]["guidance"] for c in lines["threshold none"]] == [1, 2, 4]
    assert [
        c["cell"]["guidance"]
        for c in lines_of([cell([3, 1], "none"), cell([2, 9], "none")])["threshold none"]
    ] == [
        [2, 9],
        [3, 1],
    ]


def test_the_axes_are_measures_that_all_cells_have() -> None:
    assert axes_of(CELLS) == ("kid", "shapes.scene")
    assert axes_of([*CELLS, cell(1, "none", pixels=1, shapes__scene=1)]) == ("pixels", "shapes.scene")
    assert axes_of([*CELLS, cell(1, "none", pixels=1)]) is None
    assert axes_of([]) is None


def test_the_figure_is_written_or_not_at_all(tmp_path: Path) -> None:
    assert draw_fronts(CELLS, [tmp_path / "a.png", tmp_path / "a.svg"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "a.svg"]
    assert not draw_fronts([cell(1, "none", pixels=1)], [tmp_path / "b.png"])
    assert not (tmp_path / "b.png").exists()
