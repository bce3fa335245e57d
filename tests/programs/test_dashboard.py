"""imagen-dashboard as a person calls it, on toy runs and on hostile folders; its page in a real browser, where there is
one; and what it would save at W&B."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagen.data.pictures import png
from imagen.data.prepare.embedding import embed
from imagen.data.prepare.preparing import prepare
from imagen.data.sources.shapes import Shapes
from imagen.evaluation.dashboard.runs import POINTS, read_runs, thinned
from imagen.evaluation.dashboard.wandb_views import Views
from imagen.programs import dashboard
from imagen.programs import train as training
from imagen.text import HashedWords

Tags = Callable[[str], list[tuple[str, dict[str, str | None]]]]
Called = Callable[..., tuple[int, str, str]]
EVIL = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">\x1b[31m\u202e'


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two toy runs with previews, of learning rates 0.001 and 0.003, the second with results; and what is no run."""
    folder = tmp_path_factory.mktemp("sweep")
    prepare(Shapes(count=12, resolution=16, held_out=4, captions=1), folder / "shards")
    embed(folder / "shards", [HashedWords(16)])
    runs = folder / "runs"
    for lr in ("0.001", "0.003"):
        words = ["experiment=toy", f"name=lr_{lr}", f"runs={runs}", f"data.train={folder}/shards"]
        words += ["trainer.progress=false", "trainer.log_every=1", "trainer.max_steps=6", "previews=grid"]
        words += [
            "previews.every=3",
            "previews.steps=2",
            "previews.guidance=[1,3]",
            f"stage.optimizer.lr={lr}",
        ]
        words += ["trainer.validate_every=3", "previews.prompts=[a red circle,two blue stars]"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["imagen-train", *words])
            training.main()
    (runs / "lr_0.003/results.json").write_text(json.dumps({"fid": {"ema": 12.5}, "of": "shapes"}))
    (runs / "notes").mkdir()
    return runs


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that can be shown though everything in it is hostile, and runs that cannot."""
    runs = tmp_path_factory.mktemp("evil")
    settings = {"stage": {"lr": EVIL, EVIL: 1e400}, "trainer": {"max_steps": 10**400}, "name": EVIL}
    good = made(runs / EVIL.replace("/", "|"), settings)
    lines = [
        {"step": s, "loss": 1 / s, EVIL: s, "family": {EVIL: s, "deep": {"er": 1}}} for s in (1, 2, 3, 2)
    ]
    text = "\n".join(map(json.dumps, lines)) + '\n{"step": 4, "loss": NaN, "x": 1e999, "y": true, "z": "1"}\n'
    text += '[]\n"x"\n{"loss": 1}\n{"step": "1"}\n{"step": Infinity}\n' + "[" * 100_000 + "\n\xff\n"
    text += '{"step": 5, "loss": ' + "1" * 5000 + '}\n{"step": 6, "lo'
    (good / "metrics.jsonl").write_text(text, encoding="latin-1", errors="replace")
    (good / "results.json").write_text(json.dumps({EVIL: {EVIL: EVIL, "n": 1e400}, "list": [1]}))
    (good / "progress.json").write_text("{" * 100_000)
    (good / "previews").mkdir()
    import numpy as np

    picture = png(np.zeros((4, 6, 3), np.uint8))
    (good / "previews/step-00000002.png").write_bytes(picture)
    (good / "previews/step-00000002.json").write_text(json.dumps({"rows": [EVIL, 3], "columns": {"a": 1}}))
    (good / "previews/step-00000003.png").write_bytes(b"<svg onload='window.hacked=1'>")
    (good / "previews/step-1.png<b>.png").write_bytes(picture)
    os.mkfifo(good / "previews/step-00000004.png")
    made(runs / "code").joinpath("config.yaml").write_text("!!python/object/apply:os.system ['touch hacked']")
    made(runs / "aliases").joinpath("config.yaml").write_text(
        "a: &a [1]\nb: [*a, *a]\nstage: 1\ntrainer: 1\n"
    )
    made(runs / "empty").joinpath("config.yaml").write_text("")
    (runs / "unset").mkdir()
    (runs / "unset/metrics.jsonl").write_text('{"step": 1}\n')
    waits = made(runs / "waits")
    (waits / "config.yaml").unlink()
    os.mkfifo(waits / "config.yaml")
    pipe = made(runs / "pipe", {"stage": {}, "trainer": {}})
    os.mkfifo(pipe / "metrics.jsonl")
    (runs / "loop").symlink_to(runs / "loop")
    return runs


def made(folder: Path, settings: dict[str, Any] | None = None) -> Path:
    """A run's folder with these settings."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(settings or {}))
    return folder


