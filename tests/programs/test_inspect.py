"""imagen-inspect as a person calls it: what it prints and writes, and hostile data on its page."""

import errno
import io
import json
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagen.data.pictures import png
from imagen.data.prepare.embedding import embed
from imagen.data.prepare.preparing import prepare
from imagen.data.sources.shapes import Shapes
from imagen.programs.inspect import main
from imagen.text import HashedWords

Tags = Callable[[str], list[tuple[str, dict[str, str | None]]]]
Look = Callable[..., tuple[int, list[str]]]
EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)">'


@pytest.fixture
def look(called: Callable[..., tuple[int, str, str]]) -> Look:
    """Calls it with words in tmp_path; returns the exit code and the lines it printed, or its errors."""

    def run(*words: str) -> tuple[int, list[str]]:
        code, out, err = called(main, *words)
        return code, (err if code else out).splitlines()

    return run


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "F"
    prepare(Shapes(count=1000, resolution=16, held_out=10), folder, shard_size=500)
    embed(folder, [HashedWords(8, 64)])
    return folder


def test_a_good_folder(look: Look, tags: Tags, good: Path, tmp_path: Path) -> None:
    code, said = look(f"data={good}", "out=page", "samples=100", "resolution=16")
    assert code == 0
    assert said[0].startswith("train: 1,000 pairs, 1,000 captions, ")
    assert "read 100 of 1,030 pairs: page/index.html" in said
    assert said[-2:] == ["1 note: on the page alone", "no problem found"]
    assert sorted(path.name for path in (tmp_path / "page").iterdir()) == [
        "index.html",
        "inspect.json",
        "sheet.png",
    ]
    report = json.loads((tmp_path / "page/inspect.json").read_text())
    assert report["splits"]["train"]["pairs"] == 1000
    assert {problem["level"] for problem in report["problems"]} <= {"note"}
    page = (tmp_path / "page/index.html").read_text()
    seen = tags(page)
    pictures = [attributes["src"] or "" for tag, attributes in seen if tag == "img"]
    assert len(pictures) == 48
    assert all(source.startswith("data:image/jpeg;base64,") for source in pictures)
    assert not re.search(r"https?://|@import|url\(", page)
    assert "Of 1,030 pairs 100 were read" in page
    assert len(report["problems"]) == page.count('class="problem note"') == 1
    assert "No problem found, 1 note. Of 1,030 pairs" in page
    assert Image.open(tmp_path / "page/sheet.png").size == (6 * 168, 8 * 236)


def test_the_same_seed_makes_the_same_sheet(look: Look, good: Path, tmp_path: Path) -> None:
    sheets = []
    for out, seed in (("a", 0), ("b", 0), ("c", 1), ("a", 1)):  # the last over what is there
        assert look(f"data={good}", f"out={out}", "samples=60", f"seed={seed}")[0] == 0
        sheets.append((tmp_path / out / "sheet.png").read_bytes())
    assert sheets[0] == sheets[1] != sheets[2] == sheets[3]


