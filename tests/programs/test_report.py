"""imagen-report as a person calls it, on small evaluations and on hostile ones; its page in a real browser, where there is
one."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagen.programs import report

Made = Callable[..., Path]
Tags = Callable[[str], list[tuple[str, dict[str, str | None]]]]
Called = Callable[..., tuple[int, str, str]]
EVIL = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">\x1b[31m\u202e'
CATEGORIES = ("Colors", "Counting", "Text")


def rows_of(count: int) -> list[tuple[str, str, int]]:
    """Prompts of three categories."""
    return [(f"prompt {i} of {count}", CATEGORIES[i * 3 // count], 100 + i) for i in range(count)]


@pytest.fixture(scope="module")
def two(evaluated: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evaluations `ours`, with a stage before, and `theirs`, of fewer pictures."""
    folder, rows = tmp_path_factory.mktemp("two"), rows_of(12)
    evaluated(folder / "ours", rows, stages=("base16",))
    protocol = {"name": "prompts", "count": 12, "asked": 11}
    evaluated(folder / "theirs", [*rows[:10], ("alone", "Text", 1)], protocol=protocol)
    return folder


@pytest.fixture(scope="module")
def sweep(evaluated: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Guidance 1, 2, 10 by two thresholds."""
    folder, cells = tmp_path_factory.mktemp("sweep"), []
    for threshold in ("dynamic", "static"):
        for guidance in (10.0, 1.0, 2.0):
            cell, name = {"guidance": guidance, "threshold": threshold}, f"{threshold}-{guidance:g}"
            metrics = {
                "fid": {
                    "value": 20 + guidance,
                    "interval": [19 + guidance, 22 + guidance],
                    "n": 4,
                    "note": "",
                },
                "clip": {"value": guidance / 100, "interval": None, "n": 4, "note": ""},
            }
            evaluated(folder / "cells" / name, rows_of(4), cell=cell, metrics=metrics)
            cells.append({"folder": f"cells/{name}", "cell": cell, "metrics": metrics})
    (folder / "fronts.json").write_text(json.dumps({"format": 1, "cells": cells}))
    return folder


@pytest.fixture(scope="module")
def evil(evaluated: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two evaluations of which all words are hostile, one of them with a damaged shard."""
    folder = tmp_path_factory.mktemp("evil")
    words = {"value": 1.0, "interval": [0.5, 2], "n": 3, "note": EVIL}
    for name in ("one", EVIL.replace("/", "|")[:90]):
        made = evaluated(
            folder / name,
            [(EVIL, EVIL, 1), ("A" * 1500, "Colors", 2), (f"{EVIL} again", EVIL, 3)],
            shard=1,
            name=EVIL,
            protocol={"name": EVIL, "count": 10, "asked": 3, EVIL: EVIL},
            source={"kind": EVIL, "folder": "../../../etc/passwd", "sha256": EVIL},
            cell={"guidance": EVIL, "threshold": name},
            metrics={EVIL: words, "fid": words, f"drift.{EVIL}": words, "B" * 500: words},
            by_category={EVIL: {EVIL: words}},
            cost={EVIL: EVIL, "device": EVIL, "seconds": 1e300},
        )
        lines = [json.loads(line) for line in (made / "per_prompt.jsonl").read_text().splitlines()]
        lines = [{**line, "scores": {EVIL: i, "clip": 10.0**i}} for i, line in enumerate(lines)]
        (made / "per_prompt.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "one/pictures/000001.tar").write_bytes(b"<script>window.hacked=1</script>" * 100)
    return folder


def told(page: Path) -> dict[str, Any]:
    """What the page's script draws."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text("utf-8"))
    assert found
    return json.loads(found[1])


def said(err: str) -> list[str]:
    """The lines of stderr, without the bar."""
    return [line for line in err.rpartition("\r")[2].splitlines() if line.strip()]


def test_two_evaluations(called: Called, tags: Tags, two: Path, tmp_path: Path) -> None:
    code, out, err = called(report.main, f"{two}/ours", f"{two}/theirs", "out=new/report.html")
    assert (code, said(err)) == (0, [])
    assert re.fullmatch(r"2 evaluations, 23 pictures, [0-9.]+ kB: new/report\.html\n", out)
    text = (tmp_path / "new/report.html").read_text()
    seen = tags(text)
    policy = next(a["content"] for tag, a in seen if a.get("http-equiv") == "Content-Security-Policy")
    assert policy
    assert policy.startswith("default-src 'none'; img-src data:; script-src 'sha256-")
    assert "unsafe" not in policy
    assert not [a for _, a in seen if "src" in a or any(n.startswith("on") or n == "style" for n in a)]
    assert all(a["href"] and a["href"].startswith("#") for _, a in seen if "href" in a)
    ids = [a["id"] for _, a in seen if "id" in a]
    assert {a["href"][1:] for _, a in seen if a.get("href")} <= set(ids)  # pyright: ignore[reportOptionalSubscript]
    assert all(a.get("scope") in ("col", "row") for tag, a in seen if tag == "th")
    assert "10 of 13 pictures (a prompt and a seed) are in all 2." in text
    assert "Only in ours: 2." in text
    assert "Only in theirs: 1." in text
    assert "theirs</bdi>; <bdi>all: of 11 pictures, and not of the protocol&#x27;s 12" in text
    assert "31.5 †" in text
    data = told(tmp_path / "new/report.html")
    assert data["systems"] == ["ours", "theirs"]
    assert data["categories"] == list(CATEGORIES)
    assert data["scores"] == [["clip", False], ["drift.sr", True]]
    assert len(data["pairs"]) == 13
    assert [len(found) for found in data["pictures"]] == [12, 11]
    assert data["sweeps"] == []
    for part in ("fronts-here", "grids-here"):
        assert f'id="{part}"' not in text


def test_the_cells_of_a_sweep(called: Called, sweep: Path, tmp_path: Path) -> None:
    """By the sweep's folder or by their own: the same page."""
    assert called(report.main, str(sweep), "out=a.html")[0] == 0
    cells = [cell["folder"] for cell in json.loads((sweep / "fronts.json").read_text())["cells"]]
    assert called(report.main, *(f"{sweep}/{cell}" for cell in cells), "out=b.html")[0] == 0
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    (found,) = told(tmp_path / "a.html")["sweeps"]
    assert found["keys"] == ["guidance", "threshold"]
    assert found["metrics"] == ["fid", "clip"]
    assert found["cells"][0]["values"] == {"fid": [30.0, 29.0, 32.0], "clip": [0.1, None, None]}


def test_nothing_in_common_is_said(called: Called, evaluated: Made, two: Path, tmp_path: Path) -> None:
    evaluated(tmp_path / "it's (1), b=2", [("else", "", None)])
    code, _, err = called(report.main, f"{two}/ours", "it's (1), b=2", "out=report.html")
    assert (code, said(err)) == (0, [])
    assert "have no prompt and seed in common" in (tmp_path / "report.html").read_text()


def scored(folder: Path, scores: dict[str, list[float]]) -> Path:
    """The evaluation with these scores of its pictures instead."""
    lines = [json.loads(line) for line in (folder / "per_prompt.jsonl").read_text().splitlines()]
    for i, line in enumerate(lines):
        line["scores"] = {name: values[i] for name, values in scores.items()}
    (folder / "per_prompt.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return folder


@pytest.fixture(scope="module")
def right(evaluated: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evaluations `half` and `most`, judged right or wrong, on the same prompts; and difficulties of these."""
    folder, rows = tmp_path_factory.mktemp("right"), rows_of(24)
    for name, wrong in (("half", 12), ("most", 3)):
        scores = {"color": [1.0] * 24, "scene": [0.0] * wrong + [1.0] * (24 - wrong)}
        scored(evaluated(folder / name, rows), scores)
    lines = [f"{prompt},{(12 - i) / 4}" for i, (prompt, _, _) in enumerate(rows)]
    (folder / "hard.csv").write_text("\n".join(["prompt,difficulty", *lines]))
    return folder


def test_differences_and_difficulty(called: Called, tags: Tags, right: Path, tmp_path: Path) -> None:
    words = [f"{right}/half", f"{right}/most", "out=report.html"]
    assert called(report.main, *words)[0] == 0
    text = (tmp_path / "report.html").read_text()
    assert tags(text)
    assert "most is higher by 0.38 [0." in text
    assert "The same on every prompt: color." in text
    assert 'id="difficulty"' not in text
    code, _, err = called(report.main, *words, f"difficulty={right}/hard.csv")
    assert (code, said(err)) == (0, [])
    text = (tmp_path / "report.html").read_text()
    assert {"difficulty", "differences"} <= {a["id"] for _, a in tags(text) if "id" in a}
    assert "<bdi>ability</bdi>" in text
    (tmp_path / "else.csv").write_text("prompt,difficulty\ncat,1")
    for name, line in {
        f"{right}/none.csv": f"error: difficulty={right}/none.csv: there is no such file",
        "else.csv": "error: difficulty=else.csv: has none of the 24 prompts of the evaluations; give the suite",
    }.items():
        code, _, err = called(report.main, *words[:2], "out=none.html", f"difficulty={name}")
        assert code == 2
        assert said(err)[0].startswith(line)
    assert not (tmp_path / "none.html").exists()


def test_of_many_some(called: Called, two: Path, tmp_path: Path) -> None:
    code, out, _ = called(report.main, f"{two}/ours", "out=report.html", "pictures=5", "side=16")
    assert (code, out.split(",")[1]) == (0, " 5 pictures")
    assert "Of 12 pictures 5 are on this page" in (tmp_path / "report.html").read_text()


def test_hostile_evaluations(called: Called, tags: Tags, evil: Path, tmp_path: Path) -> None:
    code, _, err = called(report.main, *map(str, sorted(evil.iterdir())), "out=report.html")
    assert code == 0
    assert len(said(err)) == 2
    assert any("pictures/000001.tar: " in line for line in said(err))
    assert all(line.isprintable() for line in said(err))
    text = (tmp_path / "report.html").read_text()
    seen = [tag for tag, _ in tags(text)]
    assert seen.count("script") == 3, "the data, the thumbnails and the page's own"
    assert seen.count("img") == 0, "the page's script makes them"
    assert "<h2>Problems</h2>" in text
    assert len(told(tmp_path / "report.html")["pictures"][0]) == 3


def test_errors_are_one_line(called: Called, two: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    shutil.copytree(two / "ours", tmp_path / "bad")
    (tmp_path / "bad/result.json").write_text('{"format": 1, "metrics": 3}')
    (tmp_path / "old.html").write_text("old")
    ours = f"{two}/ours"
    for words, line in {
        (ours,): "error: no value for out: give out=...",
        ("out=a.html",): "error: no folder: give those of evaluations, imagen-report FOLDER... out=FILE.html",
        (
            "empty",
            "out=a.html",
        ): "error: empty: no result.json in it; give the folder that imagen-evaluate wrote",
        (
            "nowhere",
            "out=a.html",
        ): "error: nowhere: no such folder; give the folder that imagen-evaluate wrote",
        (
            ours,
            "bad",
            "out=old.html",
        ): "error: bad/result.json is damaged (metrics: no object, but int); give",
        (
            ours,
            "out=empty",
        ): "error: out=empty: is a folder; give the name of a file, such as out=empty/report.html",
        (ours, "out=a.json"): "error: out=a.json: give the name of a file that ends in .html",
        (ours, "out=file/a.html"): "error: out=file/a.html: ",
        (ours, "out=/proc/none/a.html"): "error: out=/proc/none/a.html: ",
        (ours, "out=a.html", "pictures=0"): "error: pictures=0: must be a whole number from 1 to 100000",
        (ours, "out=a.html", "side=9999"): "error: side=9999: must be a whole number from 16 to 512",
        ("s3://a/b", "out=a.html"): "error: folders",
    }.items():
        code, _, err = called(report.main, *words)
        assert code == 2, words
        assert len(said(err)) == 1, err
        assert said(err)[0].startswith(line), err
    assert not (tmp_path / "a.html").exists()
    assert (tmp_path / "old.html").read_text() == "old"


@pytest.mark.parametrize("name", ["a b", "a'b", "a\\b", "a\\'b", "a\\", "lr=3", "{x}", "[1,2]", "$HOME"])
def test_folders_with_odd_names(called: Called, evaluated: Made, tmp_path: Path, name: str) -> None:
    evaluated(tmp_path / name, [("x", "", 1)])
    assert called(report.main, name, "out=report.html")[0] == 0


def opened(browser: Any, file: Path, **how: Any) -> tuple[Any, list[str]]:
    """The page in a window of its own, and what goes wrong there: errors, dialogs, requests beyond the file."""
    page, wrong = browser.new_context(**how).new_page(), []
    page.on("console", lambda message: wrong.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def requested(request: Any) -> None:
        if request.url != file.as_uri() and not request.url.startswith("data:image/webp;base64,"):
            wrong.append(f"request: {request.url[:100]}")

    page.on("request", requested)
    page.goto(file.as_uri())
    return page, wrong


def test_the_gallery_in_a_browser(browser: Any, called: Called, two: Path, tmp_path: Path) -> None:
    assert called(report.main, f"{two}/ours", f"{two}/theirs", "out=report.html")[0] == 0
    page, wrong = opened(browser, tmp_path / "report.html", viewport={"width": 1280, "height": 900})
    pictures, status = page.locator("#gallery button.picture"), page.locator("#gallery [role=status]")
    assert pictures.count() == 23
    assert page.locator("#gallery .none").count() == 3, "what only one has"
    last = page.locator("#extremes-here img").last
    assert last.get_attribute("src") is None, "decoded when it comes into view"
    last.scroll_into_view_if_needed()
    page.wait_for_function("node => node.naturalWidth > 0", arg=last.element_handle())
    assert page.locator("#gallery img").first.get_attribute("alt") == "prompt 0 of 12"
    assert page.locator("#gallery h3").all_text_contents() == list(CATEGORIES)

    at = "[document.activeElement.dataset.system, document.activeElement.dataset.pair].join()"
    page.keyboard.press("j")
    assert page.evaluate(at) == "0,0"
    page.keyboard.press("j")
    assert page.evaluate(at) == "1,0"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("Number(document.activeElement.dataset.pair)") > 1
    page.keyboard.press("ArrowUp")
    page.keyboard.press("k")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    large = page.locator("dialog[open]")
    first = large.locator("h2").text_content()
    assert large.locator(".figures > figure").count() == 2, "both systems"
    assert large.locator(".stages img").count() == 1, "the stage before"
    assert large.locator("tbody tr").count() == 2, "scores"
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert large.locator("h2").text_content() != first
    page.screenshot(path=tmp_path / "large.png")
    page.keyboard.press("Escape")
    assert large.count() == 0
    assert page.evaluate("document.activeElement.matches('#gallery button.picture')")
    tabbed = page.locator('#gallery button.picture[tabindex="0"]')
    assert tabbed.count() == 1, "one stop for Tab"

    page.locator("#category").select_option("1")
    assert status.text_content() == "4 prompts (each with its seed), Counting"
    page.locator("#category").select_option("")
    page.locator("#order").select_option("highest")
    assert page.locator("#gallery .prompt").first.text_content() == "prompt 11 of 12"
    page.locator("#search").fill("no such prompt")
    assert status.text_content().startswith("Nothing fits")
    page.locator("#search").fill("")
    page.locator("#order").select_option("suite")
    page.locator("#both").check()
    assert status.text_content().startswith("10 prompts")
    strips = page.locator("#extremes-here .system").first.locator(".strip")
    assert strips.locator(".chosen").all_text_contents()[:4] == ["1.1", "1", "0.9", "0.8"]
    page.locator("#extreme-score").select_option("1")
    assert strips.locator("h4").first.text_content() == "Best (lowest)"
    assert wrong == []


def test_ties_are_said_in_a_browser(browser: Any, called: Called, right: Path, tmp_path: Path) -> None:
    assert called(report.main, f"{right}/half", f"{right}/most", "out=report.html")[0] == 0
    page, wrong = opened(browser, tmp_path / "report.html", viewport={"width": 1280, "height": 900})
    assert page.locator("#score option").all_text_contents() == ["scene", "color"], "the whole first"
    assert page.locator("#extremes-here h4").all_text_contents()[-3:] == [
        "Best (highest): 4 of 21 on this page with 1",
        "In the middle: 4 of 21 on this page with 1",
        "Worst (lowest)",
    ]
    page.locator("#extreme-score").select_option("1")
    assert (
        page.locator("#extremes-here p").all_text_contents()
        == ["All 24 pictures on this page have 1: none is better or worse."] * 2
    )
    assert page.locator("#extremes-here h4").count() == 0
    lines = page.locator("#differences .paired tbody tr")
    assert lines.count() == 1
    assert lines.nth(0).get_attribute("class") == "told"
    assert wrong == []


def test_fronts_and_grids_in_a_browser(browser: Any, called: Called, sweep: Path, tmp_path: Path) -> None:
    assert called(report.main, str(sweep), "out=report.html")[0] == 0
    page, wrong = opened(browser, tmp_path / "report.html", viewport={"width": 1280, "height": 900})
    front = page.locator("#fronts-here")
    assert front.locator("path.line:not(.swatch path)").count() == 2
    assert front.locator("text.point").all_text_contents() == ["1", "2", "10"] * 2, "in the order of guidance"
    assert front.locator("path.bar").count() == 6, "only one of the two has intervals"
    assert front.locator(".legend bdi").all_text_contents() == ["threshold dynamic", "threshold static"]
    assert "fid 22 (21 to 24)" in front.locator("circle title").nth(1).text_content()
    page.locator("#x-0").select_option("fid")
    assert front.locator("path.bar").count() == 12
    grid = page.locator("#grids-here")
    assert grid.locator("thead th").all_text_contents() == [
        "prompt",
        "guidance 1",
        "guidance 2",
        "guidance 10",
    ]
    assert grid.locator("tbody tr").count() == 4
    assert grid.locator("tbody button.picture").count() == 12
    page.locator("#by-0").select_option("threshold")
    heads = grid.locator("thead th").all_text_contents()
    assert heads == ["prompt", "threshold dynamic", "threshold static"]
    assert wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(
    browser: Any, called: Called, evil: Path, two: Path, sweep: Path, tmp_path: Path, scheme: str
) -> None:
    """Also of hostile folders: nothing is wider than the screen, and nothing of them runs."""
    for name, folders in {
        "evil": sorted(evil.iterdir()),
        "two": sorted(two.iterdir()),
        "sweep": [sweep],
    }.items():
        assert called(report.main, *map(str, folders), f"out={name}.html")[0] == 0
        phone = {
            "viewport": {"width": 360, "height": 740},
            "is_mobile": True,
            "has_touch": True,
            "color_scheme": scheme,
        }
        page, wrong = opened(browser, tmp_path / f"{name}.html", **phone)
        for opening in page.locator("details:not([open]) summary").all():
            opening.tap()
        assert page.evaluate("document.documentElement.scrollWidth") == 360, name
        page.locator("#gallery button.picture").first.tap()
        assert page.locator("dialog[open] h2").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") == 360, name
        page.screenshot(path=tmp_path / f"{name}-{scheme}.png")
        assert page.evaluate("window.hacked") is None
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(23, 24, 26)"
        assert dark == (scheme == "dark")
        assert wrong == []
