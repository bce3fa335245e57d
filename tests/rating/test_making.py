"""imagen-rate new: what lies in the study's folder, and what does not."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagen.programs import rate
from imagen.rating.study.design import design_of
from imagen.rating.study.making import damaged, drawn_up, make
from imagen.rating.study.study import read_study

from .conftest import CHOICES, Made, Systems, designed, picture

Called = Callable[..., tuple[int, str, str]]


def test_pictures_are_their_pixels_alone(made: Made, tmp_path: Path) -> None:
    study = made(5, session={"items": 4, "controls": 2})
    files = sorted((tmp_path / "study/pictures").iterdir())
    assert {file.stem for file in files} == study.pictures
    for file in files:
        content = file.read_bytes()
        assert not any(word in content for word in (b"alpha", b"beta", b"eXIf", b"tEXt", b"iTXt", b"Exif"))
        kinds, at = [], 8
        while at < len(content):
            kinds.append(content[at + 4 : at + 8])
            at += 12 + int.from_bytes(content[at : at + 4], "big")
        assert set(kinds) == {b"IHDR", b"IDAT", b"IEND"}
        assert len(file.stem) == 32
    pixels = {np.asarray(Image.open(file)).tobytes() for file in files}
    for n in range(5):
        for k in range(2):
            assert np.asarray(Image.open(io.BytesIO(picture(f"alpha {n} {k}", 16)))).tobytes() in pixels


def test_control_items(made: Made) -> None:
    study = made(5, session={"items": 4, "controls": 2})
    assert [control.kind for control in study.controls] == ["other", "damaged"] * 5
    for control in study.controls:
        good, wrong = control.sets
        assert control.good == 0
        assert good == study.prompts[control.prompt].pictures[control.system]
        others = [p.pictures[control.system] for n, p in enumerate(study.prompts) if n != control.prompt]
        assert (wrong in others) == (control.kind == "other")
        assert len(wrong) == len(good)


@pytest.mark.parametrize("kind", ["other", "damaged"])
def test_control_items_of_one_and_of_many(made: Made, kind: str) -> None:
    levels = [{"key": "fits", "text": "Does it?", "kind": "levels", "control": kind}]
    one = made(4, questions=levels, show={"systems": 1, "pictures": 1}, session={"items": 4, "controls": 1})
    assert all(len(control.sets) == 1 and control.good is None for control in one.controls)


def test_control_items_of_the_best(made: Made) -> None:
    best = [{"key": "best", "text": "Which?", "kind": "best", "control": "other"}]
    study = made(6, questions=best, show={"systems": 2, "pictures": 2}, session={"items": 4, "controls": 1})
    for control in study.controls:
        assert len({names for names in control.sets}) == 4
        assert control.sets[0][0] in study.prompts[control.prompt].pictures[control.system]


def test_systems_of_other_sizes(systems: Systems, tmp_path: Path) -> None:
    small, large = (
        systems(["alpha"], ["a dog", "a cat"], side=16),
        systems(["beta"], ["a dog", "a cat"], side=32),
    )
    design = design_of(designed(systems=small | large))
    with pytest.raises(
        ValueError, match=r"pictures are of 16 x 16 .* and 32 x 32 .*; give show: \{side: 16\}"
    ):
        make(tmp_path / "study", *drawn_up(design, "00" * 16))
    assert not (tmp_path / "study").exists()
    design = design_of(designed(systems=small | large, show={"systems": 2, "pictures": 2, "side": 24}))
    make(tmp_path / "study", *drawn_up(design, "00" * 16))
    assert {Image.open(file).size for file in (tmp_path / "study/pictures").iterdir()} == {(24, 24)}


def test_what_is_lacking_is_told(systems: Systems) -> None:
    few = systems(["alpha"], ["a dog"]) | systems(["beta"], ["a dog", "a cat"])
    study, _ = drawn_up(design_of(designed(systems=few)), "00" * 16)
    assert [prompt.text for prompt in study.prompts] == ["a dog"]
    assert study.left_out == ("1 of 2 prompts of which alpha has fewer than 2 pictures",)
    with pytest.raises(ValueError, match="no prompt is left: left out are 2 of 2"):
        drawn_up(design_of(designed(systems=few, show={"systems": 2, "pictures": 3})), "00" * 16)
    with pytest.raises(ValueError, match=r"systems\.beta=/nowhere: no such folder"):
        drawn_up(design_of(designed(systems=few | {"beta": "/nowhere"})), "00" * 16)
    apart = systems(["gamma"], ["a cow"])
    with pytest.raises(
        ValueError, match=r"no prompt is in all of these: alpha: 'a dog', .*; gamma: 'a cow', "
    ):
        drawn_up(design_of(designed(systems={"alpha": few["alpha"]} | apart)), "00" * 16)
    photo = [{**CHOICES[0], "only": "photo"}]
    told = drawn_up(
        design_of(
            designed(
                systems=few, questions=photo, tags={"photo": ["dog"]}, show={"systems": 2, "pictures": 1}
            )
        ),
        "00" * 16,
    )[0].left_out
    assert told == ("1 of 2 prompts of which alpha has no picture",)


def test_of_evaluations_with_a_suite(evaluated: Callable[..., Path], tmp_path: Path) -> None:
    rows = [(f"a {word} dog", "Colors", seed) for word in ("red", "blue") for seed in range(3)]
    folders = {name: str(evaluated(tmp_path / name, rows, stages=("base",))) for name in ("alpha", "beta")}
    suite = {"prompt": "a red dog", "category": "Mine", "tags": ["photo"]}
    (tmp_path / "suite.jsonl").write_text(json.dumps(suite) + "\n")
    study, wanted = drawn_up(design_of(designed(systems=folders)), "00" * 16)
    assert [(prompt.text, prompt.category) for prompt in study.prompts] == [
        ("a red dog", "Colors"),
        ("a blue dog", "Colors"),
    ]
    make(tmp_path / "study", study, wanted)
    shapes = {Image.open(file).size for file in (tmp_path / "study/pictures").iterdir()}
    assert shapes == {(32, 32)}, "those of the last stage"
    assert read_study(tmp_path / "study").releases == dict.fromkeys(("alpha", "beta"), "0" * 64)
    study, _ = drawn_up(
        design_of(designed(systems=folders, prompts=str(tmp_path / "suite.jsonl"))), "00" * 16
    )
    assert [(p.text, p.category, p.tags) for p in study.prompts] == [("a red dog", "Mine", ("photo",))]


def test_a_study_that_was_changed_is_refused(made: Made, tmp_path: Path) -> None:
    study = made(4)
    assert read_study(tmp_path / "study") == study
    path = tmp_path / "study/study.json"
    path.write_text(path.read_text().replace("thing 0", "thing 9"))
    with pytest.raises(ValueError, match="was changed since it was made"):
        read_study(tmp_path / "study")
    with pytest.raises(ValueError, match=r"out=.*: is there already"):
        made(4)


def test_nobody_takes_a_damaged_picture_for_a_good_one() -> None:
    import random

    smooth = np.add.outer(np.arange(64), np.arange(64))[..., None].repeat(3, -1).astype(np.uint8)
    found = damaged(smooth, random.Random(0))
    assert found.shape == smooth.shape
    assert np.abs(found.astype(int) - smooth).mean() > 20


def test_the_program(called: Called, systems: Systems, tmp_path: Path) -> None:
    folders = systems(["alpha", "beta"], [f"thing {n} of all" for n in range(9)])
    (tmp_path / "STUDY.yaml").write_text(
        f"name: drawn\nprotocol: drawbench\nsystems: {json.dumps(folders)}\nshow: {{pictures: 2}}\nraters: 4\n"
    )
    code, out, err = called(rate.main, "new", "STUDY.yaml", "dry_run=true")
    assert (code, err) == (0, "")
    assert "drawn: alpha, beta; 9 prompts, " in out
    assert "9 items (the systems of a prompt together); each is seen once in 1 session\n" in out
    assert not (tmp_path / "study").exists()
    code, out, _ = called(rate.main, "new", "STUDY.yaml", "out=study")
    assert code == 0
    assert read_study(tmp_path / "study").design.name == "drawn"
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    for words, line in (
        (["new", "STUDY.yaml", "out=link"], "out=link: is a link"),
        (["new", "STUDY.yaml"], "new needs out=..."),
        (["new", "STUDY.yaml", "out=study"], "out=study: is there already"),
        (["new", "STUDY.yaml", "out=b", "n=3"], "n=3: new does not take it"),
        (["new", "nowhere.yaml", "out=b"], "nowhere.yaml: is no file of a study"),
        (["begin", "STUDY.yaml"], "action=begin: must be "),
    ):
        code, _, err = called(rate.main, *words)
        assert (code, err.count("\n")) == (2, 1)
        assert err.startswith(f"error: {line}"), err


def test_a_dry_run_tells_what_new_would_refuse(called: Called, systems: Systems, tmp_path: Path) -> None:
    prompts = ["one dog", "two red cats", "a cow"]
    small, large = systems(["alpha"], prompts, side=16), systems(["beta"], prompts, side=32)
    words = f"name: n\nprotocol: detailed\nsystems: {json.dumps(small | large)}\nshow: {{pictures: 2%s}}\n"
    (tmp_path / "STUDY.yaml").write_text(words % "")
    code, _, err = called(rate.main, "new", "STUDY.yaml", "dry_run=true")
    assert code == 2
    assert "pictures are of 16 x 16 (alpha, 'one dog') and 32 x 32 (beta, 'one dog')" in err
    (tmp_path / "STUDY.yaml").write_text(words % ", side: 16")
    code, out, _ = called(rate.main, "new", "STUDY.yaml", "dry_run=true")
    assert code == 0
    assert (
        "asked of some prompts only: count of 2, colors of 1, spatial of 0, text of 0, realism of 0\n" in out
    )
