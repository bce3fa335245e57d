"""imagen-evaluate: pictures and numbers that depend on what was asked for, and on nothing else."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imagen.cascade import Cascade
from imagen.conditioning import downsample
from imagen.data.shapes import draw
from imagen.data.shapes.prompts import prompts
from imagen.evaluation.protocols.blocks import Blocks
from imagen.evaluation.protocols.protocol import Drawn
from imagen.evaluation.shapes_samples import from_uint8
from imagen.grid import to_uint8
from imagen.programs import evaluate as program

Run = Callable[..., dict[str, Any]]
SUITE = Path(__file__).with_name("two_prompts.csv")
ASKED = ["protocol=shapes", "count=10", "block=4", "progress=false", "devices=[cpu]"]


@pytest.fixture
def run(called: Any, toy_release: Path, tmp_path: Path) -> Run:
    """run(*words) -> result.json of an evaluation of the toy release in out/."""

    def call(*words: str, out: str = "out") -> dict[str, Any]:
        given = {word.split("=")[0] for word in words}
        release = (
            [] if given & {"images", "pipeline"} or "generator=real" in words else [f"release={toy_release}"]
        )
        asked = [word for word in ASKED if word.split("=")[0] not in given]
        code, _, err = called(program.main, *release, *asked, f"out={tmp_path / out}", *words)
        assert code == 0, err
        return json.loads((tmp_path / out / "result.json").read_text())

    return call


def numbers(result: dict[str, Any]) -> dict[str, Any]:
    """What two equal evaluations share."""
    return {k: v for k, v in result.items() if k not in ("name", "cost", "code")}


def test_a_result_says_all_that_it_depends_on(run: Run, tmp_path: Path) -> None:
    result = run("seed=3")
    assert result["protocol"] == {
        "name": "shapes", "split": "test", "reading_order": 1.0, "count": 256, "asked": 10, "seed": 3
    }  # fmt: skip
    assert result["pictures"]["count"] == 10
    assert result["pictures"]["resolution"] == 16
    assert set(result["sampling"]) == {"base8", "sr16"}
    assert result["sampling"]["base8"]["guidance"] == 3.0
    assert result["extractors"]["pixels"]["kind"].startswith("pixels")
    scene = result["metrics"]["shapes.scene"]
    assert scene["n"] == 10
    assert "10 pictures, not the protocol's 256" in scene["note"]
    lines = [json.loads(line) for line in (tmp_path / "out/per_prompt.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(10))
    assert np.mean([line["scores"]["shapes.scene"] for line in lines]) == scene["value"]
    assert result["cost"]["images_per_second"] > 0


def test_the_same_command_again_computes_nothing_and_says_the_same(run: Run, tmp_path: Path) -> None:
    first = run()
    made = {
        p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*") if p.suffix in (".tar", ".safetensors")
    }
    assert run() == first
    assert {p: p.stat().st_mtime_ns for p in made} == made
    assert numbers(run(out="other")) == numbers(first)


def test_any_number_of_processes_gives_the_same(
    run: Run, called: Any, toy_release: Path, tmp_path: Path
) -> None:
    alone = run(out="alone")
    together = run("devices=[cpu,cpu]", out="together")
    assert numbers(alone) == numbers(together)
    words = [f"release={toy_release}", *ASKED, f"out={tmp_path / 'four'}"]
    with (
        pytest.MonkeyPatch.context() as patch
    ):  # as torchrun starts them; the first one last, since it waits for the others
        patch.setenv("WORLD_SIZE", "4")
        for rank in (3, 1, 2, 0):
            patch.setenv("RANK", str(rank))
            patch.setenv("LOCAL_RANK", str(rank))
            code, _, err = called(program.main, *words)
            assert code == 0, err
    assert numbers(json.loads((tmp_path / "four/result.json").read_text())) == numbers(alone)


def test_more_pictures_begin_with_those_of_fewer(run: Run, tmp_path: Path) -> None:
    run("count=4", out="few")
    run("count=8", out="many")
    few, many = (
        [json.loads(line) for line in (tmp_path / name / "per_prompt.jsonl").read_text().splitlines()]
        for name in ("few", "many")
    )
    assert many[:4] == few
    first = (tmp_path / "few/pictures/000000.tar").read_bytes()
    assert (tmp_path / "many/pictures/000000.tar").read_bytes() == first


def test_a_killed_evaluation_goes_on(run: Run, toy_release: Path, tmp_path: Path) -> None:
    whole = run("count=24", out="whole")
    words = [f"release={toy_release}", *ASKED, "count=24", f"out={tmp_path / 'killed'}"]
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-m", "imagen.programs.evaluate", *words], stderr=subprocess.DEVNULL
        )
        there = len(list((tmp_path / "killed").rglob("*.tar")))
        end = time.monotonic() + 60
        while len(list((tmp_path / "killed").rglob("*.tar"))) <= there and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert numbers(run("count=24", out="killed")) == numbers(whole)


def test_other_settings_do_not_mix(run: Run, called: Any, toy_release: Path, tmp_path: Path) -> None:
    run()
    before = (tmp_path / "out/result.json").read_bytes()
    for word, named in (
        ("guidance=2", "sampling"),
        ("seed=1", "protocol"),
        ("count=9", "protocol"),
        ("block=5", "block"),
    ):
        code, _, err = called(program.main, f"release={toy_release}", *ASKED, f"out={tmp_path / 'out'}", word)
        assert code == 2
        assert f"another {named}" in err
        assert err.count("\n") == 1
    assert (tmp_path / "out/result.json").read_bytes() == before
    moved = shutil.copytree(toy_release, tmp_path / "moved")
    assert numbers(run(f"release={moved}"))["metrics"] == json.loads(before)["metrics"]


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """Pictures drawn of the first ten prompts, as another system would leave them."""
    folder = tmp_path / "real"
    folder.mkdir()
    for i, (caption, scene, _) in enumerate(prompts("test", 0, 10, 1.0)):
        Image.fromarray(draw(scene, 64)).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(caption)
    return folder


def test_pictures_of_another_system_are_scored(run: Run, real: Path) -> None:
    result = run(f"images={real}")
    assert result["source"]["kind"] == "images"
    assert result["sampling"] is None
    assert result["metrics"]["shapes.scene"]["value"] == 1.0
    assert result["metrics"]["pixels"]["value"] == pytest.approx(0, abs=1e-6)


def test_missing_pictures_are_named_and_left_out_only_when_asked(
    run: Run, called: Any, real: Path, tmp_path: Path
) -> None:
    (real / "3.png").unlink()
    (real / "5.png").write_bytes(b"none")
    words = [f"images={real}", *ASKED, f"out={tmp_path / 'out'}"]
    code, _, err = called(program.main, *words)
    assert code == 2
    assert "2 of 10 pictures are missing (1 could not be read, first" in err
    assert repr(prompts("test", 0, 10, 1.0)[3][0])[:60] in err
    assert "missing=skip" in err
    assert err.count("\n") == 1
    result = run(f"images={real}", "missing=skip")
    assert result["missing"] == ["00000003", "00000005"]
    assert result["metrics"]["shapes.scene"]["n"] == 8


def test_a_sweep_is_a_folder_of_each_setting(
    run: Run, called: Any, toy_release: Path, tmp_path: Path
) -> None:
    words = [f"release={toy_release}", *ASKED, f"out={tmp_path / 'swept'}"]
    swept = ["sweep.guidance=[1,3]", "sweep.threshold=[none,dynamic]"]
    code, _, err = called(program.main, *words, *swept)
    assert code == 0, err
    fronts = json.loads((tmp_path / "swept/fronts.json").read_text())
    assert [cell["cell"] for cell in fronts["cells"]] == [
        {"guidance": w, "threshold": t} for w in (1, 3) for t in ("dynamic", "none")
    ]
    assert {p.name for p in (tmp_path / "swept/cells").iterdir() if p.is_dir()} == {
        f"guidance={w},threshold={t}" for w in (1, 3) for t in ("none", "dynamic")
    }
    for name, head in (("fronts.png", b"\x89PNG"), ("fronts.svg", b"<?xml")):
        assert (tmp_path / "swept" / name).read_bytes().startswith(head)
    alone = run("guidance=3", "threshold=none", out="alone")
    cell = json.loads((tmp_path / "swept/cells/guidance=3,threshold=none/result.json").read_text())
    assert cell["pictures"] == alone["pictures"]
    assert cell["metrics"] == alone["metrics"]


def test_other_code_that_finds_the_same_has_made_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result keeps the commit that it came from, byte for byte; with a measure more it is the new one's."""
    monkeypatch.setattr(program, "code_version", lambda: {"version": "1", "commit": "old"})
    run()
    first = (tmp_path / "out/result.json").read_bytes()
    monkeypatch.setattr(program, "code_version", lambda: {"version": "1", "commit": "new"})
    assert run()["code"]["commit"] == "old"
    assert (tmp_path / "out/result.json").read_bytes() == first
    assert run("metrics=[shapes,pixels,drift]")["code"]["commit"] == "new"


