"""Small pictures out of shards, and what is said of those that are damaged."""

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagen.data.pictures import png
from imagen.evaluation.report.thumbnails import Thumbnail, thumbnails

Made = Callable[..., Path]
ROWS = [("a red circle", "Colors", 1), ("two stars", "Counting", 2), ("x", "", 3)]
ASKED = {f"{i:08d}": row[0] for i, row in enumerate(ROWS)}


def small(folder: Path, **how: int) -> tuple[dict[str, Thumbnail], list[str], int]:
    """Those of `folder`, the problems, and how many were told."""
    told: list[int] = []
    given = {"side": 64, "most": 10_000, "stages": 10, **how}
    found, problems = thumbnails(folder, ASKED, told=lambda: told.append(1), **given)
    return found, problems, len(told)


def size(data: bytes) -> tuple[int, int]:
    """Of a WebP."""
    image = Image.open(io.BytesIO(data))
    assert image.format == "WEBP"
    return image.size


def tar(path: Path, **members: bytes) -> None:
    """A shard of these members, of which __ is a point."""
    with tarfile.open(path, "w") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("__", "."))
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))


def test_they_are_small_and_have_their_stages(evaluated: Made, tmp_path: Path) -> None:
    found, problems, told = small(
        evaluated(tmp_path / "a", ROWS, side=128, stages=("base64", "Odd-1")), stages=2
    )
    assert (problems, told) == ([], 3)
    assert list(found) == list(ASKED)
    first, _, last = found.values()
    assert (size(first.data), first.size) == ((64, 64), (128, 128))
    assert {name: (size(s.data), s.size) for name, s in first.stages.items()} == {
        "base64": ((64, 64), (64, 64)),
        "odd-1": ((64, 64), (64, 64)),
    }
    assert last.stages == {}


def test_small_pictures_stay_as_they_are(evaluated: Made, tmp_path: Path) -> None:
    found, _, _ = small(evaluated(tmp_path / "a", ROWS, side=16))
    picture = np.asarray(Image.open(io.BytesIO(found["00000000"].data)))
    assert picture.shape == (16, 16, 3)


def test_a_picture_of_noise_is_made_small_enough(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    tar(tmp_path / "pictures/0.tar", **{"00000000__png": png(noise)})
    loose, tight = (small(tmp_path, side=160, most=most)[0]["00000000"] for most in (10**6, 9000))
    assert len(tight.data) < 9000 < len(loose.data)


def test_what_is_damaged_is_named_and_the_rest_shown(evaluated: Made, tmp_path: Path) -> None:
    folder = evaluated(tmp_path / "a", ROWS, shard=1)
    shards = sorted((folder / "pictures").iterdir())
    shards[1].write_bytes(b"no tar at all" * 1000)
    found, problems, _ = small(folder)
    assert list(found) == ["00000000", "00000002"]
    assert problems[0].startswith("pictures/000001.tar: ")
    assert problems[1:] == ["1 of 3 pictures are in no shard"]
    content = shards[0].read_bytes()
    shards[0].write_bytes(content[:600])
    found, problems, _ = small(folder)
    assert list(found) == ["00000002"]
    assert problems[0].startswith("pictures/000000.tar: ")


def test_hostile_members(tmp_path: Path) -> None:
    """None leaves the folder, starts anything, or is taken for another picture."""
    place = tmp_path / "pictures"
    place.mkdir()
    bomb = io.BytesIO()
    Image.new("1", (9000, 9000)).save(bomb, "PNG")
    fine, evil = png(np.zeros((8, 8, 3), np.uint8)), json.dumps({"prompt": "another"}).encode()
    tar(place / "0.tar", **{"00000000__png": bomb.getvalue()})
    tar(place / "1.tar", **{"00000001__png": fine, "00000001__json": evil})
    tar(place / "2.tar", **{"00000002__png": b"<svg onload='window.hacked=1'>", "../../00000009__png": fine})
    os.mkfifo(place / "3.tar")
    (place / "4.tar").symlink_to("/etc/passwd")
    found, problems, _ = small(tmp_path)
    assert found == {}
    assert problems == [
        "pictures/3.tar: not a file",
        "pictures/4.tar: a link that leads out of the folder",
        "1 picture not shown (too large), the first: 0.tar/00000000: 9000 x 9000 pixels",
        "1 picture not shown (of another prompt), the first: 1.tar/00000001: its .json has another prompt than per_prompt.jsonl",
        "1 picture not shown (unreadable image), the first: 2.tar/00000002: not a picture",
    ]


@pytest.mark.parametrize("there", [False, True])
def test_no_pictures(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    if there:
        (folder / "pictures").symlink_to(tmp_path)
    line = (
        "pictures: a link that leads out of the folder"
        if there
        else "no folder pictures: there is nothing to show"
    )
    assert small(folder) == ({}, [line], 0)
