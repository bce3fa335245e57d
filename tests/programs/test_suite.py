"""imagen-suite as a person calls it: reports, files that are whole, and one clear line for what is wrong."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from imagen.evaluation.suites.suite import read_suite
from imagen.programs import suite as program

Called = Callable[..., tuple[int, str, str]]
ESCAPE = "\x1b]0;owned\x07"


@pytest.fixture
def suite(called: Called) -> Callable[..., str]:
    """suite(*words): what it says when all is well."""

    def run(*words: str) -> str:
        code, out, err = called(program.main, *words)
        assert (code, err) == (0, "")
        return out

    return run


def test_describe(suite: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "my prompts, 'all'.csv").write_text("prompt,category\na cat,Pets\na man's hat,Hats\n")
    (tmp_path / "said.tsv").write_text("path\tcaptions\n1.jpg\ta cat ||| a cat sits\n")
    told = suite("describe", "my prompts, 'all'.csv", "captions=said.tsv", "out=new/about.json")
    assert "2 prompts, 2 categories" in told
    assert "in 2 captions" in told
    found = json.loads((tmp_path / "new/about.json").read_text())
    assert found["count"] == 2
    assert found["people"]["people"] == 0.5
    suite("describe", "my prompts, 'all'.csv", "out=folder")
    assert json.loads((tmp_path / "folder/suite.json").read_text())["coverage"] is None


def test_describe_drawbench(suite: Callable[..., str], shared: Path) -> None:
    told = suite("describe", str(shared / "prompts/drawbench.csv"))
    assert told.startswith("DrawBench 1.0: 200 prompts, 11 categories\n")
    assert "word coverage   not measured: give captions=FILE" in told


def test_compose_extend_and_difficulty(suite: Callable[..., str], tmp_path: Path) -> None:
    suite("compose", "n=20", "seed=3", "out=one.jsonl", "name=my own")
    suite("compose", "n=20", "seed=3", "out=two.jsonl", "name=my own")
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    suite("compose", "world=open", "n=3", "out=open.jsonl", "categories=[Counting]")
    told = suite(
        "extend", "one.jsonl", "with=open.jsonl", "version=1.10", "note=numbers, of things", "out=next.jsonl"
    )
    assert "version 1.10, since 1.0: 3 added (numbers, of things)" in told
    after = read_suite(tmp_path / "next.jsonl")
    assert (after.card.version, len(after.prompts)) == ("1.10", 23)
    for number in range(2):
        (tmp_path / f"e{number}").mkdir()
        lines = [
            {"prompt": p.prompt, "scores": {"shapes.scene": float(i % 3 > number)}}
            for i, p in enumerate(after.prompts)
        ]
        (tmp_path / f"e{number}/per_prompt.jsonl").write_text("\n".join(map(json.dumps, lines)))
        (tmp_path / f"e{number}/result.json").write_text(json.dumps({"name": f"system {number}{ESCAPE}"}))
    told = suite("difficulty", "next.jsonl", "results=[e0,e1]", "out=hard.jsonl")
    assert "\x1b" not in told
    assert "difficulties of 23 of 23 prompts" in told
    hard = read_suite(tmp_path / "hard.jsonl")
    assert hard.card.version == "1.11"
    assert "2 systems, metric shapes.scene" in hard.card.difficulty
    assert all(prompt.difficulty is not None for prompt in hard.prompts)
    told = suite(
        "difficulty", "one.jsonl", "results=[e0,e1]", "anchors=hard.jsonl", "out=moved.jsonl", "version=3"
    )
    assert "20 prompts in both" in told
    moved = {p.prompt: p.difficulty or 0 for p in read_suite(tmp_path / "moved.jsonl").prompts}
    known = {p.prompt: p.difficulty or 0 for p in hard.prompts}
    assert abs(sum(moved[p] - known[p] for p in moved)) / 20 < 0.05
    assert "difficulty      known for 23" in suite("describe", "hard.jsonl")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["describe"], "describe needs path=...; see imagen-suite --help"),
        (["describe", "gone.csv"], "gone.csv: there is no such file"),
        (["describe", "."], ".: is a folder"),
        (["describe", "pipe"], "pipe: is no plain file"),
        (["describe", "escape.csv"], "holds the control character"),
        (["describe", "column.csv"], "column.csv: has no column prompt, only \\x1b"),
        (["describe", "a.csv", "near=0"], "near=0: must be a share of words"),
        (["describe", "a.csv", "seeed=1"], "seeed: no such setting"),
        (["describe", "a.csv", "with=b.csv"], "with=b.csv: describe does not take it"),
        (["describe", "a.csv", "captions=gone"], "gone: there is no such file"),
        (["explain", "a.csv"], "action=explain: must be one of describe, compose, extend, difficulty"),
        (["compose", "n=5"], "compose needs out=..."),
        (["compose", "out=x", "n=0"], "n=0: must be a whole number from 1 to 1,000,000"),
        (["compose", "out=x", "n=400", "categories=[Colors]"], "has 360 different prompts in Colors"),
        (["compose", "out=a.csv", "n=5"], "a.csv: is there already and holds something else"),
        (["extend", "a.csv", "with=b.csv", "version=0", "out=x"], "version=0 is not newer than 0"),
        (["extend", "a.csv", "with=a.csv", "version=1", "out=x"], "add: 'a cat' is there already"),
        (["extend", "a.csv", "with=b.csv", "version=1"], "extend needs out=..."),
        (["difficulty", "a.csv", "results=[e0]", "out=x"], "e0/per_prompt.jsonl: there is no such file"),
        (["difficulty", "a.csv", "results=[]", "out=x"], "results of 0 systems on 0 prompts"),
    ],
)
def test_what_is_wrong_is_one_line(called: Called, tmp_path: Path, words: list[str], told: str) -> None:
    (tmp_path / "a.csv").write_text("prompt,category\na cat,Pets\n")
    (tmp_path / "b.csv").write_text("prompt,category\na dog,Pets\n")
    (tmp_path / "escape.csv").write_text(f"prompt,category\na {ESCAPE} cat,Pets\n")
    (tmp_path / "column.csv").write_text(f"{ESCAPE},category\na cat,Pets\n")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.iterdir())
    code, out, err = called(program.main, *words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "\x1b" not in err
    assert told.replace("\\x1b", "") in err.replace("\ufffd", "")
    assert sorted(tmp_path.iterdir()) == before, "nothing half-written"


def test_describe_writes_over_descriptions_alone(called: Called, tmp_path: Path) -> None:
    file, out = tmp_path / "mine.json", tmp_path / "told.json"
    file.write_text('{"prompt": "my precious"}\n')
    before = file.read_bytes()
    code, _, err = called(program.main, "describe", str(file), f"out={file}")
    assert code == 2
    assert "no description of a suite" in err
    assert file.read_bytes() == before
    for _ in range(2):
        assert called(program.main, "describe", str(file), f"out={out}")[0] == 0
    assert json.loads(out.read_text())["near_duplicates"]
