"""imagen-rate as a person calls it, on a study that is there."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from imagen.programs import rate
from imagen.programs.model_card import model_card, read_evaluation
from imagen.rating.answers import read_answers
from imagen.rating.server.store import Store
from imagen.rating.study.study import Prompt, Study, opaque, read_study, write_study

from .conftest import Made, designed, invented
from .serving import Served
from .test_killed import free_port, started

Called = Callable[..., tuple[int, str, str]]


def test_from_invitations_to_answers(called: Called, made: Made, tmp_path: Path) -> None:
    made(4)
    code, out, err = called(rate.main, "invite", "study", "n=2", "url=https://rate.example.org/")
    assert (code, err) == (0, "")
    links = re.findall(r"r000\d,https://rate\.example\.org/i/([\w-]{43})\n", out)
    assert len(links) == 2
    assert called(rate.main, "invite", "study", "n=1", "out=links.csv", "port=9000")[0] == 0
    assert re.fullmatch(
        r"rater,link\nr0003,http://127\.0\.0\.1:9000/i/[\w-]{43}\n", (tmp_path / "links.csv").read_text()
    )
    assert (tmp_path / "links.csv").stat().st_mode & 0o077 == 0
    code, _, err = called(rate.main, "invite", "study", "n=1", "out=links.csv")
    assert code == 2
    assert err.startswith("error: out=links.csv: is there already")
    served = Served(tmp_path / "study")
    served.clock.at = time.time()
    rater = served.begun(links[0])
    for _ in range(4):
        rater.answer(rater.item())
    served.store.close()
    assert called(rate.main, "export", "study", "out=answers.jsonl")[1].endswith("8 answers of 1 raters\n")
    assert len(read_answers(tmp_path / "answers.jsonl")) == 8
    assert called(rate.main, "export", "study", "rater=r0001", "out=one.json")[0] == 0
    assert len(json.loads((tmp_path / "one.json").read_text())["answers"]) == 4
    assert called(rate.main, "revoke", "study", "rater=r0002")[0] == 0
    assert "4 answers and all else are erased" in called(rate.main, "erase", "study", "rater=r0001")[1]
    assert called(rate.main, "export", "study", "out=answers.jsonl")[1].endswith("0 answers of 0 raters\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["invite", "study"], "invite needs n=..."),
        (["invite", "study", "n=0"], "n=0: must be a whole number"),
        (["serve", "nowhere"], "nowhere/study.json: No such file"),
        (["serve", "study", "out=x"], "out=x: serve does not take it"),
        (["revoke", "study", "rater=r0009"], "rater=r0009: no such rater"),
        (["erase", "study", "rater=bob"], "rater=bob: give one such as r0001"),
        (
            ["export", "study", "out=x", "database=mysql://u:secret@h/d"],
            "database=h/d: cannot be used (give postgresql",
        ),
        (
            ["export", "study", "out=x", "database='postgresql+psycopg://127.0.0.1:1/d?password=a@secret'"],
            "database=postgresql+psycopg://127.0.0.1:1/d: cannot be used (an @ of",
        ),
        (
            ["export", "study", "out=x", "database='postgresql+psycopg://127.0.0.1:1/d?password=secret'"],
            "database=postgresql+psycopg://127.0.0.1:1/d",
        ),
        (
            ["export", "study", "out=x", "database='postgresql+psycopg://u:a@secret@127.0.0.1:1/d'"],
            "database=127.0.0.1:1/d: cannot be used (an @ of a password",
        ),
        (["invite", "study", "n=1", "out=study"], "out=study: is there already"),
        (["serve", "study", "host=192.0.2.1"], "port=8000: 192.0.2.1 cannot be listened on"),
    ],
)
def test_what_is_wrong_is_one_line(called: Called, made: Made, words: list[str], line: str) -> None:
    made(2)
    code, _, err = called(rate.main, *words)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"error: {line}"), err
    assert "secret" not in err


def test_a_damaged_database_is_one_line(called: Called, made: Made, tmp_path: Path) -> None:
    made(4)
    served = Served(tmp_path / "study")
    for _ in range(8):
        rater = served.begun()
        for _ in range(4):
            rater.answer(rater.item())
    served.store.close()
    content = bytearray((tmp_path / "study/answers.sqlite").read_bytes())
    content[8192:] = b"x" * (len(content) - 8192)
    (tmp_path / "study/answers.sqlite").write_bytes(content)
    code, out, err = called(rate.main, "results", "study")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: study")
    assert "cannot be used" in err


def test_another_studys_answers_are_refused(called: Called, made: Made, tmp_path: Path) -> None:
    made(4)
    assert called(rate.main, "invite", "study", "n=1")[0] == 0
    study = read_study(tmp_path / "study")
    (tmp_path / "other").mkdir()
    write_study(tmp_path / "other", replace(study, key="cd" * 16))
    shutil.copy(tmp_path / "study/answers.sqlite", tmp_path / "other")
    code, _, err = called(rate.main, "results", "other")
    assert code == 2
    assert "has the answers of another study" in err


def test_results(called: Called, made: Made, tmp_path: Path) -> None:
    made(6)
    code, _, err = called(rate.main, "results", "study")
    assert code == 2
    assert "none of which is part of a score" in err
    served = Served(tmp_path / "study")
    random = np.random.default_rng(0)
    for _ in range(6):
        rater = served.begun()
        for _ in range(4):
            rater.answer(rater.item(), random.choice(["left", "same", "right"]))
    served.store.close()
    code, out, err = called(rate.main, "results", "study", "out=found", "resamples=100")
    assert (code, err) == (0, "")
    assert "alpha" in out
    found = json.loads((tmp_path / "found/results.json").read_text())
    assert found["answers"] == 48
    kept = json.loads((tmp_path / "study/study.json").read_text())
    assert found["study"]["sha256"] == kept["sha256"]
    assert kept["key"] not in json.dumps(found)
    words = (tmp_path / "found/results.md").read_text()
    assert words.startswith(f"# {kept['design']['name']}\n")
    assert all(f"“{question['text']}”" in words for question in kept["design"]["questions"])
    assert "seed=0 resamples=100; " in words
    assert (tmp_path / "found/preferences.csv").read_text().startswith("question,a,b,category,")


def test_other_programs_load_none_of_it() -> None:
    words = "import sys, imagen.programs.build, imagen.programs.evaluate, imagen.programs.report, imagen.programs.rate\n"
    words += "print([m for m in ('fastapi', 'sqlalchemy', 'uvicorn', 'imagen.rating.server.store') if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_a_card_tells_what_raters_said(called: Called, evaluated: Any, tmp_path: Path) -> None:
    """Of which system is this very release, with intervals, and with what makes them doubtful; and nothing of damaged results."""
    rows = [(f"thing {n}", "", 0) for n in range(6)]
    for name, made in (("ours", "a" * 64), ("theirs", "b" * 64)):
        evaluated(tmp_path / name, rows, source={"kind": "release", "folder": "x", "sha256": made})
    design = designed(systems={"ours": "ours", "theirs": "theirs"}, show={"systems": 2, "pictures": 1})
    (tmp_path / "STUDY.yaml").write_text(json.dumps(design))
    assert called(rate.main, "new", "STUDY.yaml", "out=study")[0] == 0
    served = Served(tmp_path / "study")
    for _ in range(2):
        rater = served.begun()
        while "key" in (item := rater.item()):
            rater.answer(item, "left")
    served.store.close()
    assert called(rate.main, "results", "study", "out=found", "resamples=100")[0] == 0

    def card(digest: str) -> str:
        return model_card(
            "x", digest, [], {"class": "y", "key": {}}, {}, None, [read_evaluation(Path("found"))]
        )

    assert "of this release: ours. results.json has the sha256" in card("a" * 64)
    assert "**none of its systems is known to be this release**" in card("c" * 64)
    assert "| quality | ours rather than theirs, no difference counted half | 0.5 |" in card("a" * 64)
    assert "2 raters are too few" in card("a" * 64)
    found = json.loads((tmp_path / "found/results.json").read_text())
    for key in found["preferences"][0]["share"]:
        if key in ("value", "low", "high", "answers"):
            wrong = json.loads(json.dumps(found))
            wrong["preferences"][0]["share"][key] = "<b>"
            (tmp_path / "found/results.json").write_text(json.dumps(wrong))
            with pytest.raises(ValueError, match="not a rating study's"):
                read_evaluation(Path("found"))


@pytest.mark.server
def test_a_large_study_starts_soon(tmp_path: Path) -> None:
    """100,000 pictures: 6,250 prompts of 8 of two systems. Less than 5 s on 2 cores; here with a margin for a busy machine."""
    few = invented(1, show={"systems": 2, "pictures": 8})
    prompts = tuple(
        Prompt(f"a prompt of some words, number {n}", "", (), tuple(tuple(opaque(few.key, s, n, k) for k in range(8)) for s in range(2)))
        for n in range(6250)
    )  # fmt: skip
    write_study(tmp_path, Study(few.design, few.key, prompts, ()))
    Store(tmp_path).close()
    began = time.monotonic()
    server = started(tmp_path, port := free_port())
    took = time.monotonic() - began
    assert httpx.get(f"http://127.0.0.1:{port}/").headers.get("server") is None
    server.kill()
    server.wait()
    print(f"{took:.1f} s")
    assert took < 15
