"""imagen-export: runs as imagen-train leaves them -> a release; what does not fit or is not plain is refused,
in one line."""

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from imagen.cascade import Cascade
from imagen.checkpoint import read_release, sha256
from imagen.programs import export as program
from imagen.programs.build import build
from imagen.programs.export import gathered
from imagen.text import HashedWords

TOY = ["text=hashed_words", "text.dim=12", "data.train=none", "logger=none", "previews=none", "name=run"]


def write_run(folder: Path, *overrides: str) -> Path:
    """A run folder with the settings of `overrides` and a checkpoint like that of `Stage` and `EMA`,
    untrained."""
    with initialize_config_module("imagen.conf", version_base="1.3"):
        config = compose("train", [*TOY, *overrides])
    torch.manual_seed(0)
    stage = build(config.stage)
    checkpoint: dict[str, Any] = {"global_step": 7, "state_dict": stage.state_dict(), "other": [1, "plain"]}
    stage.on_save_checkpoint(checkpoint)
    stage.ema.start(stage.denoiser.net)
    stage.ema.on_save_checkpoint(None, stage, checkpoint)
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(OmegaConf.to_container(config, resolve=True)))
    torch.save(checkpoint, folder / "checkpoints/last.ckpt")
    return folder


BASE = ("stage=base16", "stage/unet=toy_base", "stage.name=base8", "stage.resolution=8")
LARGE = (
    "stage=sr32",
    "stage/unet=toy_sr",
    "stage.name=sr16",
    "stage.resolution=16",
    "stage.lowres.resolution=8",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    made = {
        "base": BASE,
        "large": LARGE,
        "base again": BASE,
        "gap": (*LARGE, "stage.lowres.resolution=4"),
        "other text": (*LARGE, "text.max_length=9"),
    }
    return {name: write_run(folder / name.replace(" ", "_"), *overrides) for name, overrides in made.items()}


@pytest.fixture
def export(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The program, in this process."""

    def call(*arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["imagen-export", *map(str, arguments)])
        program.main()

    return call


def tampered(folder: Path, run: Path, file: str, content: bytes) -> Path:
    """A copy of `run` in `folder`, with another `file`."""
    for name in ("config.yaml", "checkpoints/last.ckpt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((run / name).read_bytes())
    (folder / file).write_bytes(content)
    return folder


def test_two_runs_make_a_cascade(runs: dict[str, Path], export: Callable, tmp_path: Path) -> None:
    out = tmp_path / "release"
    export(
        f"run=[{runs['large']},{runs['base']}]",
        f"out={out}",
        "guidance=[2,1]",
        "steps=2",
        "sampler=dpmpp",
        "threshold=static",
    )
    release = read_release(out)
    assert [(s.name, s.resolution, s.predict, s.steps) for s in release.stages] == [
        ("base8", 8, "v", 7),
        ("sr16", 16, "x", 7),
    ]
    assert release.sampling["sampler"] == {"class": "DPMSolverPP2M", "arguments": {}}
    cascade = Cascade.load(out)
    weights = torch.load(runs["large"] / "checkpoints/last.ckpt", weights_only=True)["ema"]["weights"]
    loaded = cascade.stages[1].denoiser.net.state_dict()
    assert weights.keys() == loaded.keys()
    assert all(torch.equal(v, loaded[k]) for k, v in weights.items())
    assert [p.shape[-1] for p in cascade.sample(["a red circle"], [0])] == [8, 16]
    assert [how.guidance for how in cascade.settings(cascade.stages)] == [2, 1]


@pytest.mark.parametrize("form", ["run={0} run={1}", "run={0},{1}", "run=['{1}', {0}]", "run=[{0}] run={1}"])
def test_every_way_to_name_runs(runs: dict[str, Path], export: Callable, tmp_path: Path, form: str) -> None:
    written = form.format(runs["base"], runs["large"])
    arguments = [written] if written.endswith("]") and written.count("run=") == 1 else written.split(" ")
    export(*arguments, f"out={tmp_path / 'release'}")
    assert [s.name for s in read_release(tmp_path / "release").stages] == ["base8", "sr16"]


def test_arguments_are_gathered() -> None:
    assert gathered(["out=x", "run=a", "run=b,c"], "run") == ["run=['a','b','c']", "out=x"]
    assert gathered(["out=x"], "run") == ["out=x"]
    assert gathered(["run=it's here"], "run") == [r"run=['it\'s here']"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["base", "base again"], "are both of resolution 8"),
        (["base", "gap"], "sr16 starts from 4 x 4, but the stage before it, base8, makes 8"),
        (["base", "other text"], "different text encoders"),
    ],
)
def test_runs_that_make_no_cascade(
    runs: dict[str, Path],
    export: Callable,
    tmp_path: Path,
    names: list[str],
    words: str,
    capsys: pytest.CaptureFixture,
) -> None:
    out = tmp_path / "release"
    export(f"run={runs['base']}", f"out={out}")
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    with pytest.raises(SystemExit) as stop:
        export(*[f"run={runs[name]}" for name in names], f"out={out}")
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before, "the earlier release is whole"


class Trap:
    """Unpickled, it makes a file: the proof that something ran."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple:
        return Path.touch, (self.made,)


@pytest.mark.parametrize("write", [torch.save, lambda trap, file: file.write(pickle.dumps(trap))])
def test_a_checkpoint_cannot_run_code(
    runs: dict[str, Path], export: Callable, tmp_path: Path, write: Callable, capsys: pytest.CaptureFixture
) -> None:
    made = tmp_path / "it-ran"
    run = tampered(tmp_path / "run", runs["base"], "checkpoints/last.ckpt", b"")
    with (run / "checkpoints/last.ckpt").open("wb") as file:
        write({"imagen": Trap(made), "ema": {}, "global_step": 0}, file)
    with pytest.raises(SystemExit):
        export(f"run={run}", f"out={tmp_path / 'release'}")
    error = capsys.readouterr().err
    assert "last.ckpt: refused" in error
    assert error.count("\n") == 1
    assert not made.exists()


def test_settings_cannot_run_code(
    runs: dict[str, Path], export: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    made = tmp_path / "it-ran"
    config = (runs["base"] / "config.yaml").read_text()
    evil = config.replace("imagen.nn.UNet", "pathlib.Path.touch")
    assert evil != config
    tagged = config + f"\nx: !!python/object/apply:pathlib.Path.touch ['{made}']\n"
    for text, words in (
        (evil, "stage.unet: pathlib.Path.touch is none of"),
        (tagged, "not YAML of plain values"),
    ):
        run = tampered(tmp_path / "run", runs["base"], "config.yaml", text.encode())
        with pytest.raises(SystemExit):
            export(f"run={run}", f"out={tmp_path / 'release'}")
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
    assert not made.exists()


def test_what_is_not_a_run(
    runs: dict[str, Path], export: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config = yaml.safe_load((runs["base"] / "config.yaml").read_text())
    config["stage"]["name"] = "another"
    other = tampered(tmp_path / "other", runs["base"], "config.yaml", yaml.safe_dump(config).encode())
    cut = tampered(tmp_path / "cut", runs["base"], "checkpoints/last.ckpt", b"PK\x03\x04 cut off")
    cases = {
        tmp_path / "nowhere": "no config.yaml there",
        other: "of stage base8 at 8, but",
        cut: "last.ckpt: refused",
    }
    for run, words in cases.items():
        with pytest.raises(SystemExit):
            export(f"run={run}", f"out={tmp_path / 'release'}")
        assert words in capsys.readouterr().err
    for wrong in ("guidance=[1,2]", "steps=0", "noise_augmentation=3"):
        with pytest.raises(SystemExit):
            export(f"run={runs['base']}", f"out={tmp_path / 'release'}", wrong)
        assert wrong.split("=")[0] in capsys.readouterr().err
    assert not (tmp_path / "release").exists()


def with_checkpoint(folder: Path, run: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of `run` with another checkpoint."""
    checkpoint = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    change(checkpoint)
    tampered(folder, run, "config.yaml", (run / "config.yaml").read_bytes())
    torch.save(checkpoint, folder / "checkpoints/last.ckpt")
    return folder


@pytest.fixture
def refused(export: Callable, tmp_path: Path, capsys: pytest.CaptureFixture) -> Callable:
    """refused(run, words): the run's export ends with one line that has these words, which comes back."""

    def ends(run: Path, words: str) -> str:
        with pytest.raises(SystemExit):
            export(f"run={run}", f"out={tmp_path / 'release'}")
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
        assert not (tmp_path / "release").exists()
        return error

    return ends


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda c: c.update(imagen=5),
            "last.ckpt: not a checkpoint of imagen-train, or damaged: it has no imagen",
        ),
        (lambda c: c["imagen"].pop("network"), "imagen has no network"),
        (lambda c: c["ema"].update(weights=5), "ema has no weights"),
        (
            lambda c: c["ema"]["weights"]["stem.bias"].fill_(float("nan")),
            "EMA weights: stem.bias: holds infinite",
        ),
        (lambda c: c["ema"]["weights"].pop("stem.bias"), "do not fit the network: missing: stem.bias"),
        (lambda c: c["imagen"]["network"].update(blocks=10**9), "asks for far more than"),
        (lambda c: c["imagen"]["network"].update(text_dim=13), "do not fit"),
        (lambda c: c["imagen"].update(stage="x" * 900), "of stage xxx"),
    ],
)
def test_a_checkpoint_that_makes_no_release(
    runs: dict[str, Path],
    refused: Callable,
    tmp_path: Path,
    change: Callable,
    words: str,
) -> None:
    run = with_checkpoint(tmp_path / "run", runs["base"], change)
    error = refused(run, words)
    assert len(error) < 400 + 2 * len(str(run))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(data=5), "not the settings of a training run"),
        (lambda c: c.update(data=None), "not the settings of a training run"),
        (lambda c: c.update(stage=5), "not the settings of a training run"),
        (lambda c: c["stage"].update(name="../x"), "stage.name: '../x' must be a plain name"),
        (lambda c: c["stage"].update(resolution="8"), "stage.resolution='8': must be a whole number"),
        (lambda c: c["stage"].update(predict="w"), "stage 0: predict is 'w'"),
        (lambda c: c["stage"]["schedule"].update(logsnr_min=99), "schedule: CosineSchedule cannot be built"),
        (lambda c: c["text"].update(dim=13), "made for text of width 12, the text encoder gives 13"),
        (
            lambda c: c["stage"].update(lowres={"resolution": 4, "schedule": c["stage"]["schedule"]}),
            "its network's lowres=False and its description of the low-resolution input contradict",
        ),
    ],
)
def test_settings_that_make_no_release(
    runs: dict[str, Path],
    refused: Callable,
    tmp_path: Path,
    change: Callable,
    words: str,
) -> None:
    config = yaml.safe_load((runs["base"] / "config.yaml").read_text())
    change(config)
    run = tampered(tmp_path / "run", runs["base"], "config.yaml", yaml.dump(config, Dumper=Plain).encode())
    refused(run, words)


