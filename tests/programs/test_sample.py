"""imagen-sample: files, names, record; the same request goes on, another does not mix with it."""

import errno
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagen.data.shapes import draw, scene_of
from imagen.programs import sample as program
from imagen.programs.sample import REFUSED, prompts_of, seeds_of
from imagen.programs.samples import Record, _read_png, file_stem
from imagen.provenance import Mark, read
from imagen.watermark import has


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, toy_release: Path, tmp_path: Path) -> Callable[..., Path]:
    """The program, in this process, with the toy release and an out folder."""

    def call(*arguments: str) -> Path:
        words = [
            "imagen-sample",
            f"release={toy_release}",
            f"out={tmp_path / 'out'}",
            "device=cpu",
            *arguments,
        ]
        monkeypatch.setattr(sys, "argv", words)
        program.main()
        return tmp_path / "out"

    return call


def pixels(file: Any) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


def record(out: Path) -> dict:
    return json.loads((out / "samples.json").read_text())


def test_files_of_every_stage(run: Callable[..., Path]) -> None:
    out = run("prompts=[a red circle,'two: blue/../stars']", "seeds=[0,7]", "guidance=[4,2]", "sampler=dpmpp")
    found = record(out)
    assert [(s["prompt"], s["seed"]) for s in found["samples"]] == [
        ("a red circle", 0),
        ("a red circle", 7),
        ("two: blue/../stars", 0),
        ("two: blue/../stars", 7),
    ]
    assert found["settings"]["guidance"] == [4, 2]
    for entry in found["samples"]:
        assert set(entry["files"]) == {"base8", "sr16"}
        assert entry["files"]["sr16"] == entry["file"]
        assert Image.open(out / entry["file"]).size == (16, 16)
        assert Image.open(out / entry["files"]["base8"]).size == (8, 8)
    assert Image.open(out / "grid.png").width > 200
    tops = {p.name for p in out.iterdir()}
    assert tops == {"grid.png", "samples.json", "stages", *(s["file"] for s in found["samples"])}