def test_real_pictures_are_enlarged(run: Run, toy_release: Path, tmp_path: Path) -> None:
    """Super-resolution alone: its input is what the prompt's real picture is at 8 x 8, its output what `upscale` makes of that."""
    result = run("generator=enlarge", "metrics=[pixels,drift]", "guidance=1")
    assert result["source"]["lowres"] == "real pictures at 8"
    assert set(result["sampling"]) == {"sr16"}
    assert result["metrics"]["pixels"]["value"] > 0
    suite = prompts("test", 0, 10, 1.0)
    blocks = Blocks(tmp_path / "out/pictures", Drawn("test", 256, [], None).wanted(10, 0), 4)
    made = blocks.read(0)
    assert list(made.before) == ["lowres"]
    real = from_uint8(np.stack([draw(scene, 16) for _, scene, _ in suite[:4]]))
    low = downsample(real, 8)
    assert np.array_equal(made.before["lowres"], to_uint8(low))
    seeds = [row.seed for row in blocks.rows(0)]
    (expected,) = Cascade.load(toy_release).upscale(low, [p for p, _, _ in suite[:4]], seeds, guidance=1)
    assert np.array_equal(made.last, to_uint8(expected))


def test_real_pictures_are_the_ceiling(run: Run, called: Any, tmp_path: Path) -> None:
    """The judge finds nothing wrong with them, and they are at no distance from themselves."""
    result = run("generator=real", "protocol.resolution=64")
    assert result["source"] == {"kind": "real", "resolution": 64}
    assert result["metrics"]["shapes.scene"]["value"] == 1
    assert abs(result["metrics"]["pixels"]["value"]) < 1e-4
    made = Blocks(tmp_path / "out/pictures", Drawn("test", 256, [], None).wanted(10, 0), 4).read(0).last
    assert np.array_equal(made, np.stack([draw(s, 64) for _, s, _ in prompts("test", 0, 10, 1.0)[:4]]))
    for words, told in (
        ([], "protocol.resolution=null: generator=real"),
        (["guidance=2", "protocol.resolution=64"], "generator=real is not sampled with that"),
    ):
        code, _, err = called(program.main, "generator=real", *ASKED, f"out={tmp_path / 'no'}", *words)
        assert code != 0
        assert told in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["protocol=null"], "protocol"),
        (["metrics=[fid]"], "fid needs weights.inception=PATH"),
        (["metrics=[fid]", "weights.inception=/none.pth"], "no such file"),
        (["metrics=[magic]"], "magic is none; choose from"),
        (["count=0"], "count=0"),
        (["count=1000000"], "more than"),
        (["images=/none"], "give one of release=FOLDER, images=FOLDER"),
        (["generator=diffusers"], "do not go together"),
        (["generator=real"], "give one of release=FOLDER"),
        (
            ["generator=enlarge", "protocol=prompts", "count=null", "metrics=[]", f"protocol.path={SUITE}"],
            "no real pictures, to enlarge or to show",
        ),
        (["sweep.guidance=2"], "give a list"),
        (["sweep.guidance=[1,null]"], "give each value once, and no null"),
        (["sweep.guidance=[1,2,1.0]"], "give each value once"),
        (["seed=-1"], "seed=-1"),
        (["protocol.count=-3", "count=null"], "protocol.count=-3: must be at least 1"),
        (["protocol.reading_order=7"], "a share lies between 0 and 1"),
        (["protocol=prompts", "metrics=[]", f"protocol.path={SUITE}"], "count=10: the suite has 2 prompts"),
        (
            ["protocol=prompts", "metrics=[shapes]", f"protocol.path={SUITE}", "count=null"],
            "prompts of the drawn world",
        ),
        (["sweep.colour=[1]"], "no such setting in sweep"),
        (["sweep.threshold=[hard]"], "choose from dynamic, none, static"),
        (["guidance=2", "sweep.guidance=[2]"], "both given"),
        (["protocol=prompts", "metrics=[]"], "protocol.path=FILE"),
        (["protocol=coco10k"], "source=coco"),
        (["protocol.resolution=32"], "the pictures are 16 x 16, and the protocol compares at 32 x 32"),
        (["protocol=shapes", "metrics=[drift,clip]"], "clip needs weights.clip=PATH"),
        (["devices=[cpu,mars]"], "devices"),
    ],
)
def test_mistakes_are_one_line(
    called: Any, toy_release: Path, tmp_path: Path, words: list[str], told: str
) -> None:
    given = {word.split("=")[0] for word in words}
    asked = [word for word in ASKED if word.split("=")[0] not in given]
    code, _, err = called(program.main, f"release={toy_release}", *asked, f"out={tmp_path / 'out'}", *words)
    assert code == 2
    assert told in err
    assert err.count("\n") == 1, err
    assert not (tmp_path / "out").exists(), "nothing is made"