def told(page: Path) -> dict[str, Any]:
    """What the page's script draws."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text("utf-8"))
    assert found
    return json.loads(found[1])


def test_a_sweep(called: Called, tags: Tags, sweep: Path, tmp_path: Path) -> None:
    code, out, err = called(dashboard.main, f"runs={sweep}", "out=page")
    assert (code, out, err) == (0, "2 runs: page/index.html\n", "")
    seen = tags((tmp_path / "page/index.html").read_text())
    policy = next(a["content"] for tag, a in seen if a.get("http-equiv") == "Content-Security-Policy")
    assert policy
    assert policy.startswith("default-src 'none'; img-src 'self' file:; script-src 'sha256-")
    assert "unsafe" not in policy
    assert not [a for _, a in seen if "src" in a or "href" in a or any(n.startswith("on") for n in a)]
    data = told(tmp_path / "page/index.html")
    first, second = data["runs"]
    assert (first["name"], first["step"], first["steps"]) == ("lr_0.001", 6, 6)
    steps, losses = first["curves"]["loss"]
    lines = [json.loads(line) for line in (sweep / "lr_0.001/metrics.jsonl").read_text().splitlines()]
    assert steps == [line["step"] for line in lines]
    assert losses == pytest.approx([line["loss"] for line in lines], rel=1e-4)
    heads = {section["title"]: [p["key"] for p in section["panels"]] for section in data["sections"]}
    assert heads["Loss"] == ["loss", "val_loss"]
    assert {"grad_norm", "lr"} == set(heads["Steps"])
    assert "images_per_second" in heads["Speed and hardware"]
    assert heads["Training loss by noise level"]
    assert all(key.startswith("loss_by_logsnr/") for key in heads["Training loss by noise level"])
    assert set(data["columns"]) == {
        "last loss",
        "last val. loss",
        "stage.optimizer.lr",
        "result: fid.ema",
        "result: of",
    }
    assert second["cells"][data["columns"].index("stage.optimizer.lr")] == 0.003
    assert second["cells"][data["columns"].index("result: fid.ema")] == 12.5
    assert first["cells"][data["columns"].index("result: of")] is None
    assert [preview[0] for preview in first["previews"]] == [3, 6]
    assert first["sheets"][0]["rows"] == ["a red circle", "two blue stars"]
    for preview in first["previews"]:
        copy = tmp_path / "page" / preview[1]
        assert copy.read_bytes() == (sweep / "lr_0.001/previews" / copy.name).read_bytes()


def test_again_copies_only_what_is_new(called: Called, sweep: Path, tmp_path: Path) -> None:
    shutil.copytree(sweep, tmp_path / "runs")
    assert called(dashboard.main, "runs=runs", "out=page")[0] == 0
    kept, redrawn = (tmp_path / f"page/previews/lr_0.001/step-0000000{n}.png" for n in (3, 6))
    before = kept.stat().st_ino, redrawn.stat().st_ino
    picture = tmp_path / "runs/lr_0.001/previews/step-00000006.png"
    picture.write_bytes((tmp_path / "runs/lr_0.003/previews/step-00000003.png").read_bytes())
    assert called(dashboard.main, "runs=runs", "out=page")[0] == 0
    assert kept.stat().st_ino == before[0]
    assert redrawn.read_bytes() == picture.read_bytes()
    assert sorted(path.name for path in (tmp_path / "page").iterdir()) == ["index.html", "previews"]


def test_what_there_is_nothing_of_is_absent(called: Called, tmp_path: Path) -> None:
    run = made(tmp_path / "runs/one", {"stage": {}, "trainer": {}})
    (run / "metrics.jsonl").write_text('{"step": 1, "mine": 3}\n{"step": 2, "mine": 4}')
    assert called(dashboard.main, "runs=runs", "out=page")[:2] == (0, "1 run: page/index.html\n")
    data = told(tmp_path / "page/index.html")
    assert data["sections"] == [
        {"title": "Others", "panels": [{"key": "mine", "title": "mine", "log": False, "unit": ""}]}
    ]
    assert data["columns"] == []
    assert data["runs"][0]["previews"] == []
    assert data["runs"][0]["steps"] is None
    assert called(dashboard.main, "runs=runs/one", "out=page")[0] == 0, "a run's own folder is shown alone"


def test_hostile_folders(called: Called, tags: Tags, evil: Path, tmp_path: Path) -> None:
    code, out, err = called(dashboard.main, f"runs={evil}", "out=page")
    assert (code, out) == (0, "2 runs: page/index.html\n")
    said = err.splitlines()
    assert [line for line in said if line.startswith(("pipe: ", "waits: "))] == [
        "pipe: metrics.jsonl: not a file",
        "waits: left out: config.yaml: not a file",
    ]
    assert sum(": left out: " in line for line in said) == 5
    assert any("metrics.jsonl: 8 lines are damaged and left out" in line for line in said)
    assert any("2 cannot be shown, the first for: step-00000003.png: no PNG" in line for line in said)
    assert not re.search("[\x00-\x08\x0b-\x1f]", "".join(said))
    page = (tmp_path / "page/index.html").read_text()
    assert [tag for tag, _ in tags(page)].count("script") == 2, "the data and the page's own"
    assert "window.hacked" not in re.sub(r"window\.hacked=1(&lt;|\\u003c|&quot;|\\\")", "", page)
    data = told(tmp_path / "page/index.html")
    shown = next(run for run in data["runs"] if run["name"] != "pipe")
    assert shown["curves"]["loss"] == [[1, 2, 3], [1.0, 0.5, 0.33333]]
    assert shown["steps"] is None
    assert [preview[:4] for preview in shown["previews"]] == [[2, "previews/run-0/step-00000002.png", 6, 4]]
    assert (tmp_path / "page/previews/run-0/step-00000002.png").exists()


def test_errors_are_one_line(
    called: Called, sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    (tmp_path / "none").mkdir()
    (tmp_path / "file").write_text("")
    made(tmp_path / "bad/run")
    for words, line in {
        ("out=page",): "error: no value for runs: give runs=...",
        ("runs=nowhere", "out=page"): "error: runs=nowhere: no such folder; give the one that holds",
        ("runs=none", "out=page"): "error: runs=none: no run in it; give the folder that holds",
        (
            "runs=bad",
            "out=page",
        ): "error: runs=bad: no run in it (run: left out: config.yaml: not the settings of a",
        (
            "runs=s3://a/b",
            "out=page",
        ): "error: runs=s3://a/b: must be a path on a disk of this machine, and no address",
        (f"runs={sweep}", "out=file"): "error: out=file: File exists: file",
        (f"runs={sweep}", "out=page", "wandb=1"): "error: wandb=1: must be true or false",
        (
            f"runs={sweep}",
            "out=page",
            "wandb=true",
        ): "error: wandb=true: there is no WANDB_API_KEY in the environment;",
    }.items():
        code, _, err = called(dashboard.main, *words)
        assert code == 2, words
        assert err.startswith(line), err
        assert err.count("\n") == 1
    assert not (tmp_path / "page").exists()
    monkeypatch.setitem(sys.modules, "wandb_workspaces.workspaces", None)
    code, _, err = called(dashboard.main, f"runs={sweep}", "out=page", "wandb=true")
    assert code == 2
    assert err.startswith("error: wandb=true: the package wandb-workspaces cannot be imported")
    assert "pip install 'imagen-cascade[dashboard]'" in err


def test_a_long_curve_keeps_its_spikes() -> None:
    points = [(float(step), 1.0) for step in range(100_000)]
    points[31_415] = (31_415.0, 7.0)
    curve = thinned(points)
    assert len(curve.points) <= POINTS
    assert (31_415.0, 7.0) in curve.points
    assert curve.points == sorted(curve.points)
    assert (curve.points[0], curve.points[-1]) == (points[0], points[-1])
    assert sum(value for _, value in curve.means) / len(curve.means) == pytest.approx(1, abs=0.001)
    assert thinned(points[:POINTS]).points == points[:POINTS]


def views(monkeypatch: pytest.MonkeyPatch) -> Views:
    """With a key that no server sees."""
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    pytest.importorskip(
        "wandb_workspaces", reason="wandb-workspaces is not installed: pip install '.[dashboard]'"
    )
    return Views()


def logged(sweep: Path, **logger: Any) -> list[Any]:
    """The runs as though they had been logged to W&B."""
    runs, problems = read_runs(sweep, dashboard._settings)
    assert not problems
    for run in runs:
        run.settings.update({f"logger.{key}": value for key, value in logger.items()})
    return runs


def test_wandb_objects_serialise(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No W&B server is reached here: the objects are built and written as the package would send them."""
    made, runs = views(monkeypatch), logged(sweep, project="imagen", group="first")
    space = json.loads(
        made.workspace("a + b", runs, "imagen", "us")._to_model().model_dump_json(by_alias=True)
    )
    sections = space["spec"]["section"]["panelBankConfig"]["sections"]
    panels = [panel for section in sections for panel in section["panels"]]
    keys = [panel["config"]["metrics"] for panel in panels if "Line Plot" in panel["viewType"]]
    logged_keys = {key for run in runs for key in run.curves}
    assert {key for (key,) in keys} == logged_keys
    assert any(key.startswith("loss_by_logsnr/") for key in logged_keys)
    assert panels[-1]["config"]["mediaKeys"] == ["previews"]
    run_set = space["spec"]["section"]["runSets"][0]
    assert [(f["key"]["name"], f["value"]) for f in run_set["filters"]["filters"]] == [("group", "first")]
    assert space["displayName"] == "Runs of a b"
    import wandb_workspaces.reports.v2.interface as reports

    monkeypatch.setattr(reports, "_get_api", lambda: None)
    monkeypatch.setattr(reports, "execute_graphql", lambda *_: {"project": {"internalId": "1"}})
    report = made.report("t", runs, "imagen", "us")._to_model().spec.model_dump_json(by_alias=True)
    blocks = json.loads(report)["blocks"]
    assert any("They differ in stage.optimizer.lr." in str(block) for block in blocks)
    assert [b["children"][0]["text"] for b in blocks if b["type"] == "heading"][-1] == "Previews"
    assert all(f'"{key}"' in report for key in logged_keys)


