"""What is read of the folder of an evaluation, also of a hostile one."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagen.evaluation.report.read import METRICS, Metric, expanded, read_evaluation

Made = Callable[..., Path]
ROWS = [("a red circle", "Colors", 1), ("two stars", "Counting", 2)]


def test_what_is_there(evaluated: Made, tmp_path: Path) -> None:
    found = read_evaluation(evaluated(tmp_path / "a", ROWS))
    assert found.problems == []
    assert (found.name, found.fewer, found.cell, found.sweep) == ("a", "", {}, None)
    assert found.metrics["fid"] == Metric(31.5, 30.0, 33.0, 2, "")
    assert found.by_category["Counting"]["clip"].n == 1
    assert found.settings["sampling.base.guidance"] == "2.0"
    assert [row[:4] for row in found.rows] == [
        ("a red circle", "Colors", 1, "00000000"),
        ("two stars", "Counting", 2, "00000001"),
    ]
    assert found.rows[1].scores == {"clip": 0.1, "drift.sr": 0.5}


@pytest.mark.parametrize(
    ("asked", "there", "fewer"),
    [
        (30_000, 30_000, ""),
        (1000, 1000, "of 1,000 pictures, and not of the protocol's 30,000"),
        (30_000, 29_999, "of 29,999 pictures, and not of the protocol's 30,000"),
        (None, None, ""),
        ("many", 10**400, ""),
    ],
)
def test_fewer_pictures_than_the_protocol_asks(
    evaluated: Made, tmp_path: Path, asked: Any, there: Any, fewer: str
) -> None:
    protocol, pictures = {"name": "coco30k", "count": 30_000, "asked": asked}, {"count": there}
    folder = evaluated(tmp_path / "a", ROWS, protocol=protocol, pictures=pictures)
    assert read_evaluation(folder).fewer == fewer


def test_numbers_that_are_none(evaluated: Made, tmp_path: Path) -> None:
    """Every number is finite or absent, and what is absent is told."""
    metrics = {
        "nan": {"value": float("nan"), "interval": [1, 2]},
        "huge": {"value": 10**400, "n": 10**400},
        "words": {"value": "7", "interval": "wide"},
        "true": {"value": True},
        "bare": 3,
        "turned": {"value": 1, "interval": [2, 1]},
        "half": {"value": 1, "interval": [None, 1], "n": 2.0, "note": ["x"]},
        "none": None,
    }
    folder = evaluated(tmp_path / "a", ROWS, metrics=metrics)
    found = read_evaluation(folder)
    assert {name for name, metric in found.metrics.items() if metric.value is not None} == {
        "bare",
        "turned",
        "half",
    }
    assert found.metrics["turned"].low is None
    assert found.metrics["half"] == Metric(1.0, None, None, 2, "['x']")
    assert found.problems == ["result.json: nan, huge, words, true, none: no finite number"]


def test_more_metrics_than_anybody_reads(evaluated: Made, tmp_path: Path) -> None:
    folder = evaluated(tmp_path / "a", ROWS)
    for count in (20_000, 500_000):
        text = ",".join(f'"m{i}":{{"value":{i}}}' for i in range(count))
        (folder / "result.json").write_text(f'{{"format":1,"metrics":{{{text}}}}}')
        if count > 100_000:
            with pytest.raises(
                ValueError, match=r"result\.json: [0-9,]+ bytes, more than such a file has; give"
            ):
                read_evaluation(folder)
        else:
            found = read_evaluation(folder)
            assert len(found.metrics) == METRICS
            assert found.problems == [f"result.json: of 20,000 metrics the first {METRICS} are shown"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "result.json is damaged ("),
        ("[]", "result.json is damaged (no object, but list)"),
        ("[" * 100_000, "result.json is damaged ("),
        ('{"format": 1', "result.json is damaged ("),
        ("{}", "result.json: format None, and this reads 1"),
        ('{"format": true}', "result.json: format True, and this reads 1"),
        ('{"format": "\x1b[31m"}', "result.json is damaged ("),
        ('{"format": 1, "metrics": [1]}', "result.json is damaged (metrics: no object, but list)"),
        ('{"format": 1, "cell": "x"}', "result.json is damaged (cell: no object, but str)"),
        ('{"format": 1, "protocol": 7}', "result.json is damaged (protocol: no object, but int)"),
        ('{"format": ' + "1" * 5000 + "}", "result.json is damaged ("),
    ],
)
def test_a_damaged_result_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(ValueError, match="give the folder that imagen-evaluate wrote") as told:
        read_evaluation(tmp_path)
    assert line in str(told.value)
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 500


def test_what_is_no_file_of_the_folder(evaluated: Made, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        ValueError, match=r"empty: no result\.json in it; give the folder that imagen-evaluate"
    ):
        read_evaluation(tmp_path / "empty")
    for name, make in {
        "pipe": os.mkfifo,
        "out": lambda path: path.symlink_to(evaluated(tmp_path / "else", ROWS) / "result.json"),
    }.items():
        (tmp_path / name).mkdir()
        make(tmp_path / name / "result.json")
        with pytest.raises(ValueError, match=f"{name}: result.json: (not a file|a link that leads out)"):
            read_evaluation(tmp_path / name)


def test_damaged_lines_are_told(evaluated: Made, tmp_path: Path) -> None:
    folder = evaluated(tmp_path / "a", ROWS)
    good = {"prompt": "x", "key": "00000009", "seed": 10**30, "scores": {"clip": float("inf"), "s": "1"}}
    lines = [
        "[]",
        "{",
        '{"prompt": 1, "key": "2"}',
        '{"prompt": "x", "key": "../../etc/passwd"}',
        "[" * 100_000,
    ]
    lines += [json.dumps({**good, "scores": [1]}), "x" * 2_000_000, json.dumps(good), json.dumps(good)]
    with (folder / "per_prompt.jsonl").open("a") as file:
        file.write("\n".join(lines) + "\n")
    found = read_evaluation(folder)
    assert len(found.rows) == 3
    assert found.rows[2].seed is None
    assert found.rows[2].scores == {"clip": None, "s": None}
    assert found.problems == ["per_prompt.jsonl: 8 lines damaged and left out"]
    (folder / "per_prompt.jsonl").unlink()
    (folder / "per_prompt.jsonl").symlink_to("/etc/passwd")
    assert read_evaluation(folder).problems == ["per_prompt.jsonl: a link that leads out of the folder"]


def test_the_cells_of_a_sweep(evaluated: Made, tmp_path: Path) -> None:
    """They are found by the sweep's folder, and none outside of it is."""
    sweep = tmp_path / "sweep"
    one = evaluated(
        sweep / "cells/one",
        ROWS,
        cell={"guidance": 2, "threshold": "dynamic", "steps": [4, 8], "rest": {"a": 1}},
    )
    evaluated(tmp_path / "outside", ROWS)
    (sweep / "out").symlink_to(tmp_path / "outside")
    names: list[Any] = [
        "cells/one",
        "../outside",
        str(tmp_path / "outside"),
        "out",
        ".",
        "gone",
        3,
        None,
        "\0",
    ]
    (sweep / "fronts.json").write_text(
        json.dumps({"format": 1, "cells": [{"folder": n} for n in names] + [7]})
    )
    found, problems = expanded(sweep)
    assert found == [one]
    assert len(problems) == 9
    assert problems[0] == "sweep: fronts.json: '../outside' is no folder in it"
    read = read_evaluation(one)
    assert read.cell == {"guidance": 2.0, "threshold": "dynamic", "steps": "[4, 8]"}
    assert read.sweep == sweep
    assert expanded(one) == ([one], [])
    with pytest.raises(ValueError, match="gone: no such folder"):
        expanded(tmp_path / "gone")
