"""A session: answers that count once, tabs, undo, breaks, what is exported and erased."""

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagen.rating.answers import read_answers, write_answers
from imagen.rating.server.exporting import answers_of, kept_of
from imagen.rating.server.store import hashed
from imagen.rating.study.making import drawn_up, make
from imagen.rating.study.outlook import outlook
from imagen.rating.study.reading import protocols, read_design

from .conftest import CHOICES, Made, Systems
from .serving import Served, hidden

Begun = Callable[..., Served]


@pytest.fixture
def begun(made: Made, tmp_path: Path) -> Iterator[Begun]:
    """begun(**study): the study, served."""
    served = []

    def run(**given: object) -> Served:
        made(**given)  # pyright: ignore[reportArgumentType]
        served.append(Served(tmp_path / "study"))
        return served[-1]

    yield run
    for one in served:
        one.store.close()


def test_a_whole_session(begun: Begun, tmp_path: Path) -> None:
    served = begun(session={"items": 4, "repeats": 1, "controls": 1})
    rater = served.begun()
    for place in range(6):
        item = rater.item()
        assert (item["order"], item["of"]) == (place, 6)
        served.clock.at += 5
        assert rater.answer(item, seconds=3.5 if place else 99).json()["outcome"] == "kept"
    assert rater.item() == {"order": 6, "of": 6}
    assert rater.browser.get("/rate").text.count("Thank you")
    answers = answers_of(served.store)
    assert len([a for a in answers if a.control is None]) == 10
    assert len([a for a in answers if a.control is not None]) == 1, (
        "of a control item what has a right answer"
    )
    assert Counter(a.repeat for a in answers if a.control is None) == {0: 8, 1: 2}
    assert {a.seconds for a in answers if a.order} == {3.5}
    assert {a.seconds for a in answers if not a.order} == {5.0}, "no more than passed"
    assert all(sorted(a.shown) == ["alpha", "beta"] for a in answers if a.control is None)
    write_answers(tmp_path / "answers.jsonl", answers)
    assert read_answers(tmp_path / "answers.jsonl") == answers


def test_the_same_answer_counts_once(begun: Begun) -> None:
    rater = (served := begun()).begun()
    first = rater.item()
    assert [rater.answer(first).json()["outcome"] for _ in range(3)] == ["kept", "again", "again"]
    assert rater.answer(first, "right").json()["outcome"] == "again"
    assert [row["values"]["quality"] for row in served.store.answers()] == ["left"]
    second = rater.item()
    stale = rater.answer({**second, "order": 0, "key": "another-key"})
    assert (stale.status_code, stale.json()["outcome"]) == (409, "stale")
    assert rater.answer({**second, "order": 2}).status_code == 409
    assert rater.answer({**second, "order": 9}).status_code == 422
    assert len(served.store.answers()) == 1


def test_two_tabs(begun: Begun) -> None:
    """Of a session that is open twice each entry is answered once, and the later tab is shown where the session is."""
    rater = (served := begun()).begun()
    one, two = (rater.browser.get("/rate").text for _ in range(2))

    def form(page: str, value: str) -> dict[str, str]:
        return {name: hidden(page, name) for name in ("csrf", "order", "key")} | {
            "quality": value,
            "alignment": value,
            "seconds": "1",
        }

    assert rater.browser.post("/answer", data=form(one, "left")).status_code == 303
    refused = rater.browser.post("/answer", data=form(two, "right"))
    assert refused.status_code == 409
    assert hidden(refused.text, "order") == "1"
    assert "answered already" in refused.text
    assert rater.browser.post("/answer", data=form(refused.text, "same")).status_code == 303
    assert [(row["entry"], row["values"]["quality"]) for row in served.store.answers()] == [
        (0, "left"),
        (1, "same"),
    ]


def test_undo(begun: Begun) -> None:
    rater = (served := begun()).begun()
    first = rater.item()
    assert rater.undo(first).status_code == 409, "there is nothing to undo"
    rater.answer(first, "left")
    second = rater.item()
    assert rater.undo(second).status_code == 303
    assert rater.undo(second).status_code == 409, "a double click takes back one"
    again = rater.item()
    assert (again["order"], again["prompt"]) == (0, first["prompt"])
    assert rater.answer(first).status_code == 409, "what was undone does not come back by being sent again"
    assert rater.answer(again, "right").json()["outcome"] == "kept"
    assert [row["values"]["quality"] for row in served.store.answers()] == ["right"]
    assert len(served.store.answers(undone=True)) == 2
    for _ in range(3):
        rater.answer(rater.item())
    assert rater.undo({**first, "order": 4}).status_code == 303, "from the last page too"
    assert rater.item()["order"] == 3


