"""Answers come back as they were written; a damaged line is told, with its file and number, and nothing is skipped."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from imagen.rating.answers import Answer, answer_of, read_answers, write_answers

ONE = Answer(
    rater="r0007", item="i3", prompt="ein Würfel | \"<b>\"\u2028\n", category="", question="alignment", kind="choice",
    value="left", shown=("ours", "theirs"), seconds=4.25, at=1.7e9, order=0,
)  # fmt: skip
SCALE = replace(ONE, question="realism", kind="scale", value=7.3, shown=("ours",))
BEST = replace(ONE, question="best", kind="best", value=2, shown=("a", "b", "a"))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    answers = [
        ONE, replace(ONE, repeat=1, order=1, value="same"), SCALE, BEST,
        replace(ONE, question="levels", kind="levels", value=50, shown=("ours",)),
        replace(SCALE, question="difficulty", shown=()), replace(ONE, item="c1", control="right"),
    ]  # fmt: skip
    write_answers(tmp_path / "answers.jsonl", answers)
    assert read_answers(tmp_path / "answers.jsonl") == answers
    assert len((tmp_path / "answers.jsonl").read_text().split("\n")) == len(answers) + 1


@pytest.mark.parametrize(
    ("base", "change", "told"),
    [
        (ONE, {"value": "middle"}, "left, same or right"),
        (ONE, {"value": ["left"]}, "left, same or right"),
        (ONE, {"shown": ["ours"]}, "1 systems do not make a choice"),
        (ONE, {"shown": "ours"}, "no list of systems"),
        (ONE, {"shown": ["ours", ""]}, "no list of systems"),
        (ONE, {"kind": "rank"}, "none of choice"),
        (ONE, {"kind": ["choice"]}, "none of choice"),
        (ONE, {"rater": ""}, "rater=''"),
        (ONE, {"prompt": "\ud800"}, "prompt="),
        (ONE, {"category": None}, "category=None"),
        (ONE, {"seconds": -1}, "seconds=-1"),
        (ONE, {"at": True}, "at=True"),
        (ONE, {"order": 1.5}, "order=1.5"),
        (ONE, {"repeat": -1}, "repeat=-1"),
        (ONE, {"control": 3}, "control=3"),
        (ONE, {"mood": "good"}, "has mood"),
        (SCALE, {"value": 10.5}, "from 0 to 10"),
        (SCALE, {"value": True}, "from 0 to 10"),
        (SCALE, {"value": 10**400}, "from 0 to 10"),
        (SCALE, {"value": "7"}, "from 0 to 10"),
        (SCALE, {"kind": "levels", "value": 51}, "0, 50 or 100"),
        (BEST, {"value": 3}, "among the 3 pictures"),
        (BEST, {"value": -1}, "among the 3 pictures"),
    ],
)
def test_what_is_no_answer_is_told(base: Answer, change: dict[str, Any], told: str) -> None:
    row = json.loads(json.dumps(asdict(base))) | change
    with pytest.raises(ValueError, match=told):
        answer_of(row)


def test_a_missing_field_is_named() -> None:
    row = asdict(ONE)
    del row["seconds"], row["control"]
    with pytest.raises(ValueError, match="has no seconds, control"):
        answer_of(row)


@pytest.mark.parametrize(
    "line",
    [
        b"{", b"[]", b"\xff\xfe", b"null", b"{}", b"[" * 100_000, b"1" * 5000, b"\x00",
        json.dumps(asdict(ONE)).encode()[:-20],
        json.dumps(asdict(SCALE)).replace("7.3", "NaN").encode(),
        json.dumps(asdict(SCALE)).replace("7.3", "1e999").encode(),
    ],
)  # fmt: skip
def test_a_damaged_line_is_one_clear_error(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "answers.jsonl"
    write_answers(file, [ONE])
    file.write_bytes(file.read_bytes() + b"\n" + line + b"\n")
    with pytest.raises(ValueError, match=r"answers\.jsonl: line 3: .*; export the answers again") as error:
        read_answers(file)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < len(str(file)) + 200


def test_an_answer_there_twice_is_told(tmp_path: Path) -> None:
    write_answers(tmp_path / "a", [ONE, SCALE, replace(ONE, value="right", order=5)])
    with pytest.raises(ValueError, match="line 3 is the answer of line 1 again"):
        read_answers(tmp_path / "a")


def test_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        read_answers(tmp_path / "none.jsonl")


def test_a_failed_writing_leaves_the_file(tmp_path: Path) -> None:
    write_answers(tmp_path / "a", [ONE])
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_answers(tmp_path / "a", [replace(ONE, seconds=float("nan"))])
    assert read_answers(tmp_path / "a") == [ONE]