def test_a_suite_composed_in_the_drawn_world_is_judged(
    called: Any, toy_release: Path, tmp_path: Path
) -> None:
    from imagen.evaluation.suites.compose import compose
    from imagen.evaluation.suites.suite import write_suite

    write_suite(compose("shapes", 6, 0), tmp_path / "suite.jsonl")
    words = [f"release={toy_release}", "protocol=prompts", "progress=false", "devices=[cpu]"]
    given = [f"protocol.path={tmp_path / 'suite.jsonl'}", f"out={tmp_path / 'out'}"]
    code, _, err = called(program.main, *words, *given)
    assert code == 0, err
    assert json.loads((tmp_path / "out/result.json").read_text())["metrics"]["shapes.scene"]["n"] == 6
    code, out, err = called(program.main, *words, f"protocol.path={SUITE}", f"out={tmp_path / 'none'}")
    assert code == 0, err
    assert "nothing was measured: give metrics=[...]" in out


def test_a_dry_run_makes_nothing(called: Any, toy_release: Path, tmp_path: Path) -> None:
    words = [
        f"release={toy_release}",
        *ASKED,
        f"out={tmp_path / 'out'}",
        "sweep.guidance=[1,2,3]",
        "dry_run=true",
    ]
    code, out, _ = called(program.main, *words)
    assert code == 0
    assert "would make 30 pictures in 3 cells" in out
    assert not (tmp_path / "out").exists()


