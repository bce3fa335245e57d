"""The numbers of data sets whose content is known, down to what is broken in them."""

import io
import json
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from imagen.data.inspect.inspection import inspect
from imagen.data.inspect.problems import problems
from imagen.data.inspect.wording import described, wording, words_of
from imagen.data.pictures import png
from imagen.data.prepare.embedding import embed
from imagen.data.prepare.preparing import prepare
from imagen.data.sources.shapes import Shapes
from imagen.data.sources.table import Table
from imagen.files import printable
from imagen.text import HashedWords


def picture(number: int, height: int = 8, width: int = 8) -> bytes:
    return png(np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8))


def write_tar(path: Path, pairs: Sequence[tuple[str, dict[str, bytes]]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for key, members in pairs:
            for extension, data in members.items():
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def report(where: Path | str, **how: Any) -> dict[str, Any]:
    return inspect(where, **{"resolution": 4, **how}).report


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes") / "F"
    prepare(Shapes(count=40, resolution=8, captions=2, held_out=5), folder, shard_size=20)
    embed(folder, [HashedWords(8, 16)])
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six training pictures 8 high and 8, 8, 16, ... wide, of which the second is the first again; one of them is in
    validation too."""
    folder = tmp_path_factory.mktemp("photos")
    rows = ["path\tsplit\tcaption"]
    for number in range(6):
        (folder / f"{number}.png").write_bytes(picture(max(number, 1), width=8 if number < 2 else 8 * number))
        rows.append(f"{number}.png\ttrain\tA rose of {number} leaves")
    rows += ["3.png\tval\tthe same rose", "none.png\ttrain\tnobody"]
    (folder / "t.tsv").write_text("\n".join(rows))
    prepare(Table(folder / "t.tsv"), folder / "F", max_bad=0.5)
    return folder / "F"


def test_a_prepared_folder(shapes: Path) -> None:
    found = report(shapes)
    assert found["pairs"] == found["read"] == 55
    assert list(found["splits"]) == ["train", "test", "unseen", "unseen_relation"]
    train = found["splits"]["train"]
    index = json.loads((shapes / "index.json").read_text())["splits"]["train"]
    assert (train["pairs"], train["captions"]) == (40, index["captions"])
    assert 0 < train["bytes"] <= index["bytes"]
    assert train["shards"] == {"count": 2, "median_pairs": 20.0}
    assert train["indexed"]
    assert train["short_side"]["summary"] == {"min": 8, "median": 8, "mean": 8, "max": 8}
    assert train["below"] == {"4": 0.0, "64": 1.0, "256": 1.0, "1024": 1.0}
    assert train["shapes"] == {"portrait": 0.0, "square": 1.0, "landscape": 0.0}
    assert train["kinds"] == {"png": 40}
    assert train["wording"]["captions"] == index["captions"]
    assert train["bad"] == {}
    assert found["left_out"] == {}
    assert found["speed"]["pairs_a_second"] > 0
    assert sum(found["speed"]["shares"].values()) == pytest.approx(1, abs=0.001)
    json.dumps(found, allow_nan=False).encode()


def test_embeddings_and_what_they_would_be_padded(shapes: Path, tmp_path: Path) -> None:
    (cache,) = report(shapes)["embeddings"]
    captions = sum(s["captions"] for s in json.loads((shapes / "index.json").read_text())["splits"].values())
    assert cache["max_length"] == 16
    assert cache["padded"] == round(captions * 16 * 8 * 4 / cache["bytes"], 1)
    assert cache["missing"] == cache["errors"] == {"shards": 0, "examples": []}
    assert 3 <= cache["tokens"]["summary"]["median"] <= 16
    folder = shutil.copytree(shapes, tmp_path / "F")
    there = next(folder.glob("text/*"))
    (there / "train-000000.safetensors").unlink()
    shutil.copy(there / "test-000000.safetensors", there / "unseen-000000.safetensors")
    (cache,) = report(folder)["embeddings"]
    assert cache["missing"] == {"shards": 1, "examples": ["train-000000.tar"]}
    assert cache["errors"]["shards"] == 1
    assert "unseen-000000.safetensors was made of other captions" in cache["errors"]["examples"][0]


def test_duplicates_and_what_was_left_out(photos: Path) -> None:
    found = report(photos)
    train = found["splits"]["train"]
    assert train["pairs"] == 5, "the second is the first"
    assert found["left_out"]["exact duplicate"]["pairs"] == 1
    assert sum(part["pairs"] for part in found["left_out"].values()) == 2
    assert train["duplicates"] == {"pairs": 0, "examples": []}
    (across,) = found["across"]
    assert across["splits"] == ["train", "val"]
    assert across["pairs"] == 1
    assert across["examples"] == [["train-000000.tar train-00000003", "val-000000.tar val-00000000"]]
    assert train["aspect"]["histogram"]["counts"][-2:] == [1, 3]
    tars = report(f"{photos}/*.tar")  # whose pairs nobody dropped
    assert tars["splits"]["train"]["duplicates"]["pairs"] == 2
    assert ["train-000000.tar train-00000000", "train-000000.tar train-00000001"] in tars["splits"]["train"][
        "duplicates"
    ]["examples"]


def test_a_sample_is_drawn_by_the_seed_and_the_rest_comes_from_the_index(shapes: Path) -> None:
    def read(seed: int) -> list[tuple[str, int, int]]:
        found = inspect(shapes, 4, 16, seed)
        return [(split.name, seen.shard, seen.row) for split in found.splits for seen in split.seen]

    assert read(0) == read(0) != read(1)
    assert len(read(0)) <= 16
    assert {name for name, _, _ in read(0)} == {"train", "test", "unseen", "unseen_relation"}
    found = report(shapes, samples=16)
    assert found["splits"]["train"]["short_side"]["histogram"]["counts"][0] == 40
    assert found["splits"]["train"]["read"] < 16


def test_tars_of_others_with_everything_broken(tmp_path: Path) -> None:
    good = {"jpg": picture(1), "txt": b"a rose"}
    pairs = [
        ("good", good),
        ("cut", {"jpg": picture(2)[:60], "txt": b"a rose"}),
        ("noise", {"jpg": b"no picture", "txt": b"a rose"}),
        ("mute", {"jpg": picture(3)}),
        ("blank", {"jpg": picture(4), "json": json.dumps({"captions": ["a rose", " "]}).encode()}),
        ("half", {"jpg": picture(5), "json": b'{"caption": "\\ud800"}'}),
        ("blind", {"txt": b"a rose"}),
        ("five", {"jpeg": picture(6), "json": json.dumps({"captions": list("abcde")}).encode()}),
    ]
    write_tar(tmp_path / "a.tar", pairs)
    found = report(f"{tmp_path}/*.tar")
    train = found["splits"]["train"]
    assert (found["pairs"], train["read"], train["indexed"]) == (8, 8, False)
    assert {kind: part["pairs"] for kind, part in train["bad"].items()} == {
        "unreadable image": 2,
        "empty caption": 1,
        "missing caption": 1,
        "unreadable text": 1,
        "missing image": 1,
    }
    assert train["bad"]["unreadable text"]["examples"] == ["a.tar half: half a character"]
    assert train["captions"] == 6 + 2 + 4  # those of the last pair are known by reading it
    assert train["kinds"] == {"jpg": 2}
    assert train["captions_a_picture"]["summary"] == {"min": 1, "median": 3, "mean": 3, "max": 5}
    assert found["embeddings"] == []


def test_a_split_that_cannot_be_opened_does_not_hide_the_others(photos: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(photos, tmp_path / "F")
    (folder / "train-000000.tar").write_bytes(b"")
    found = report(folder)
    assert "train-000000.tar has 0 bytes" in found["splits"]["train"]["error"]
    assert (found["splits"]["train"]["pairs"], found["splits"]["val"]["read"]) == (0, 1)
    index = folder / "index/val-000000.json"
    index.write_text(index.read_text().replace('"sizes": [[24', '"sizes": [["x"'))
    assert "val-000000.json is damaged" in report(folder)["splits"]["val"]["error"]


@pytest.mark.parametrize("size", [10**30, -1, 0])
def test_sizes_that_no_picture_has_are_their_splits_error(photos: Path, tmp_path: Path, size: int) -> None:
    folder = shutil.copytree(photos, tmp_path / "F")
    index = folder / "index/val-000000.json"
    index.write_text(index.read_text().replace('"sizes": [[24', f'"sizes": [[{size}'))
    found = report(folder)["splits"]
    assert "val-000000.json is damaged" in found["val"]["error"]
    assert found["train"]["error"] is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_embeddings_that_are_no_numbers(shapes: Path, tmp_path: Path, value: float) -> None:
    folder = shutil.copytree(shapes, tmp_path / "F")
    path = next(folder.glob("text/*/train-000000.safetensors"))
    tensors = load_file(path)
    tensors["tokens"][:] = value
    save_file(tensors, path)
    found = report(folder)
    (cache,) = found["embeddings"]
    assert cache["errors"]["shards"] == 1
    assert "train-000000.safetensors has values that are NaN or infinite" in cache["errors"]["examples"][0]
    assert any(p.level == "serious" and "NaN or infinite" in p.what for p in problems(found))


@pytest.mark.parametrize("where", ["nowhere", "nowhere/*.tar", "."])
def test_nothing_to_look_at_is_one_line(where: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^data="):
        inspect(tmp_path / where)


def test_words_of_any_language() -> None:
    assert words_of("it's a RED-rose, 2 of 'em") == ["it's", "a", "RED", "rose", "of", "em"]
    assert words_of("हिन्दी में") == ["हिन्दी", "में"]
    assert words_of("赤い花。") == ["赤", "い", "花"]
    found = wording(["A rose", "a  ROSE", "a left rose", "\ud800"])
    assert (found["captions"], found["distinct"], found["repeated"], found["sides"]) == (4, 3, 0.25, 0.25)
    assert found["most_common_words"] == [["a", 3], ["rose", 3], ["left", 1]]
    assert found["bigrams"][0] == ["a rose", 2]
    assert found["most_common"] == [["a rose", 2]]
    assert wording([])["words"]["summary"] is None


def test_histograms_count_everything_and_text_is_plain() -> None:
    found = described([0, 1, 1.5, 2, 99], (0, 1, 2))
    assert found["histogram"] == {"edges": [0, 1, 2], "counts": [1, 2, 2]}
    assert found["summary"] == {"min": 0, "median": 1.5, "mean": 20.7, "max": 99}
    assert printable("a\0\x1b[31m\ud800") == "a\ufffd\ufffd[31m\\ud800"
    assert printable("abc", 2) == "ab…"
