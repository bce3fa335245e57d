"""What a person reads when a setting is wrong: one line that names the key, the value and what would be
right."""

import importlib.resources
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import DictConfig, OmegaConf

from imagen.programs.build import (
    build,
    build_optional,
    check_complete,
    one_line,
    program,
    refuse_one_name_for_many,
)

Say = Callable[..., tuple[int, str]]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """say(*arguments) of a program with conf/train.yaml that builds its stage: exit code and stderr."""

    @program("train")
    def main(cfg: DictConfig) -> None:
        build(cfg.stage)

    def run(*arguments: str) -> tuple[int, str]:
        given = ["experiment=toy", "name=x", "data.train=x"]
        monkeypatch.setattr(sys, "argv", ["imagen-train", *given, *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code or 0), capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        (
            "stage.unet.widht=3",
            "stage.unet.widht: no such setting in stage.unet; did you mean width? choose from: attention",
        ),
        ("trainr.max_steps=3", "trainr: no such setting; did you mean trainer? choose from:"),
        ("stage/unet=base_3m", "stage/unet=base_3m: no such option; did you mean base_3"),
        ("stage/unt=base_300m", "stage/unt: no such group; did you mean stage/unet? choose from:"),
        ("experiment2=toy", "experiment2: no such setting"),
        ("name=???", "no value for name: give name=..."),
        ("stage.unet.width=wide", "stage.unet.width=wide: must be a whole number"),
        ("stage.unet.width=${nothing}", "Interpolation key 'nothing' not found"),
        (
            "stage.unet._target_=imagen.nn.Unet",
            "stage.unet._target_=imagen.nn.Unet: no such class or function",
        ),
        ("+stage.rate.warm=1", "stage.rate (imagen.training.optimizers.Constant): "),
        ("stage.resolution=7", "stage.resolution=7: must divide by 2"),
        ("stage=null", "stage=null: no option; choose from: base16"),
        ("text=5", "text=5: no option; choose from: bert_base"),
        ("stage=[sr256,b]", "stage/b: no such option, and of a group only one"),
        ("sampler=ddim", "sampler: this program has no such group"),
        (
            "experiment=../../etc/passwd",
            "experiment=../../etc/passwd: no such option; choose from: base64_1b",
        ),
        ("stage.schedule.shift=99", "stage.schedule.logsnr_min=-15.0, shift=99"),
        (
            "+hydra.callbacks.a._target_=shutil.copy",
            "+hydra.callbacks.a._target_=shutil.copy: what Hydra itself",
        ),
        ("hydra.launcher={_target_:shutil.copy}", "hydra.launcher={_target_:shutil.copy}: what Hydra itself"),
        ("name=a,b", "Ambiguous value for argument 'name=a,b'"),
        ("name", "cannot read 'name': write key=value"),
    ],
)
def test_a_wrong_setting_gives_one_clear_line(say: Say, argument: str, line: str) -> None:
    code, text = say(argument)
    assert code == 2
    assert text.startswith(f"error: {line}"), text
    assert text.count("\n") == 1


def test_debug_shows_where_an_error_came_from(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEN_DEBUG", "1")
    with pytest.raises(ValueError, match="must divide by 2"):
        say("stage.resolution=7")


@pytest.mark.parametrize("file", ["{runs}/x/lock", "{runs}"])
def test_a_file_that_cannot_be_written_is_told_with_its_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, file: str
) -> None:
    runs = tmp_path / "a file"

    @program("train")
    def main(cfg: DictConfig) -> None:
        raise NotADirectoryError(20, "Not a directory", file.format(runs=runs))

    given = ["experiment=toy", "name=x", "data.train=x", f"runs='{runs}'"]
    monkeypatch.setattr(sys, "argv", ["imagen-train", *given])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.startswith(f"error: runs={runs}: Not a directory: {runs}")


def test_errors_of_ours_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    @program("train")
    def main(cfg: DictConfig) -> None:
        raise AssertionError("ours")

    monkeypatch.setattr(sys, "argv", ["imagen-train", "experiment=toy", "name=x", "data.train=x"])
    with pytest.raises(AssertionError, match="ours"):
        main()