def test_a_share_of_one_is_not_said_to_be_sure(run: Run, real: Path) -> None:
    """Ten right of ten: Wilson's interval, and not the bootstrap's, which would be a point."""
    low, high = run(f"images={real}")["metrics"]["shapes.scene"]["interval"]
    assert (low, high) == pytest.approx((10 / (10 + 1.96**2), 1), abs=1e-3)


def test_other_pictures_under_the_same_names_are_not_taken_for_these(
    run: Run, called: Any, real: Path, tmp_path: Path
) -> None:
    before = run(f"images={real}")
    Image.new("RGB", (64, 64)).save(real / "2.png")
    code, _, err = called(program.main, f"images={real}", *ASKED, f"out={tmp_path / 'out'}")
    assert code == 2
    assert "another source" in err
    assert run(f"images={real}", out="new")["metrics"]["shapes.scene"]["value"] == 0.9
    assert json.loads((tmp_path / "out/result.json").read_text()) == before


def test_what_was_missing_can_be_added(run: Run, called: Any, real: Path, tmp_path: Path) -> None:
    """The refusal says so, and the same command goes on."""
    (real / "3.png").rename(tmp_path / "away.png")
    code, _, err = called(program.main, f"images={real}", *ASKED, f"out={tmp_path / 'out'}")
    assert code == 2
    assert "add them" in err
    assert not list((tmp_path / "out").glob("[!.]*"))
    (tmp_path / "away.png").rename(real / "3.png")
    assert run(f"images={real}")["pictures"]["count"] == 10