def test_a_break(begun: Begun) -> None:
    rater = begun(session={"items": 4, "break_every": 2}).begun()
    for _ in range(2):
        assert "Time for a break" not in rater.browser.get("/rate").text
        rater.answer(rater.item())
    page = rater.browser.get("/rate").text
    assert "Time for a break" in page
    data = {"csrf": hidden(page, "csrf"), "order": hidden(page, "order")}
    assert rater.browser.post("/rest", data=data).status_code == 303
    assert "Time for a break" not in rater.browser.get("/rate").text


def test_raters_go_through_the_plan(begun: Begun) -> None:
    served = begun(prompts=8, session={"items": 4})
    seen: Counter[str] = Counter()
    for _ in range(4):
        rater = served.begun()
        for _ in range(4):
            item = rater.item()
            seen[item["prompt"]] += 1
            rater.answer(item)
    assert set(seen.values()) == {2}
    shown = Counter((a.prompt, a.shown) for a in answers_of(served.store) if a.question == "quality")
    assert set(shown.values()) == {1}, "either side once"


def test_what_nobody_answered_is_dealt_again(begun: Begun) -> None:
    """The sessions of raters who cannot come back and of whom no answer is left; what is answered in part is nobody else's."""
    served = begun(prompts=8, session={"items": 4})
    raters = [served.begun() for _ in range(5)]
    for rater in raters[1:3]:
        rater.answer(rater.item())
    raters[4].answer(raters[4].item())
    raters[4].undo(raters[4].item())
    for name in ("r0001", "r0002", "r0005"):
        served.store.revoke(name)
    served.store.erase("r0003")
    for _ in range(4):
        served.begun()
    plans = [row["plan"] for row in served.store.raters()]
    assert plans == [None, 1, None, 3, None, 0, 2, 4, 5]
    served.clock.at += 2 * 86_400  # all links expire
    served.begun()
    assert [row["plan"] for row in served.store.raters()][-1] == 0
    assert len(answers_of(served.store)) == 2


def test_what_is_asked_of_scales_levels_and_the_best(begun: Begun) -> None:
    scale = {"kind": "scale", "anchors": ["low", "high"]}
    questions = [
        CHOICES[0],
        {"key": "good", "text": "How good?", **scale},
        {"key": "difficulty", "text": "How hard?", "of": "prompt", **scale},
        {"key": "photo", "text": "Real?", "kind": "choice", "only": "photo"},
    ]
    served = begun(
        prompts=["a photo of a dog", "a cartoon of a dog"], questions=questions, tags={"photo": ["photo"]}
    )
    rater = served.begun()
    for _ in range(2):
        item = rater.item()
        names = [field["name"] for question in item["questions"] for field in question["fields"]]
        assert names == [
            "quality",
            "good.a",
            "good.b",
            "difficulty",
            *(["photo"] if "photo" in item["prompt"] else []),
        ]
        values = {"quality": "same", "good.a": 2, "good.b": "8.5", "difficulty": 10, "photo": "left"}
        rater.answer(item, values={name: values[name] for name in names})
    answers = answers_of(served.store)
    assert len(answers) == 9
    good = [a for a in answers if a.question == "good"]
    assert [a.value for a in good] == [2.0, 8.5] * 2
    assert len({a.item for a in good}) == 4
    assert [len(a.shown) for a in answers if a.question == "difficulty"] == [0, 0]


def test_the_best_says_whose_picture_it_was(begun: Begun) -> None:
    best = [{"key": "best", "text": "Which?", "kind": "best", "control": "other"}]
    served = begun(
        names=("alpha", "beta", "gamma"),
        questions=best,
        show={"systems": 3, "pictures": 1},
        session={"items": 3, "controls": 2},
    )
    rater = served.begun()
    for _ in range(5):
        rater.answer(rater.item(), 2)
    answers = answers_of(served.store)
    assert all(len(a.shown) == 3 for a in answers)
    assert all(set(a.shown) == {"alpha", "beta", "gamma"} for a in answers if a.control is None)
    assert sum(a.control in (0, 1, 2) for a in answers if a.control is not None) == 2


def test_export_and_erase(begun: Begun) -> None:
    asks = {"eyes": {"text": "Do you see colors?", "choices": ["yes", "no"]}}
    served = begun(asks=asks)
    one, two = served.begun(), served.browser()
    page = two.get(f"/i/{(token := served.invited()[0])}").text
    assert two.post("/consent", data={"csrf": hidden(page, "csrf"), "eyes": "maybe"}).status_code == 422
    assert two.post("/consent", data={"csrf": hidden(page, "csrf"), "eyes": "no"}).status_code == 303
    one.answer(answered := one.item())
    kept = kept_of(served.store, "r0002")
    assert kept["about"] == {"eyes": "no"}
    assert "token" not in kept
    assert len(kept_of(served.store, "r0001")["answers"]) == 1
    assert served.store.erase("r0001") == 1
    assert served.store.answers(undone=True) == []
    gone = kept_of(served.store, "r0001")
    assert not any(gone[name] for name in ("session", "about", "consented_at", "current", "answers"))
    assert one.browser.get("/rate").status_code == 403
    assert served.browser().get(f"/i/{token}").status_code == 303
    assert served.store.consent(1, {"eyes": "no"}).result() is None, "a request that was under way"
    assert kept_of(served.store, "r0001") == gone
    for rater in ("r0009", "alice", "r-1"):
        with pytest.raises(ValueError, match=r"^rater="):
            served.store.erase(rater)
    served.store.close()
    files = b"".join(file.read_bytes() for file in served.store.folder.glob("answers.sqlite*"))
    assert answered["key"].encode() not in files, "not in the pages of the file that are free either"