def test_terminals_are_not_sent_what_files_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @program("train")
    def main(cfg: DictConfig) -> None:
        raise ValueError("x.json: \x1b[31mred\x1b]0;title\x07\u202e \ud800 is none; naïve 東京")

    monkeypatch.setattr(sys, "argv", ["imagen-train", "experiment=toy", "name=x", "data.train=x"])
    with pytest.raises(SystemExit):
        main()
    told = r"error: x.json: \x1b[31mred\x1b]0;title\x07\u202e \ud800 is none; naïve 東京"
    assert capsys.readouterr().err == told + "\n"


def test_lists_and_dicts_arrive_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEN_TRUSTED_PACKAGES", "builtins")
    built = build(OmegaConf.create({"_target_": "builtins.dict", "a": [1, {"b": 2}]}))
    assert type(built["a"]) is list
    assert type(built["a"][1]) is dict


def test_a_part_that_is_switched_off_is_none() -> None:
    assert build_optional(None) is None
    assert build_optional(OmegaConf.create({"every": 5})) is None


def test_all_missing_values_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"no value for a, b\.c: give a=\.\.\. b\.c=\.\.\."):
        check_complete(OmegaConf.create({"a": "???", "b": {"c": "???", "d": 1}}))


CONF = Path(str(importlib.resources.files("imagen.conf")))
OF_TRAINING = ("experiment", "text", "stage", "trainer", "previews", "logger", "data")


@pytest.mark.parametrize(
    "group", [*OF_TRAINING, *(f"stage/{path.name}" for path in (CONF / "stage").iterdir() if path.is_dir())]
)
def test_the_help_names_every_option(group: str) -> None:
    text = " " + (CONF / "train.yaml").read_text().split("template:")[1]
    for option in (CONF / group).glob("*.yaml"):
        short = re.sub("^(minilm|t5_v1_1)_", "_", option.stem)
        assert re.search(rf"[ (]({option.stem}|{short})[ ,;:)\n]", text), f"{group}={option.stem}"


@pytest.mark.parametrize("name", ["data/shards", "cache/copies", "trainer/auto", "previews/grid"])
def test_the_help_names_every_setting(name: str) -> None:
    text = (CONF / "train.yaml").read_text().split("template:")[1]
    wanted = set(yaml.safe_load((CONF / f"{name}.yaml").read_text())) - {"_target_", "defaults"} | (
        {"cache"} if name == "data/shards" else set()
    )
    followed = (
        {"resolution", "encoder", "seed"} if name == "data/shards" else {"sampler", "thresholds", "seed"}
    )
    assert {key for key in wanted - followed if not re.search(rf"\b{key}\b", text)} == set()


@pytest.mark.parametrize(
    "swept", ["stage.optimizer.lr=1e-4,1e-3", "seed=range(3)", "stage/unet=toy_base,base_300m"]
)
def test_the_runs_of_a_sweep_need_names_of_their_own(swept: str) -> None:
    with pytest.raises(ValueError, match=r"name=a: each run of a sweep needs its own"):
        refuse_one_name_for_many(["-m", "name=a", swept])
    refuse_one_name_for_many(["name=a", swept])
    refuse_one_name_for_many(["-m", "name=a_${seed}", swept])
    refuse_one_name_for_many(["-m", "name=a,b", swept])
    refuse_one_name_for_many(["-m", "name=a", "previews.prompts=[a,b]"])


def test_a_reader_that_has_had_enough_is_no_error() -> None:
    command = f"{sys.executable} -m imagen.programs.plan --help | head -1"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert ran.stderr == ""


def test_what_a_worker_said_is_told_without_its_traceback() -> None:
    class Fails(torch.utils.data.IterableDataset):
        def __iter__(self) -> Any:
            raise ValueError("7 pairs cannot be used: give\nanother")
            yield

    with pytest.raises(ValueError, match="Original Traceback") as caught:
        next(iter(torch.utils.data.DataLoader(Fails(), num_workers=1)))
    assert one_line(caught.value) == "7 pairs cannot be used: give another"
    assert one_line(ValueError("plain")) == "plain"
