"""What the page of a sweep says of its runs' settings."""

from typing import Any

from imagen.evaluation.dashboard.panels import settings_that_differ
from imagen.evaluation.dashboard.runs import Run


def run(**settings: Any) -> Run:
    told = {key.replace("__", "."): value for key, value in settings.items()}
    return Run("run", told, {}, {}, None, None, [], {}, 0.0)


def test_a_setting_that_repeats_another_is_told_once() -> None:
    runs = [
        run(stage__seed=seed, seed=seed, stage__width=width, data__width=8, same=1)
        for seed, width in ((0, 8), (1, 8), (0, 16))
    ]
    assert list(settings_that_differ(runs)) == ["seed", "stage.width"]
    assert settings_that_differ(runs)["stage.width"] == [8, 8, 16]