class Plain(yaml.SafeDumper):
    """YAML without aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def test_the_key_of_the_embeddings_beside_the_shards(export: Callable, tmp_path: Path) -> None:
    """Where the training shards still lie there, the release knows the encoder's weights too."""
    shards = tmp_path / "shards"
    key = {**HashedWords(12).configured, "weights": "abc"}
    (shards / "text/abc").mkdir(parents=True)
    (shards / "text/abc/key.json").write_text(json.dumps(key))
    run = write_run(tmp_path / "run", *BASE, f"data.train={shards}/train-*.tar")
    export(f"run={run}", f"out={tmp_path / 'release'}")
    assert read_release(tmp_path / "release").text["key"] == key
    with pytest.raises(ValueError, match="weights: None, trained with 'abc'"):
        Cascade.load(tmp_path / "release")


def test_a_card_says_what_is_known(
    export: Callable, tmp_path: Path, evaluated: Callable, capsys: pytest.CaptureFixture
) -> None:
    shards, out = tmp_path / "shards", tmp_path / "release"
    shards.mkdir()
    facts = {
        "format": 1,
        "source": {"kind": "table", "what": None},
        "licence": {"given": "CC <i>0</i>", "source": None},
        "splits": {"train": {"samples": 1234}},
        "left_out": {"too small": 5},
        "not_checked": ["faces | and more"],
    }
    (shards / "card.json").write_text(json.dumps(facts))
    run = write_run(tmp_path / "run", *BASE, f"data.train=[{shards},elsewhere/shards]")
    export(f"run={run}", f"out={out}", "steps=4")
    card = (out / "card.md").read_text()
    digest = sha256(out / "cascade.json")
    assert digest in card
    assert "| base8 | 8 x 8 | UNet | v |" in card
    assert "CC &lt;i&gt;0&lt;/i&gt; (as stated by who prepared it)" in card
    assert "| pictures in train | 1,234 |" in card
    assert r"faces \| and more" in card
    assert "elsewhere/shards**: not known" in card
    assert "Quality: not known" in card
    assert "| licence of the weights | not stated |" in card

    metrics = {
        "shapes.all": {"value": 0.5, "interval": [0.4, 0.6], "n": 8, "note": "fewer <b>"},
        "fid": {"value": 31.25, "interval": None, "n": 8, "note": ""},
    }
    source = {"kind": "release", "folder": "x", "sha256": digest}
    own = evaluated(tmp_path / "own", [("a", "", 0)], source=source, metrics=metrics)
    other = evaluated(tmp_path / "other", [("a", "", 0)], metrics=metrics)
    result = json.loads((own / "result.json").read_text())
    result["sampling"]["base"]["threshold"] = {"class": "Dynamic", "arguments": {"percentile": 0.9}}
    result["sampling"]["base"]["sampler"] = {"class": "DDPM", "arguments": {}}
    (own / "result.json").write_text(json.dumps(result))
    export(f"run={run}", f"out={out}", "steps=4", f"evaluations=[{own},{other}]", "licence=MIT")
    card = (out / "card.md").read_text()
    assert sha256(out / "cascade.json") == digest, "the card is no part of it"
    assert "| shapes.all | 0.5 | 0.4 to 0.6 | 8 | fewer &lt;b&gt; |" in card
    assert "| fid | 31.25 | not known | 8 |  |" in card
    assert card.count("; of this release. result.json has the sha256") == 1
    assert "guidance: 2.0, steps: 4, threshold: Dynamic (percentile 0.9), sampler: DDPM" in card
    assert f"**not of this release**, but of release with sha256 {'0' * 64}" in card
    assert "| licence of the weights | MIT |" in card
    with_card = Cascade.load(out).sample(["a"], [0])[0]
    (out / "card.md").unlink()
    assert torch.equal(Cascade.load(out).sample(["a"], [0])[0], with_card)


def of_value(value: str) -> str:
    """A result.json of one metric."""
    rest = "".join(f', "{key}": {{}}' for key in ("protocol", "source", "pictures", "code"))
    return f'{{"metrics": {{"fid": {{"value": {value}}}}}{rest}}}'


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no result.json there"),
        ({"fronts.json": "{}"}, "is a sweep; give its cells"),
        ({"results.json": "{}"}, "is damaged, or not a rating study's"),
        ({"result.json": "[]"}, "is damaged"),
        ({"result.json": '{"metrics": {"fid": {"value": "x"}}}'}, "is damaged, or not an evaluation's"),
        ({"result.json": of_value("NaN")}, "is damaged, or not an evaluation's"),
        ({"result.json": of_value(f"1{'0' * 400}")}, "is damaged, or not an evaluation's"),
    ],
)
def test_evaluations_that_are_none(export: Callable, tmp_path: Path, capsys: pytest.CaptureFixture,
                                   files: dict[str, str], words: str) -> None:  # fmt: skip
    folder = tmp_path / "evaluation"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(content)
    with pytest.raises(SystemExit) as stop:
        export("run=nowhere", f"out={tmp_path / 'release'}", f"evaluations=[{folder}]")
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "release").exists()