def test_wandb_saves_both(
    sweep: Path, called: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The save calls are replaced by a recorder, since no W&B server is reached here."""
    made, saved = views(monkeypatch), []

    class Saved:
        url = "https://wandb.ai/us/imagen/..."

    def save(what: Any) -> Any:
        saved.append(what)
        return Saved()

    monkeypatch.setattr(made.workspaces.Workspace, "save", save)
    monkeypatch.setattr(made.parts.Report, "save", save)
    shutil.copytree(sweep, tmp_path / "runs")
    for file in (tmp_path / "runs").glob("*/config.yaml"):
        settings = yaml.safe_load(file.read_text())
        file.write_text(
            yaml.safe_dump({**settings, "logger": {"project": "mine", "entity": "us", "group": None}})
        )
    code, out, _ = called(dashboard.main, "runs=runs", "out=page", "wandb=true")
    assert code == 0
    assert [line.partition(": ")[0] for line in out.splitlines()] == ["2 runs", "W&B workspace", "W&B report"]
    assert [(what.entity, what.project) for what in saved] == [("us", "mine")] * 2
    assert "lr_0.003" in saved[0].runset_settings.filters, "without a group, the runs by their names"
    (settings := yaml.safe_load(file.read_text()))["logger"]["project"] = "other"
    file.write_text(yaml.safe_dump(settings))
    code, _, err = called(dashboard.main, "runs=runs", "out=page", "wandb=true")
    assert (code, err) == (
        2,
        "error: wandb=true: the runs were logged to projects mine, other; give project= for one\n",
    )
    code, _, err = called(dashboard.main, f"runs={sweep}", "out=page", "wandb=true")
    assert code == 2
    assert err.startswith(
        "error: wandb=true: none of the runs was logged to W&B (logger=none); give project="
    )


def opened(browser: Any, folder: Path, **how: Any) -> tuple[Any, list[str]]:
    """The page in a window of its own, and what goes wrong there: errors, dialogs, requests beyond the folder."""
    page, wrong = browser.new_context(**how).new_page(), []
    page.on("console", lambda message: wrong.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def requested(request: Any) -> None:
        if not request.url.startswith(f"{folder.as_uri()}/"):
            wrong.append(f"request: {request.url}")

    page.on("request", requested)
    page.goto((folder / "index.html").as_uri())
    page.locator("svg.chart").first.scroll_into_view_if_needed()  # charts are drawn when they come near
    page.locator("svg.chart .line").first.wait_for(state="attached")
    return page, wrong


def test_the_page_in_a_browser(browser: Any, called: Called, sweep: Path, tmp_path: Path) -> None:
    assert called(dashboard.main, f"runs={sweep}", "out=page")[0] == 0
    page, wrong = opened(
        browser, tmp_path / "page", viewport={"width": 1280, "height": 900}, color_scheme="light"
    )
    chart = page.locator("figure", has_text="Training loss").first
    lines = chart.locator("svg.chart path.line[data-run]")
    assert [
        len(re.findall("[ML]", d)) for d in lines.evaluate_all("all => all.map(l => l.getAttribute('d'))")
    ] == [6, 6]
    assert len(set(lines.evaluate_all("all => all.map(l => getComputedStyle(l).stroke)"))) == 2
    assert len(set(lines.evaluate_all("all => all.map(l => l.getAttribute('stroke-dasharray'))"))) == 2
    page.screenshot(path=tmp_path / "light.png")

    box = chart.locator("svg.chart").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = chart.locator(".tip")
    assert re.search(r"step \d.*lr_0\.00[13]\d\.\d+", tip.text_content())
    assert "first" in tip.locator("p").evaluate_all("all => all.map(p => p.className)")
    page.mouse.move(0, 0)
    assert tip.is_hidden()
    chart.locator("svg.chart").focus()
    page.keyboard.press("End")
    assert "step 6" in tip.text_content()
    page.keyboard.press("ArrowLeft")
    assert "step 5" in tip.text_content()

    before = lines.first.get_attribute("d")
    page.locator("#smoothing").focus()
    page.keyboard.press("End")
    assert lines.first.get_attribute("d") != before
    assert chart.locator("path.raw").count() == 2
    page.keyboard.press("Home")

    page.locator("tbody input").first.uncheck()
    assert lines.count() == 1
    assert page.locator("summary").text_content() == "1 of 2 runs shown"
    assert not page.locator('.legend input[type="checkbox"]').first.is_checked()
    page.locator("tbody input").first.check()
    page.locator("th button", has_text="optimizer").dblclick()
    assert page.locator("tbody tr bdi").first.text_content() == "lr_0.003", "sorted, the largest first"

    pictures = page.locator(".preview img")
    assert pictures.count() == 2
    assert pictures.first.get_attribute("src") == "previews/lr_0.001/step-00000006.png"
    page.locator("#step").focus()
    page.keyboard.press("ArrowLeft")
    assert pictures.first.get_attribute("src") == "previews/lr_0.001/step-00000003.png"
    page.locator("#which").select_option("1")
    assert pictures.count() == 1
    assert pictures.first.get_attribute("src") == "previews/lr_0.003/step-00000003.png"
    assert "two blue stars" in page.locator(".words").text_content()
    page.wait_for_function("document.querySelector('.preview img').naturalWidth > 0")
    page.locator(".preview").scroll_into_view_if_needed()
    page.screenshot(path=tmp_path / "preview.png")
    assert wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(
    browser: Any, called: Called, evil: Path, sweep: Path, tmp_path: Path, scheme: str
) -> None:
    """Also of hostile folders, whose names are long: nothing is wider than the screen, and nothing of them runs."""
    for runs in (sweep, evil):
        assert called(dashboard.main, f"runs={runs}", f"out={runs.name}")[0] == 0
        phone = {
            "viewport": {"width": 390, "height": 800},
            "is_mobile": True,
            "has_touch": True,
            "color_scheme": scheme,
        }
        page, wrong = opened(browser, tmp_path / runs.name, **phone)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.locator("svg.chart").first.tap()
        assert page.locator(".tip:not([hidden])").count() == 1
        page.screenshot(path=tmp_path / f"{runs.name}-{scheme}.png")
        assert page.evaluate("window.hacked") is None
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(23, 24, 26)"
        assert dark == (scheme == "dark")
        assert wrong == []