def test_more_of_the_same_is_added_and_another_setting_refused(
    run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = run("prompts=[a cat]", "seeds=[0]")
    first = out / record(out)["samples"][0]["file"]
    made = first.stat().st_mtime_ns
    run("prompts=[a cat]", "seeds=[0,1]", "batch_size=1")
    assert [s["seed"] for s in record(out)["samples"]] == [0, 1]
    assert first.stat().st_mtime_ns == made
    assert "1 pictures made, 1 were there" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        run("prompts=[a cat]", "seeds=[2]", "guidance=2")
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: out=")
    assert "another settings" in error
    assert error.count("\n") == 1
    assert len(record(out)["samples"]) == 2


def test_a_picture_of_ones_own(run: Callable[..., Path], tmp_path: Path) -> None:
    own = tmp_path / "own.png"
    Image.fromarray(np.full((9, 12, 3), 200, np.uint8)).save(own)
    out = run("prompts=[a cat]", f"picture={own}")
    assert list(record(out)["samples"][0]["files"]) == ["sr16"]
    assert Image.open(out / "grid.png").width == 150 + 2 * (96 + 4), "the picture given, and its enlargement"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no prompts"),
        (["prompts=['']"], "prompts: number 0 is empty"),
        (["prompts=[a]", "seeds=[x]"], "seeds=['x']"),
        (["prompts=[a]", "release=nowhere"], "release=nowhere: no cascade.json"),
        (["prompts_file=nowhere.txt"], "prompts_file=nowhere.txt: no such file"),
        (["prompts=[a]", "picture=nowhere.png"], "picture=nowhere.png: no such file"),
        (["prompts=[a]", "sampler=dpm"], "sampler=dpm"),
        (["prompts=[a]", "guidence=3"], "did you mean guidance?"),
        (["prompts=[a]", "guidance=[1,2,3]"], "3 values for 2 stages"),
        (["prompts=[a]", "guidance=much"], "guidance=much"),
        (["prompts=[a]", "noise_augmentation=2"], "noise_augmentation=2"),
        (["prompts=[a]", "steps=0"], "steps=0"),
        (["prompts=[a]", "batch_size=0"], "batch_size=0"),
        (["prompts=null"], "prompts="),
        (["prompts=[null]"], "prompts"),
        (["prompts=[[a]]"], "prompts"),
        (["prompts=[true]"], "prompts"),
        (["prompts=[a]", "seeds=[-1]"], "seeds=[-1]"),
        (["prompts=[a]", "seeds=[9223372036854775808]"], "seeds=[9223372036854775808]"),
        (["prompts=[a]", "seeds=null"], "seeds="),
        (["prompts=[a]", "guidance=-1"], "guidance=-1"),
        (["prompts=[a]", "guidance=100000"], "guidance=100000"),
        (["prompts=[a]", "rescale=2"], "rescale=2"),
        (["prompts=[a]", "interval=5"], "interval=5"),
        (["prompts=[a]", "interval=[0.9,0.1]"], "interval="),
        (["prompts=[a]", "interval=[a,b]"], "interval="),
        (["prompts=[a]", "device=foo"], "device=foo"),
        (["prompts=[a]", "device=5"], "device=5"),
        (["prompts=[a]", "device=meta"], "device=meta"),
        (["prompts=[a]", "device=cuda:77"], "device=cuda:77"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    run: Callable[..., Path],
    arguments: list[str],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_things_is_left_alone(
    run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(SystemExit):
        run("prompts=[a]")
    assert "holds other files" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["notes.txt"]


def test_a_first_batch_that_could_not_be_written_is_made_up_for(
    run: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save, out = Image.Image.save, tmp_path / "out"

    def full(self: Image.Image, path: Path, *args: object, **kwargs: object) -> None:
        if "seed1" in path.name:
            path.write_bytes(b"")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, path, *args, **kwargs)  # pyright: ignore[reportArgumentType]

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", full)
        with pytest.raises(SystemExit):
            run("prompts=[a cat]", "seeds=[0,1]")
    error = capsys.readouterr().err
    assert error.startswith(f"error: out={out}: cannot be written to (No space left on device)")
    assert error.count("\n") == 1
    assert record(out)["samples"] == []
    run("prompts=[a cat]", "seeds=[0,1]")
    assert [s["seed"] for s in record(out)["samples"]] == [0, 1]


def test_a_record_that_could_not_be_written_does_not_strand_the_folder(
    run: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.samples.json.123").write_bytes(b"")
    assert record(run("prompts=[a cat]"))["samples"]


@pytest.mark.parametrize("keep", [0, 100, -5])
def test_a_cut_off_picture_is_made_again(
    run: Callable[..., Path], keep: int, capsys: pytest.CaptureFixture[str]
) -> None:
    out = run("prompts=[a cat]", "seeds=[0,1]")
    files = [out / file for file in record(out)["samples"][0]["files"].values()]
    whole = [file.read_bytes() for file in files]
    files[0].write_bytes(whole[0][:keep])
    capsys.readouterr()
    run("prompts=[a cat]", "seeds=[0,1]")
    assert "1 pictures made, 1 were there" in capsys.readouterr().out
    assert all(np.array_equal(pixels(file), pixels(io.BytesIO(b))) for file, b in zip(files, whole))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _: [], "samples.json is damaged"),
        (lambda c: c.pop("samples") and c, 'samples.json is damaged (no list of "samples")'),
        (lambda c: c.update(samples={"a": 1}) or c, 'samples.json is damaged (no list of "samples")'),
        (lambda c: c.update(samples=[5]) or c, "sample 0 is not as imagen-sample writes it"),
        (lambda c: c["samples"][0].pop("files") and c, "sample 0 is not"),
        (lambda c: c["samples"][0].update(files={}) or c, "sample 0 is not"),
        (lambda c: c["samples"][0].update(seed="0") or c, "sample 0 is not"),
        (lambda c: c["samples"][0].update(file="../../victim.png") or c, "sample 0 is not"),
        (lambda c: c["samples"][0]["files"].update(sr16="/etc/passwd") or c, "sample 0 is not"),
        (lambda c: c["samples"][0]["files"].update({"../x": "stages/../x/a.png"}) or c, "sample 0 is not"),
    ],
)
def test_a_record_from_elsewhere_is_refused(
    run: Callable[..., Path], change: Callable, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = run("prompts=[a cat]")
    (out / "samples.json").write_text(json.dumps(change(record(out))))
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    with pytest.raises(SystemExit):
        run("prompts=[a cat]", "seeds=[0,1]")
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_out_within_a_file(
    run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        run("prompts=[a]", f"out={tmp_path}/file/out")
    assert f"error: out={tmp_path}/file/out: {tmp_path}/file cannot be written to" in capsys.readouterr().err


def test_a_part_of_the_noise_levels_for_each_stage(run: Callable[..., Path]) -> None:
    out = run("prompts=[a cat]", "interval=[[0.1,0.9],[0,1]]", "steps=1")
    assert record(out)["settings"]["interval"] == [[0.1, 0.9], [0, 1]]


def test_prompts_and_seeds(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("a dog\n\n  a cat \n")
    assert prompts_of({"prompts": "a cat", "prompts_file": str(file)}) == ["a cat", "a dog"]
    assert prompts_of({"prompts": [42], "prompts_file": None}) == ["42"]
    assert seeds_of(3) == [3]
    assert seeds_of([3, 3, 1]) == [3, 1]


def test_names_are_safe_and_apart() -> None:
    prompts = ["a cat", "A cat!", "../../etc/passwd", "", "日本語の猫", "x" * 500, "a\x00b\n"]
    stems = [file_stem(prompt) for prompt in prompts]
    assert len(set(stems)) == len(prompts)
    assert all(
        len(stem) < 60 and set(stem) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_") for stem in stems
    )


def test_only_a_png_is_read_as_one(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.new("RGB", (4, 4)).save(path, format="GIF")
    with pytest.raises(ValueError, match=r"x.png: cannot be read as a picture"):
        _read_png(path)


def test_each_picture_says_where_it_comes_from(run: Callable[..., Path], toy_release: Path) -> None:
    out = run("prompts=['日本語の猫']", "seeds=[7]", "steps=1")
    (entry,) = record(out)["samples"]
    release = record(out)["release"]["sha256"]
    for file in entry["files"].values():
        assert read(out / file) == Mark("日本語の猫", 7, release)
    assert read(out / "grid.png") == Mark(None, None, release)
    marked = {file: (out / file).read_bytes() for file in entry["files"].values()}
    for file in out.rglob("*.png"):
        file.unlink()
    run("prompts=['日本語の猫']", "seeds=[7]", "steps=1")
    assert {file: (out / file).read_bytes() for file in marked} == marked, "the same sample is the same bytes"
    for file in out.rglob("*.png"):
        file.unlink()
    run("prompts=['日本語の猫']", "seeds=[7]", "steps=1", "mark=false")
    for file, data in marked.items():
        assert read(out / file) is None
        assert np.array_equal(pixels(out / file), pixels(io.BytesIO(data))), "the pixels are the same"


def test_a_folder_of_before_goes_on(run: Callable[..., Path]) -> None:
    out = run("prompts=[a cat]", "steps=1")
    old = record(out)
    del old["watermark"], old["safety"]
    (out / "samples.json").write_text(json.dumps(old))
    assert len(record(run("prompts=[a cat]", "seeds=[1]", "steps=1"))["samples"]) == 2


def test_refused_prompts_are_named_and_the_others_drawn(
    run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed, out = tmp_path / "list.txt", tmp_path / "out"
    listed.write_text("cat\n")
    words = ("prompts=[a dog,a CAT]", "seeds=[0,1]", "steps=1", "safety=words", f"safety.path={listed}")
    for made in (2, 0):  # the same command again
        with pytest.raises(SystemExit) as stop:
            run(*words)
        assert stop.value.code == REFUSED
        said = capsys.readouterr()
        assert said.err.splitlines()[-2:] == [
            "refused: 'a CAT': has 'cat' of the list of words",
            f"safety: 1 prompts and 0 pictures were refused; {out / 'samples.json'} says why",
        ]
        assert f"{made} pictures made, {2 - made} were there" in said.out
        found = record(out)
        assert {s["prompt"] for s in found["samples"]} == {"a dog"}
        assert found["refused"] == [
            {"prompt": "a CAT", "seed": None, "reason": "has 'cat' of the list of words"}
        ]
    run("prompts=[a dog]", *words[1:])
    with pytest.raises(SystemExit) as stop:
        run("prompts=[a dog]", "steps=1")
    assert "another safety" in capsys.readouterr().err
    found["refused"] = [{"prompt": 5}]
    (out / "samples.json").write_text(json.dumps(found))
    with pytest.raises(SystemExit) as stop:
        run(*words)
    assert stop.value.code == 2
    assert 'no list of "refused"' in capsys.readouterr().err


def test_all_refused(run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list.txt").write_text("cat\n")
    with pytest.raises(SystemExit) as stop:
        run("prompts=[a cat]", "safety=words", f"safety.path={tmp_path}/list.txt")
    assert stop.value.code == REFUSED
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["samples.json"]
    assert "pictures made" not in capsys.readouterr().out


class Seeds:
    """Refuses every second picture that it sees."""

    def __init__(self) -> None:
        self.identity, self.seen = {"kind": "second"}, 0

    def prompts(self, prompts: list[str]) -> list[str | None]:
        return [None] * len(prompts)

    def pictures(self, pictures: np.ndarray) -> list[str | None]:
        assert pictures.shape[1:] == (16, 16, 3)
        assert pictures.dtype == np.uint8
        self.seen += len(pictures)
        reasons = [f"looks {i}" if i % 2 else None for i in range(len(pictures))]
        pictures[:] = 0  # what a filter does to its own is its own affair
        return reasons


def test_refused_pictures_are_not_written(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:  # fmt: skip
    filter_, build = Seeds(), program.build
    (tmp_path / "list.txt").write_text("cat\n")
    with monkeypatch.context() as patch:
        patch.setattr(
            program, "build", lambda node: filter_ if node and "Words" in node["_target_"] else build(node)
        )
        for _ in range(2):
            with pytest.raises(SystemExit) as stop:
                run(
                    "prompts=[a dog]",
                    "seeds=[0,1,2]",
                    "steps=1",
                    "safety=words",
                    f"safety.path={tmp_path}/list.txt",
                )
            assert stop.value.code == REFUSED
            assert "refused: 'a dog', seed 1: looks 1" in capsys.readouterr().err
    assert filter_.seen == 3, "what is refused is not drawn again"
    out = tmp_path / "out"
    assert [s["seed"] for s in record(out)["samples"]] == [0, 2]
    assert record(out)["refused"] == [{"prompt": "a dog", "seed": 1, "reason": "looks 1"}]
    assert len(list(out.rglob("*.png"))) == 2 * 2 + 1
    assert pixels(out / record(out)["samples"][0]["file"]).any()
    row = pixels(out / "grid.png")[-60, -(3 * 100) :]
    assert (row[100:196] == 255).all(), "a refused picture is a blank"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["watermark=me"], "watermark=me: stage sr16 of release="),
        (["safety=words"], "safety.path"),
        (["safety=words", "safety.path=nowhere"], "safety.path=nowhere"),
        (
            ["safety=classifier", "safety.folder=nowhere", "safety.refuse=[nsfw]"],
            "safety.folder=nowhere: no config.json there",
        ),
        (["safety=classifier", "safety.folder=nowhere", "safety.refuse=nsfw"], "safety.refuse=nsfw"),
        (["safety=magic"], "safety=magic: no such option"),
    ],
)
def test_safety_and_marks_that_cannot_be_had(
    run: Callable[..., Path], arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        run("prompts=[a]", *arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_watermark_is_in_the_pixels(tmp_path: Path) -> None:
    pytest.importorskip("cv2", exc_type=ImportError)
    request = {"release": {"sha256": "r"}, "watermark": "me", "safety": None}
    drawn = draw(scene_of("test", 0, 3), 64)
    Record(tmp_path, request).add(["a"], [0], {"small": drawn[None, ::2, ::2], "large": drawn[None]})
    (entry,) = record(tmp_path)["samples"]
    assert has(pixels(tmp_path / entry["file"]), "me")
    assert np.array_equal(pixels(tmp_path / entry["files"]["small"]), drawn[::2, ::2]), "no room there"
    assert read(tmp_path / entry["file"]) == Mark("a", 0, "r")
