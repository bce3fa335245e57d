"""STUDY.yaml: what it may say, and the one line for what it may not."""

from pathlib import Path
from typing import Any

import pytest

from imagen.rating.study.design import Question, design_of
from imagen.rating.study.making import tagged
from imagen.rating.study.reading import protocols, read_design

from .conftest import CHOICES, designed

BOMB = f"[{', '.join(['*a'] * 9)}]"
SCALE = {"key": "q", "text": "How good?", "kind": "scale", "anchors": ["bad", "good"]}


def test_the_plain_form_is_read_again() -> None:
    design = design_of(designed(purposes={"art": {"quality": 2}}, tags={"photo": ["photo"]}))
    assert design_of(design.plain()) == design


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"sede": 1}, "sede: no such key; choose from: name, seed"),
        ({"name": None}, "name: not there; give it"),
        ({"raters": None, "consent": None}, "raters, consent: not there; give them"),
        ({"seed": -1}, "seed=-1: give a whole number"),
        ({"seed": True}, "seed=True: give a whole number"),
        ({"systems": {"a": 5}}, r"systems=.*: give names, each with its own: systems: \{NAME: FOLDER, "),
        ({"systems": {"real": "x", "b": "y"}}, "systems.real: is what the reference is called"),
        ({"show": {"systems": 2, "picture": 2}}, "show.picture: no such key"),
        ({"show": {"systems": 3, "pictures": 2}}, "show.systems=3: a choice is between 2"),
        (
            {"show": {"systems": 2, "pictures": 2, "against": "real"}},
            "show.against=real: needs the reference",
        ),
        ({"show": {"systems": 2, "pictures": 0}}, "show.pictures=0: give a whole number from 1 to 16"),
        ({"session": {"items": 4, "repeats": 3}}, "session.repeats=3: give a whole number from 0 to 2"),
        ({"questions": [*CHOICES, CHOICES[0]]}, "questions: the key quality is there twice"),
        ({"questions": [{**CHOICES[0], "kind": "scale"}]}, "questions.1.anchors=None: a scale has two words"),
        ({"questions": [{**CHOICES[0], "key": "A b"}]}, "questions.1.key=A b: give up to 40 small letters"),
        ({"questions": [{**SCALE, "of": "prompt"}]}, "questions: none is of what is shown"),
        (
            {"questions": [SCALE], "session": {"items": 4, "controls": 1}},
            "session.controls=1: no question says",
        ),
        ({"purposes": {"art": {"speed": 1}}}, "purposes.art.speed: no choice is called that"),
        ({"purposes": {"art": {"quality": 0}}}, "purposes.art: give at least one weight above 0"),
        ({"asks": {"age": {"text": "Age?", "choices": []}}}, "asks.age.choices: give a list"),
        ({"questions": [{**CHOICES[0], "key": "order"}]}, "questions.1.key=order: the pages' forms have"),
        ({"asks": {"csrf": {"text": "Age?", "choices": ["1"]}}}, "asks=csrf: the pages' forms have"),
        ({"name": "\ud800"}, "name=.*half characters"),
        ({"name": "a\nb"}, "name=a b: give one line"),
        ({"systems": {"a\x1b[31m": "a", "b": "b"}}, "systems=.*give one line"),
        ({"purposes": {"art\n": {"quality": 1}}}, "purposes=art: give one line"),
    ],
)
def test_what_is_wrong_is_one_line(given: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=f"^{line}") as error:
        design_of(designed(**given))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("choice", ["left", "same", "right"], ["", "middle", 0, None, ["left"]]),
        ("scale", [0, "7.25", 10.0], [-1, 10.1, "nan", "x", None, True, "inf", []]),
        ("levels", [0, 50, "100"], [25, "yes", True, None]),
        ("best", [0, "2"], [3, -1, 0.5, "first", False]),
    ],
)
def test_an_answer_fits_its_question(kind: str, right: list[Any], wrong: list[Any]) -> None:
    question = Question("q", "What?", kind, ("low", "high") if kind == "scale" else None)
    for value in right:
        assert question.value(value, 3) in (value, float(value) if kind != "choice" else value)
    for value in wrong:
        with pytest.raises(ValueError, match=r"^q="):
            question.value(value, 3)


@pytest.mark.parametrize("protocol", protocols())
def test_every_protocol_is_whole(protocol: str, tmp_path: Path) -> None:
    systems = "systems: {a: x, b: y, c: z, d: w}"
    (tmp_path / "STUDY.yaml").write_text(f"name: n\nprotocol: {protocol}\n{systems}\nreal: r\n")
    design = read_design(tmp_path / "STUDY.yaml")
    assert design.systems["a"] == str(tmp_path / "x")
    assert design.protocol == protocol
    assert design_of(design.plain()) == design


def test_a_study_says_one_key_of_what_is_shown(tmp_path: Path) -> None:
    (tmp_path / "STUDY.yaml").write_text(
        "name: n\nprotocol: drawbench\nsystems: {a: x, b: y}\nshow: {side: 64}\n"
    )
    show = read_design(tmp_path / "STUDY.yaml").show
    assert (show.systems, show.pictures, show.side) == (2, 8, 64)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: a\nname: b\n", "line 1: the key name is there twice"),
        ("name: [", "is not YAML"),
        ("a: {b: Which?}", "is not YAML; a text with \\? .* in quotes"),
        ("- a", "holds no keys and values"),
        ("name: a", "protocol: not there; choose from: best_of_k"),
        ("protocol: drawbrench", "protocol=drawbrench: no such protocol; choose from: best_of_k"),
        ("protocol: [a]", "protocol=.*no such protocol"),
        ("a: !!python/object/apply:os.system [ls]", "is not YAML"),
        (f"a: &a [x]\nname: {BOMB}", "line 2: an alias"),
        (f"name: &a {BOMB}", "line 1: an alias"),
        ("protocol: own\n" + "\n".join(f"k{n}: 1" for n in range(20_000)), "k0: no such key"),
    ],
)
def test_a_file_that_is_no_study(text: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "STUDY.yaml").write_text(text)
    with pytest.raises(ValueError, match=f"STUDY.yaml: {line}"):
        read_design(tmp_path / "STUDY.yaml")
    with pytest.raises(ValueError, match="is no file of a study"):
        read_design(tmp_path)


def test_tags_come_from_words() -> None:
    rules = {"photo": ["*", "-cartoon"], "count": ["three", "in front of"]}
    assert tagged("three dogs", (), rules) == ("photo", "count")
    assert tagged("a Cartoon of threesomes", ("own",), rules) == ("own",)
    assert tagged("a dog in front of a cat", (), rules) == ("photo", "count")