def test_pictures_without_prompts_go_by_the_numbers_in_their_names(
    run: Run, called: Any, real: Path, tmp_path: Path
) -> None:
    for file in real.glob("*.txt"):
        file.unlink()
    for i in range(10):  # 10 after 9, and not after 1
        (real / f"{i}.png").rename(real / f"p{i + 1}.png")
    result = run(f"images={real}")
    assert result["metrics"]["shapes.scene"]["value"] == 1.0
    assert "in the order of the pictures' names" in result["source"]["of"]
    (real / "p11.png").write_bytes((real / "p1.png").read_bytes())
    code, _, err = called(program.main, f"images={real}", *ASKED, f"out={tmp_path / 'more'}")
    assert code == 2
    assert "11 pictures without a prompt" in err
    assert "10 are wanted" in err


@pytest.mark.parametrize(
    ("which", "told"), [(["9.png"], "0.png is 64 x 64 and 9.png 64 x 32"), (["*.png"], "compares squares")]
)
def test_one_size_in_all_blocks(called: Any, real: Path, tmp_path: Path, which: list[str], told: str) -> None:
    for file in real.glob(which[0]):
        with Image.open(file) as picture:
            picture.resize((64, 32)).save(file)
    words = [f"images={real}", *ASKED, "block=1", "metrics=[]", f"out={tmp_path / 'out'}"]
    code, _, err = called(program.main, *words)
    assert code == 2
    assert told in err


def test_folders_of_something_else_are_left_alone(
    run: Run, called: Any, real: Path, toy_release: Path, tmp_path: Path
) -> None:
    run()
    swept = "sweep.guidance=[1,2]"
    for words, told in (
        ([f"out={tmp_path / 'out'}", swept], "holds other files"),
        ([f"out={toy_release / 'in'}"], "lies within release="),
        ([f"out={real}"], "holds other files"),
        ([f"out={real / '1.txt'}"], "is a file"),
    ):
        there = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
        code, _, err = called(program.main, f"release={toy_release}", *ASKED, *words)
        assert code == 2
        assert told in err
        assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == there
    code, _, err = called(program.main, f"images={real}", "guidance=2", *ASKED, f"out={tmp_path / 'x'}")
    assert code == 2
    assert "guidance=2: images= is not sampled with that" in err


def test_a_second_sweep_adds_its_cells(called: Any, toy_release: Path, tmp_path: Path) -> None:
    words = [f"release={toy_release}", *ASKED, "count=4", f"out={tmp_path / 'swept'}"]
    for values in ("[1,2]", "[2,10]"):
        code, _, err = called(program.main, *words, f"sweep.guidance={values}")
        assert code == 0, err
    fronts = json.loads((tmp_path / "swept/fronts.json").read_text())
    assert [cell["cell"]["guidance"] for cell in fronts["cells"]] == [1, 2, 10]
    code, _, err = called(program.main, *words, "sweep.guidance=[3]", "seed=5")
    assert code == 2
    assert "another protocol" in err


def test_a_deleted_shard_is_made_again_by_several_processes(run: Run, tmp_path: Path) -> None:
    first = run()
    (tmp_path / "out/pictures/000001.tar").unlink()
    (tmp_path / "out/cost/000000.json").write_text("{}")
    assert numbers(run("devices=[cpu,cpu]")) == numbers(first)