def test_hostile_data(look: Look, tags: Tags, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    rows = {
        EVIL: [EVIL],
        "long": ["rose " * 2000, "x" * 10_000],
        "half": ["a \\ud83d character"],
        "bidi": ["\u202eesrever", "\x1b[31mred\x07", "赤い花", "हिन्दी में"],
        "deep": [f"rose {n}" for n in range(100)],
        "wide": ["nothing broken"],
    }
    with tarfile.open(tmp_path / "evil <b>.tar", "w") as tar:
        for number, (key, captions) in enumerate(rows.items()):
            words = json.dumps({"captions": captions, EVIL: {EVIL: [EVIL, "\u202e", 1e400]}}).replace(
                "\\\\ud", "\\ud"
            )
            picture = noise if key != "wide" else noise[:1]
            for kind, data in {"png": png(np.roll(picture, number)), "json": words.encode()}.items():
                info = tarfile.TarInfo(f"{key.replace('/', '|')}.{kind}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        info = tarfile.TarInfo("broken<i>.png")
        tar.addfile(info, io.BytesIO(b""))
    code, said = look("data=evil*.tar", "out=page")
    assert code == 0
    assert said[-1].startswith("serious: ")
    assert not re.search("[\x00-\x08\x0b-\x1f]", "".join(said))
    page = (tmp_path / "page/index.html").read_text(encoding="utf-8")
    seen = tags(page)
    assert "script" not in {tag for tag, _ in seen}
    assert not any(name.startswith("on") for _, attributes in seen for name in attributes)
    assert {tag for tag, _ in seen} & {"b", "i"} == {"b", "i"}  # the page's own: bars, titles
    assert "&lt;script&gt;" in page
    assert "x" * 1001 not in page
    assert "and 88 more" in page
    json.loads((tmp_path / "page/inspect.json").read_text(encoding="utf-8"))
    bad = json.loads((tmp_path / "page/inspect.json").read_text())["splits"]["train"]["bad"]
    assert {kind: part["pairs"] for kind, part in bad.items()} == {
        "unreadable text": 1,
        "unreadable image": 1,
    }


def test_nothing_usable_still_makes_a_page(look: Look, tags: Tags, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("a.png"), io.BytesIO(b""))
    code, said = look("data=a.tar", "out=page")
    assert code == 0
    assert said[-1].startswith("serious: 100% of the pairs of train that were read cannot be used")
    tags((tmp_path / "page/index.html").read_text())


def test_what_is_wrong_is_said_in_one_line(look: Look, good: Path, tmp_path: Path) -> None:
    for words, line in {
        ("out=page",): "error: no value for data.path: give data.path=...",
        ("data=nowhere", "out=page"): "error: data=nowhere matches no shards: give a folder",
        ("data=.", "out=page"): "error: data=. has no index.json: write it with imagen-prepare",
        (f"data={good}", "out=page", "samples=0"): "error: samples=0: must be a whole number, at least 1",
        (
            f"data={good}",
            "out=page",
            "resolution=x",
        ): "error: resolution=x: must be a whole number from 1 to 8192",
        (
            f"data={good}",
            "out=page",
            "resolution=100000",
        ): "error: resolution=100000: must be a whole number from 1",
        (
            f"data={good}",
            "out=page",
            f"resolution={10**20}",
        ): "error: resolution=100000000000000000000: must be a wh",
        (f"data={good}", "out=http://h/x"): "error: out=http://h/x: must be a path on a disk of this machine",
        (
            "data='pipe:cat a.tar'",
            "out=page",
        ): "error: data=pipe:cat a.tar: runs a shell command: give cache.pipes=true",
        (f"data={good}", "out=page", "seeds=3"): "error: seeds: no such setting; did you mean seed?",
    }.items():
        code, said = look(*words)
        assert (code, len(said)) == (2, 1)
        assert said[0].startswith(line)
    assert not (tmp_path / "page").exists()


def test_a_command_that_was_allowed_is_looked_at(look: Look, good: Path, tmp_path: Path) -> None:
    tar = good / "test-000000.tar"
    code, said = look(f"data='pipe:cat {tar}'", "out=page", "cache.pipes=true", "cache.folder=copies")
    assert code == 0
    assert said[0].startswith("train: 10 pairs, ")
    assert list((tmp_path / "copies").glob("*.tar")) or list((tmp_path / "copies").iterdir())


@pytest.mark.parametrize("at", [".index.html", ".sheet.png", ".inspect.json"])
def test_a_full_disk_leaves_the_page_as_it_was(
    look: Look, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    assert look(f"data={good}", "out=page", "samples=50")[0] == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "page").iterdir()}
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name.startswith(at):
            write(path, data[:5])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    code, said = look(f"data={good}", "out=page", "samples=60", "seed=3")
    assert code == 2
    assert re.fullmatch(
        r"error: out=page: the disk is full \(.* free\): make room, or give another out=.*", said[-1]
    )
    assert {path.name: path.read_bytes() for path in (tmp_path / "page").iterdir()} == before


def test_names_that_no_split_has_are_refused(look: Look, good: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(good, tmp_path / "F")
    index = json.loads((folder / "index.json").read_text())
    splits = index["splits"]
    splits["\x1b[31mred\nno problem found \ud800"] = splits.pop("train")
    (folder / "index.json").write_text(json.dumps(index))
    code, said = look("data=F", "out=page", "samples=50")
    assert code == 2
    assert said[-1].startswith("error: F/index.json is damaged")
    assert not re.search("[\x00-\x08\x0b-\x1f]", "".join(said))


def test_help(look: Look) -> None:
    said = "\n".join(look("--help")[1])
    for word in ("imagen-inspect data=FOLDER out=FOLDER2", "resolution", "sheet.png", "no network"):
        assert word in said
