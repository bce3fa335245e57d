"""imagen-sweep: cells that really ran, wait, failed and were killed; tables that are the same each time; damaged folders."""

import csv
import json
import os
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyarrow import parquet

from imagen.data.prepare.embedding import embed
from imagen.data.prepare.preparing import prepare
from imagen.data.sources.shapes import Shapes
from imagen.files import locked
from imagen.programs import sweep as program
from imagen.programs import train as training
from imagen.programs.sweeps import cells
from imagen.programs.sweeps.queued import Job
from imagen.programs.sweeps.states import Cell
from imagen.text import HashedWords

Called = Callable[..., tuple[int, str, str]]
QUIET = ["experiment=toy", "previews=none", "logger=none", "trainer.progress=false", "trainer.max_steps=5"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: two trained cells, and two that failed."""
    folder = tmp_path_factory.mktemp("sweep")
    prepare(Shapes(count=12, resolution=16, held_out=4, captions=1), folder / "shards")
    embed(folder / "shards", [HashedWords(16)])
    given = [*QUIET, f"runs={folder}/runs", f"data.train={folder}/shards", "launcher=local"]
    given += ["name=cell_${seed}_${data.batch_size}", "seed=0,1", "data.batch_size=4,0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["imagen-train", *given])
        patch.chdir(folder)
        with pytest.raises(SystemExit):
            training.main()
    return folder / "runs"


@pytest.fixture
def runs(swept: Path, tmp_path: Path) -> Path:
    """A copy of `swept` to damage."""
    return Path(shutil.copytree(swept, tmp_path / "runs"))


@pytest.fixture
def status(called: Called, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """status(folder): what it says, on a machine without SLURM unless told what squeue says."""

    def say(folder: Path, *more: str, queue: dict[str, Any] | None = None) -> str:
        monkeypatch.setattr("imagen.programs.sweeps.states.queue", lambda: queue)
        code, out, err = called(program.main, "status", str(folder), *more)
        assert (code, err) == (0, "")
        return out

    return say


def rows(said: str) -> dict[str, list[str]]:
    """cell -> the columns after it."""
    table = said.split("\n\n")[0].splitlines()[1:]
    return {line.split()[0]: line.split()[1:] for line in table}


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_what_ended_is_told_with_the_command_that_repeats_it(
    swept: Path, status: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = status(swept)
    assert {name: row[0] for name, row in rows(said).items()} == {
        "cell_0_0": "failed",
        "cell_0_4": "done",
        "cell_1_0": "failed",
        "cell_1_4": "done",
    }
    loss = json.loads((swept / "cell_0_4/metrics.jsonl").read_text().splitlines()[-1])["loss"]
    assert rows(said)["cell_0_4"][1:3] == ["5/5", f"{loss:.4g}"]
    assert said.count("failed: data.batch_size=0: give at least 1\n") == 2
    assert said.endswith("4 cells: 2 done, 2 failed\n")
    command = next(line for line in said.splitlines() if "name=cell_1_0" in line).partition("again: ")[2]
    words = [
        *QUIET[:3],
        "trainer.progress=False",
        "trainer.max_steps=5",
        f"runs={swept}",
        "name=cell_1_0",
        "seed=1",
    ]
    words += [f"data.train={swept.parent}/shards", "data.batch_size=0"]
    begun, _, command = command.strip("()").partition(" && ")
    assert begun == f"cd {swept.parent}"
    assert sorted(shlex.split(command)) == sorted(["imagen-train", *words])


def test_the_command_does_what_the_cell_did(swept: Path, called: Called) -> None:
    record = json.loads((swept / ".cells/cell_0_0.json").read_text())
    command = program.again(Cell("cell_0_0", swept / "cell_0_0", overrides=record["overrides"])) or ""
    assert called(training.main, *shlex.split(command)[1:])[0] == 2
    again = json.loads((swept / ".cells/cell_0_0.json").read_text())
    assert {"state": "failed", "error": "data.batch_size=0: give at least 1"}.items() <= again.items()
    assert again["started"] > record["started"]


def test_cells_that_have_not_begun_wait_under_their_names(runs: Path, status: Callable[..., str]) -> None:
    shutil.rmtree(runs / "cell_1_4")
    for name in ("cell_1_4", "cell_1_0"):
        (runs / f".cells/{name}.json").unlink()
    said = status(runs)
    assert rows(said)["cell_1_4"] == ["waits", "-", "-", "-"]
    assert said.endswith("4 cells: 2 waits, 1 done, 1 failed\n")


def test_names_follow_groups_and_what_hydra_resolves(runs: Path, status: Callable[..., str]) -> None:
    shutil.rmtree(runs / ".cells")
    file = runs / "multirun.yaml"
    sweep = yaml.safe_load(file.read_text())
    words = ["experiment=toy", "data.train=x", "stage/rate=cosine,constant", "+data.val_pairs=range(1,3)"]
    sweep["hydra"]["overrides"]["task"] = [
        *words,
        "name=${hydra:runtime.choices.stage/rate}_${data.val_pairs}",
    ]
    file.write_text(yaml.safe_dump(sweep))
    waiting = {name for name, row in rows(status(runs)).items() if row[0] == "waits"}
    assert waiting == {"cosine_1", "cosine_2", "constant_1", "constant_2"}


def test_an_experiment_that_is_a_sweep_by_itself(runs: Path, status: Callable[..., str]) -> None:
    shutil.rmtree(runs / ".cells")
    file = runs / "multirun.yaml"
    sweep = yaml.safe_load(file.read_text())
    sweep["hydra"]["sweeper"]["params"] = {"text": "hashed_words,minilm_1", "seed": "0,1"}
    sweep["hydra"]["overrides"]["task"] = ["experiment=text_vs_unet_mini", "data.train=x"]
    file.write_text(yaml.safe_dump(sweep))
    waiting = {name for name, row in rows(status(runs)).items() if row[0] == "waits"}
    assert waiting == {f"{text}-w32-s{seed}" for text in ("hashed_words", "minilm_1") for seed in (0, 1)}
    cell = Cell("x", runs / "x", overrides=["experiment=text_vs_unet_mini", "text=minilm_1"])
    assert str(program.again(cell)).endswith("text=minilm_1 hydra.mode=RUN"), "one cell, not all again"


def test_a_cell_runs_while_its_process_lives_and_was_killed_when_it_does_not(
    runs: Path, status: Callable[..., str]
) -> None:
    alive = {"state": "started", "pid": os.getpid(), "birth": cells.birth(os.getpid()), "error": None}
    change(runs / ".cells/cell_0_4.json", **alive)
    change(runs / ".cells/cell_1_4.json", **{**alive, "birth": 1})
    change(runs / ".cells/cell_0_0.json", **alive, host="elsewhere")
    said = status(runs)
    assert [rows(said)[name][0] for name in ("cell_0_4", "cell_1_4", "cell_0_0")] == [
        "runs",
        "failed",
        "runs",
    ]
    assert "cell_1_4: failed: it was killed" in said
    assert "cell_0_0: runs: on elsewhere" in said


def test_slurm_s_queue_knows_what_runs_elsewhere(runs: Path, status: Callable[..., str]) -> None:
    for i, name in enumerate(("cell_0_0", "cell_0_4", "cell_1_0", "cell_1_4")):
        change(runs / f".cells/{name}.json", state="started", host="elsewhere", job=f"7_{i}", error=None)
    change(runs / ".cells/cell_1_4.json", state="stopped")
    (runs / ".submitit/7_2").mkdir(parents=True)
    (runs / ".submitit/7_2/7_2_0_log.err").write_text(
        "begin\n" + "x" * 9 + "\r\x1b[31mred\x1b[0m\x1b]0;title\x07\n\nslurmstepd: error: killed\n"
    )
    said = status(
        runs,
        "lines=2",
        queue={"7_0": Job(False, "None"), "7_1": Job(True, "Resources"), "7_3": Job(True, "BeginTime")},
    )
    states = {name: row[0] for name, row in rows(said).items()}
    assert states == {"cell_0_0": "runs", "cell_0_4": "waits", "cell_1_0": "failed", "cell_1_4": "waits"}
    assert "cell_0_4: waits: job 7_1: Resources" in said
    assert "  | red\ufffd]0;title\ufffd\n  | slurmstepd: error: killed\n" in said
    assert "\x1b" not in said


@pytest.fixture
def collect(called: Called) -> Callable[..., list[dict[str, str]]]:
    """collect(folder): the rows of the table."""

    def read(folder: Path) -> list[dict[str, str]]:
        code, _, err = called(program.main, "collect", str(folder))
        assert (code, err) == (0, "")
        with (folder / "cells.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    return read


def test_the_table_has_settings_metrics_and_results(
    runs: Path, collect: Callable[..., list[dict[str, str]]], called: Called
) -> None:
    results = {"fid": {"flowers": 12, "all": 30.5}, "loss": 7, "note": "x", "list": [1]}
    (runs / "cell_1_4/results.json").write_text(json.dumps(results))
    (runs / "cell_0_4/results.json").write_text('{"fid": {"flowers": 11.5}}')
    with (runs / "cell_0_4/metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "val_loss": 0.5, "deep": {"a": 1}}\n{"step": 6, "lo')
    failed, first, _, second = collect(runs)
    assert [row["name"] for row in (failed, first, second)] == ["cell_0_0", "cell_0_4", "cell_1_4"]
    assert (failed["state"], failed["data.batch_size"], failed["seed"], failed["loss"]) == (
        "failed",
        "0",
        "0",
        "",
    )
    assert (first["seed"], first["step"], first["val_loss"], first["deep.a"]) == ("0", "5", "0.5", "1")
    assert (first["stage.name"], first["text._target_"]) == ("toy", "imagen.text.HashedWords")
    assert int(second["parameters"]) > 1000
    assert (second["fid.flowers"], second["fid.all"], second["results.loss"]) == ("12.0", "30.5", "7")
    assert not {"note", "list", "runs", "stage.seed", "trainer.max_steps"} & second.keys()
    table = parquet.read_table(runs / "cells.parquet").to_pylist()
    assert list(table[1]) == list(first)
    assert (table[1]["fid.flowers"], table[3]["seed"], table[0]["loss"]) == (11.5, 1, None)
    written = [(runs / name).read_bytes() for name in ("cells.csv", "cells.parquet")]
    collect(runs)
    assert [(runs / name).read_bytes() for name in ("cells.csv", "cells.parquet")] == written
    code, out, _ = called(program.main, "collect", str(runs), f"out={runs}/mine/t.csv")
    assert (code, (runs / "mine/t.csv").read_bytes()) == (0, written[0])
    assert f"wrote {runs}/mine/t.csv: 4 rows" in out
    assert out.endswith("4 cells: 2 done, 2 failed\n")


def test_without_pyarrow_there_is_csv(runs: Path, called: Called, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, out, _ = called(program.main, "collect", str(runs))
    assert (code, "pip install 'imagen-cascade[parquet]'" in out) == (0, True)
    assert (runs / "cells.csv").exists()
    assert not (runs / "cells.parquet").exists()


def test_text_that_a_spreadsheet_would_run_is_text(
    runs: Path, collect: Callable[..., list[dict[str, str]]]
) -> None:
    config = runs / "cell_0_4/config.yaml"
    config.write_text(config.read_text().replace("name: toy", "name: =cmd()"))
    assert collect(runs)[1]["stage.name"] == "'=cmd()"


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        (".cells/cell_0_4.json", "{", "cell_0_4.json: not JSON"),
        (".cells/cell_0_4.json", "[1]", "cell_0_4.json: no object, but list"),
        (".cells/cell_0_4.json", '{"state": "done"}', "cell_0_4.json: overrides is no list"),
        (".cells/cell_0_4.json", "9" * 5000, "cell_0_4.json: not JSON"),
        (".cells/cell_0_4.json", "[" * 100_000, "cell_0_4.json: not JSON"),
        (".cells/cell_0_4.json", " " * 2_000_000, "cell_0_4.json: of 2,000,000 bytes"),
        ("cell_0_4/progress.json", '{"step": "x"}', "progress.json: not numbers"),
        ("cell_0_4/progress.json", '{"step": 1e999}', "infinity"),
        ("cell_0_4/metrics.jsonl", None, "metrics.jsonl: no plain file"),
    ],
)
def test_a_damaged_cell_is_told_and_the_others_too(
    runs: Path, status: Callable[..., str], file: str, content: str | None, why: str
) -> None:
    (runs / file).unlink()
    if content is None:
        os.mkfifo(runs / file)
    else:
        (runs / file).write_text(content)
    said = status(runs)
    assert rows(said)["cell_0_4"][0] == "unreadable"
    assert why in said
    assert said.endswith("4 cells: 1 done, 2 failed, 1 unreadable\n")


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("results.json", "[1, 2]", "results.json: no object, but list"),
        ("results.json", json.dumps({str(i): i for i in range(1001)}), "results.json: 1001 numbers"),
        ("config.yaml", "a: &a [1]\nb: *a\n", "config.yaml: not YAML of plain values"),
        ("config.yaml", "!!python/object/apply:os.system ['touch /tmp/x']", "config.yaml: not YAML"),
    ],
)
def test_what_the_table_needs_is_told_when_it_is_damaged(
    runs: Path, collect: Callable[..., list[dict[str, str]]], file: str, content: str, why: str
) -> None:
    (runs / "cell_0_4" / file).write_text(content)
    states = [row["state"] for row in collect(runs)]
    assert states[1].startswith(f"unreadable: {why}")
    assert [states[0], *states[2:]] == ["failed", "failed", "done"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("hydra: [", "multirun.yaml: not YAML"),
        ("a: 1", "multirun.yaml: not what Hydra writes"),
        (
            "{hydra: {overrides: {task: ['seed=range(0,1000000000)']}, runtime: {cwd: /}}}",
            "more than 10,000 cells",
        ),
        ("{hydra: {overrides: {task: ['seed=range(0,1,0)']}, runtime: {cwd: /}}}", "multirun.yaml: "),
        ("{hydra: {overrides: {task: ['seed=interval(0,1)']}, runtime: {cwd: /}}}", "multirun.yaml: "),
        ("{hydra: {overrides: {task: ['==']}, runtime: {cwd: /}}}", "multirun.yaml: "),
    ],
)
def test_a_damaged_plan_of_the_sweep_hides_no_cell(
    runs: Path, status: Callable[..., str], text: str, why: str
) -> None:
    (runs / "multirun.yaml").write_text(text)
    said = status(runs)
    assert why in said
    assert said.endswith("5 cells: 2 done, 2 failed, 1 unreadable\n")


def test_foreign_names_and_words_are_harmless(runs: Path, status: Callable[..., str]) -> None:
    (runs / "\x1b[31mred").mkdir()
    (runs / "\x1b[31mred/config.yaml").write_text("a: 1")
    (runs / "notes.txt").write_text("mine")
    (runs / "pictures").mkdir()
    change(
        runs / ".cells/cell_0_0.json",
        overrides=["seed=1;touch x", "a=\x1b[2J\ud800", "hydra.searchpath=[x]"],
        error="\x1b]0;x\x07",
        cwd="/no\0where",
        job="7_1",
    )
    said = status(runs)
    assert "\x1b" not in said
    assert "'seed=1;touch x' 'a=\ufffd[2J" in said
    assert "searchpath" not in said
    assert "\ufffd[31mred: unreadable: not a name" in said
    assert said.endswith("5 cells: 2 done, 2 failed, 1 unreadable\n")


def test_a_run_of_before_there_were_records_is_a_cell(runs: Path, status: Callable[..., str]) -> None:
    shutil.rmtree(runs / ".cells")
    (runs / "multirun.yaml").unlink()
    change(runs / "cell_1_4/progress.json", step=3)
    with (runs / "cell_1_4/metrics.jsonl").open("w") as file:
        file.write('{"step": 3, "loss": 1.0}\n')
    said = status(runs)
    assert [row[:2] for row in rows(said).values()] == [["done", "5/5"], ["stopped", "3/5"]]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["status", "/nowhere"], "dir=/nowhere: no such folder"),
        (["status", "{runs}/cell_0_4"], "dir={runs}/cell_0_4: one run; give the folder that it lies in"),
        (["collect", "{runs}/cell_0_4/checkpoints"], "no run is in it; give the folder that was runs="),
        (["look", "{runs}"], "action=look: must be one of status, collect"),
        (["status"], "no value for dir: give dir=..."),
        (["status", "{runs}", "out=x.csv"], "out=x.csv: status writes nothing"),
        (["collect", "{runs}", "out=x"], "out=x: give the name of a file that ends in .csv or .parquet"),
        (
            ["collect", "{runs}", "out={runs}/notes/x.csv"],
            "{runs}/notes/x.csv: cannot be written (File exists); give another out=",
        ),
        (["status", "{runs}", "line=3"], "line: no such setting; did you mean lines?"),
    ],
)
def test_what_is_wrong_is_one_line(runs: Path, called: Called, words: list[str], line: str) -> None:
    (runs / "notes").write_text("mine")
    code, _, err = called(program.main, *[word.format(runs=runs) for word in words])
    assert (code, err.count("\n")) == (2, 1)
    assert line.format(runs=runs) in err


def test_the_words_stand_for_settings() -> None:
    spelled = program.spelled_out(["collect", "it's/lr=3", "out=x.csv"])
    assert spelled == ["action='collect'", "dir='it\\'s/lr=3'", "out=x.csv"]
    assert program.spelled_out(["--help"]) == ["--help"]


class TestRecords:
    """What imagen-train writes down of a start."""

    def test_a_second_start_leaves_the_record_of_the_one_that_runs(self, runs: Path, called: Called) -> None:
        before = (runs / ".cells/cell_0_4.json").read_text()
        words = [*QUIET, f"runs={runs}", f"data.train={runs}", "name=cell_0_4"]
        with locked(runs / "cell_0_4/lock", ""):
            code, _, err = called(training.main, *words)
        assert (code, "is in use by another process" in err) == (2, True)
        assert json.loads((runs / ".cells/cell_0_4.json").read_text()) == json.loads(before)

    def test_a_wrong_setting_is_recorded_and_a_nameless_run_is_not(
        self, tmp_path: Path, called: Called
    ) -> None:
        words = [*QUIET, f"runs={tmp_path}/r", "data.train=x"]
        assert called(training.main, *words, "name=a", "seed=x")[0] == 2
        assert not (tmp_path / "r").exists(), "a wrong command makes no folder"
        (tmp_path / "r").mkdir()
        assert called(training.main, *words, "name=a", "seed=x")[0] == 2
        record = json.loads((tmp_path / "r/.cells/a.json").read_text())
        assert (record["state"], record["error"]) == ("failed", "seed=x: must be a whole number")
        assert (record["host"], record["pid"], record["max_steps"]) == (socket.gethostname(), os.getpid(), 5)
        assert record["started"] <= record["ended"] <= time.time()
        assert called(training.main, *words)[0] == 2
        assert called(training.main, *words, "name=-b")[0] == 2
        assert [file.name for file in (tmp_path / "r/.cells").iterdir()] == ["a.json"]

    def test_a_wrong_command_leaves_a_run_that_is_there_as_it_was(self, runs: Path, called: Called) -> None:
        before = (runs / ".cells/cell_0_4.json").read_text()
        words = [*QUIET, f"runs={runs}", f"data.train={runs.parent}/none", "name=cell_0_4", "seed=0"]
        code, _, err = called(
            training.main, *words, "data.batch_size=4", "trainer.max_steps=9", "stage.ema.decay=0.5"
        )
        assert code == 2, err
        assert (runs / ".cells/cell_0_4.json").read_text() == before

    def test_a_job_with_a_misspelt_setting_is_a_cell_that_failed(
        self, tmp_path: Path, called: Called, monkeypatch: pytest.MonkeyPatch, status: Callable[..., str]
    ) -> None:
        words = [*QUIET, f"runs={tmp_path}/r", "data.train=x", "name=typo", "stage.unet.wdth=8"]
        assert called(training.main, *words)[0] == 2
        assert not (tmp_path / "r").exists(), "at a terminal one sees it"
        monkeypatch.setenv("SLURM_JOB_ID", "7")
        assert called(training.main, *words)[0] == 2
        record = json.loads((tmp_path / "r/.cells/typo.json").read_text())
        assert (record["state"], "did you mean width?" in record["error"]) == ("failed", True)
        said = status(tmp_path / "r")
        assert "typo: failed" in said
        assert "stage.unet.wdth=8" in said, "the command that repeats it"

    def test_other_processes_of_the_run_write_none(
        self, tmp_path: Path, called: Called, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RANK", "1")
        assert called(training.main, *QUIET, f"runs={tmp_path}/r", "data.train=x", "name=a", "seed=x")[0] == 2
        assert not (tmp_path / "r").exists()

    def test_a_folder_that_takes_no_record_stops_nothing(self, tmp_path: Path, called: Called) -> None:
        (tmp_path / "r").mkdir()
        (tmp_path / "r/.cells").write_text("mine")
        code, _, err = called(training.main, *QUIET, f"runs={tmp_path}/r", "data.train=x", "name=a", "seed=x")
        assert (code, err) == (2, "error: seed=x: must be a whole number\n")