def test_what_is_erased_is_gone_while_others_answer(begun: Begun) -> None:
    served = begun()
    one, two = served.begun(token := served.invited()[0]), served.begun()
    one.answer(answered := one.item())
    two.answer(other := two.item())
    assert served.store.erase("r0001") == 1
    # as another process reads it: a file that this one opens and closes takes the database's locks with it
    read = "import pathlib, sys; sys.stdout.buffer.write(b''.join(f.read_bytes() for f in pathlib.Path(sys.argv[1]).glob('answers*')))"
    told = subprocess.run(
        [sys.executable, "-c", read, served.store.folder], stdout=subprocess.PIPE, check=True
    )
    assert other["key"].encode() in told.stdout
    assert answered["key"].encode() not in told.stdout
    assert hashed(token).encode() not in told.stdout


def test_answers_read_while_raters_begin_and_go(begun: Begun, monkeypatch: pytest.MonkeyPatch) -> None:
    served = begun()
    one = served.begun()
    one.answer(one.item())
    raters, answers = served.store.raters, served.store.answers

    def begin() -> None:
        new = served.begun()
        new.answer(new.item())

    monkeypatch.setattr(served.store, "raters", lambda: (raters(), begin())[0])
    assert {answer.rater for answer in answers_of(served.store)} == {"r0001"}
    monkeypatch.setattr(served.store, "raters", raters)
    monkeypatch.setattr(served.store, "answers", lambda: (answers(), served.store.erase("r0001"))[0])
    assert {answer.rater for answer in answers_of(served.store)} == {"r0002"}


def test_who_asks_and_goes_stops_nobody(begun: Begun) -> None:
    served, go = begun(), threading.Event()
    served.store.writer.submit(lambda _: go.wait())
    left = served.store.writer.submit(lambda _: "done")
    left.cancel()
    go.set()
    assert served.store.writer.submit(lambda _: "next").result(10) == "next"
    assert left.result(10) == "done"


def test_white_space_of_what_the_first_page_asks(begun: Begun) -> None:
    """Browsers send less of it, or other line ends."""
    served = begun(asks={"age": {"text": "How old are you?", "choices": ["18  to\n30 ", "more"]}})
    browser = served.browser()
    page = browser.get(f"/i/{served.invited()[0]}").text
    sent = browser.post("/consent", data={"csrf": hidden(page, "csrf"), "age": "18 to 30"})
    assert sent.status_code == 303
    assert kept_of(served.store, "r0001")["about"] == {"age": "18  to\n30 "}


@pytest.mark.parametrize("protocol", protocols())
def test_every_protocol_can_be_rated(protocol: str, systems: Systems, tmp_path: Path) -> None:
    """From a STUDY.yaml of one line or two, with the reference, to answers that the statistics can read."""
    prompts = [
        f"a photo of {n} red dogs in front of a sign that says {n}" for n in ("two", "three", "four", "five")
    ]
    folders = systems(("alpha", "beta", "gamma", "real"), prompts, 8)
    real = folders.pop("real")
    given = {
        "name": "n",
        "protocol": protocol,
        "systems": folders,
        "real": real,
        "session": {"items": 4, "repeats": 1},
    }
    (tmp_path / "STUDY.yaml").write_text(json.dumps(given))
    make(tmp_path / "study", *drawn_up(read_design(tmp_path / "STUDY.yaml"), "cd" * 16))
    served = Served(tmp_path / "study")
    assert list(outlook(served.store.study, 0))
    rater = served.begun()
    while "key" in (item := rater.item()):
        assert rater.browser.get("/rate").text.count("<fieldset") in (len(item["questions"]), 0)
        assert rater.answer(item).status_code == 200
    write_answers(tmp_path / "answers.jsonl", answers_of(served.store))
    answers = read_answers(tmp_path / "answers.jsonl")
    assert {a.question for a in answers if a.control is None} == {
        q.key for q in served.store.study.design.questions
    }
    assert any(a.control is not None for a in answers)
    if protocol == "coco_photorealism":
        assert all("real" in a.shown for a in answers if a.control is None)
    served.store.close()
