"""Settings against types: every wrong kind of value, in every program, is one line that names the setting."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from imagen.programs.build import build
from imagen.programs.settings import SETTINGS
from imagen.programs.typed import Rule, check, fits

RULE = {"_target_": "imagen.training.optimizers.Constant"}


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (int, [0, -3], [True, 1.0, "1", None, [1], float("nan")]),
        (float, [0, 0.5], [True, "x", None, float("nan"), float("inf"), [1]]),
        (bool, [True], [1, "yes", None]),
        (str, ["a", " "], ["", 5, None, ["a"], "a\0"]),
        (Path, ["a/b"], ["", 5, None]),
        (int | None, [None, 1], ["x"]),
        (Literal["x", "v"], ["x"], ["y", None]),
        (Sequence[float], [[], [1, 2.5]], [1, "ab", [1, "x"], [None]]),
        (list[list[int] | None], [[None, [1]]], [[1]]),
        (Annotated[int, Rule("odd", lambda n: n % 2 == 1)], [3], [2, "x"]),
        (Callable[[int], float], [RULE], [None, 5, "x", {}]),
        (Mapping[str, int], [{"a": 1}], [[1], "x", {"a": "b"}]),
    ],
)
def test_a_hint_says_what_fits(hint: Any, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        check(value, hint, "key")
    for value in bad:
        with pytest.raises(ValueError, match=r"^key(\.a)?=.*: must be "):
            check(value, hint, "key")
    assert all(fits(value, hint) for value in good)


class Outer(TypedDict):
    """Settings of a program."""

    x: int
    y: Mapping[str, int]
    z: NotRequired[int | None]


def test_settings_are_looked_at_key_for_key() -> None:
    check({"x": 1, "y": {"z": 2}}, Outer, "")
    for value, line in (
        ({"x": 1, "y": {"z": "a"}}, "y.z=a: must be a whole number"),
        ({"x": 1, "y": {}, "w": 1}, "w: no such setting; choose from: x, y, z"),
        ({"y": {}}, "x: is not there; give x=..."),
    ):
        with pytest.raises(ValueError, match=f"^{line}"):
            check(value, Outer, "")


@pytest.mark.parametrize("program", SETTINGS)
def test_the_settings_of_a_program_are_those_of_its_yaml(program: str) -> None:
    run = ["name=x", "data.train=x"]
    given = {
        "train": run,
        "plan": run,
        "prepare": ["source=shapes"],
        "sweep": ["action=status"],
        "suite": ["action=describe"],
        "rate": ["action=serve"],
    }
    with initialize_config_module("imagen.conf", version_base="1.3"):
        cfg = compose(program, given.get(program, []))
    for key in OmegaConf.missing_keys(cfg):
        OmegaConf.update(cfg, key, "x")
    check(OmegaConf.to_container(cfg, resolve=True), SETTINGS[program], "")


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("shutil.copy", "must be a class of imagen"),
        ("builtins.open", "must be a class of imagen"),
        ("logging.FileHandler", "must be a class of imagen"),
        ("imagen.files.os.replace", "must be a class of imagen"),
        ("imagen.files.os.system.__call__", "must be a class of imagen"),
        ("imagen.training.stage.nn.Linear", "must be a class of imagen"),
        ("imagen.nowhere", "no such class or function"),
        (5, "must be a class of imagen"),
    ],
)
@pytest.mark.parametrize("place", [[], ["schedule"], ["anything", "deep"]])
def test_nothing_outside_imagen_is_made(target: Any, line: str, place: list[str]) -> None:
    node: dict[str, Any] = {"_target_": target}
    for name in reversed(place):
        node = {"_target_": "imagen.training.optimizers.Constant", name: node}
    where = ".".join(["rate", *place])
    with pytest.raises(ValueError, match=rf"^{where}\._target_={target}: {line}"):
        build(OmegaConf.create({"rate": node}).rate)


def test_nothing_outside_imagen_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "intruder.py").write_text("import pathlib; pathlib.Path(__file__).with_name('ran').touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="must be a class of imagen"):
        build(OmegaConf.create({"_target_": "intruder.Class"}))
    assert not (tmp_path / "ran").exists()


def test_a_package_of_one_s_own_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "house.py").write_text(
        "class Rate:\n    def __init__(self, warmup: int):\n        self.w = warmup\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("IMAGEN_TRUSTED_PACKAGES", "other,house")
    assert build(OmegaConf.create({"_target_": "house.Rate", "warmup": 3})).w == 3
    with pytest.raises(ValueError, match="warmup=x: must be a whole number"):
        build(OmegaConf.create({"rate": {"_target_": "house.Rate", "warmup": "x"}}).rate)


@pytest.mark.parametrize("key", ["_args_", "_recursive_", "_convert_", "_partial_"])
def test_a_part_has_a_target_and_arguments_alone(key: str) -> None:
    with pytest.raises(ValueError, match=rf"^stage\.rate\.{key}=true: cannot be set"):
        check({**RULE, key: True}, object, "stage.rate")


TOY = ["experiment=toy", "name=x", "data.train=nowhere"]
PREPARE = ["source=shapes", "text=hashed_words"]


@pytest.mark.parametrize(
    ("program", "given", "arguments"),
    [
        (
            "train",
            TOY,
            "data.batch_size=abc data.batch_size=null trainer.max_steps=1.5 trainer.max_steps=nan "
            "trainer.max_steps=[1] trainer.max_steps=0 trainer.gradient_clip=-1 trainer.log_every=abc trainer.save_every=nan "
            "data.workers=abc data.window=abc data.max_bad=nan data.memory=abc data.live=abc "
            "stage.optimizer=null stage.unet=5 stage.ema=null stage.rate=null stage.rate.warmup=abc "
            "stage.rate.warmup=-5 stage.rate.warmup=nan stage.unet.width=-1 stage.unet.width=0 "
            "stage.unet.blocks=0 stage.optimizer.lr=abc stage.optimizer.lr=inf stage.resolution=abc "
            "stage.resolution=0 stage.name=a/b stage.schedule.shift=nan stage.ema.decay=1 data.train=null "
            "data.train=[1,2] data.encoder=null runs=null runs= runs=s3://b/x runs=s3:/b/x text._target_=pathlib.Path seed=abc seed=1.5 "
            "data.resolution=16 previews.prompts=[5] previews.prompts=[''] previews.guidance=[x] "
            "previews.noise_augmentation=2 previews.every=0 previews.steps=x",
        ),
        (
            "train",
            TOY,
            "name=.. name=../../x name=/tmp/x name= name=null name=[a,b] name=a\nb name=.x name=true "
            f"name={'x' * 300}",
        ),
        (
            "prepare",
            PREPARE,
            "shard_size=abc shard_size=nan shard_size=2.5 shard_size=-1 shard_size=0 max_bad=abc max_bad=-1 "
            "device=foo device=meta device=5 out=null out=s3://b/x out=s3:/x/y out=pipe:cat out=file:/tmp/x cache.folder=s3:/x text.dim=abc text.max_length=abc source.count=nan "
            "source.count=1.5 source.held_out=abc source.seed=1.5 embed=5",
        ),
        ("prepare", ["source=table", "source.path=x"], "source.separator=5 source.separator="),
        (
            "plan",
            ["experiment=toy"],
            "plan.mfu=abc plan.mfu=0 plan.bytes_a_pixel=abc plan.chips.a100=5 plan.chips.a100.memory=abc "
            "plan.tokens=0 data.batch_size=0 data.batch_size=-4 trainer.nodes=0 plan.json=5 plan.json=s3://b/x",
        ),
        (
            "export",
            ["run=x"],
            "interval=5 interval=[a,b] out=null out=s3://b/x steps=1.5 guidance=abc guidance=nan",
        ),
        (
            "sample",
            ["release=x", "prompts=[a]"],
            "interval=5 interval=[a,b] batch_size=abc batch_size=1.5 batch_size=null device=foo device=5 "
            "release=null release=s3://b/x release=s3:/x picture=s3:/x out=null out=s3://b/x progress=x",
        ),
        ("demo", [], "out=s3://b/x seed=abc stages=5 sample.steps=5 train=a sweep.guidance=[x] samples=0"),
    ],
)
def test_a_wrong_value_is_one_line_and_leaves_nothing(
    program: str,
    given: list[str],
    arguments: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    main = import_module(f"imagen.programs.{program}").main
    monkeypatch.chdir(tmp_path)
    out = {"train": [f"runs={tmp_path}/runs"], "plan": []}.get(program, [f"out={tmp_path}/out"])
    for argument in arguments.split(" "):
        key, _, value = argument.partition("=")
        typed = f"{key}={value!r}" if "\n" in value else argument
        monkeypatch.setattr(sys, "argv", [f"imagen-{program}", *given, *out, typed])
        with pytest.raises(SystemExit) as stop:
            main()
        error = capsys.readouterr().err
        assert stop.value.code == 2, argument
        assert error.startswith(f"error: {key}"), (argument, error)
        assert error.count("\n") == 1, argument
        assert not list(tmp_path.iterdir()), argument
