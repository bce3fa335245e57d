"""The protocols over photographs and their captions, with small random networks of the real kinds."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from imagen.data.sources.table import Table
from imagen.evaluation.metrics.frechet import frechet_distance
from imagen.evaluation.metrics.transformer import CLIP, DINOv2
from imagen.evaluation.protocols.protocol import Captions, Photographs
from imagen.programs import evaluate as program


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 24 pictures of several sizes with two captions each."""
    folder = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(0)
    rows = ["path\tcaptions"]
    for i in range(24):
        pixels = random.integers(0, 256, (4, 4 + i % 3, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((40 + i, 48)).save(folder / f"{i}.png")
        rows.append(f"{i}.png\tpicture {i} ||| the other {i}")
    (folder / "all.tsv").write_text("\n".join(rows) + "\n")
    return folder / "all.tsv"


def test_captions_are_drawn_at_random_one_of_each_picture_first(photographs: Path) -> None:
    protocol = Captions(Table(photographs), "coco10k", 10_000, ["fid"], resolution=16)
    rows = protocol.wanted(30, seed=0)
    numbers = [int(row.prompt.split()[-1]) for row in rows]
    assert sorted(numbers[:24]) == list(range(24))
    assert numbers[:24] != sorted(numbers[:24])
    assert max(Counter(numbers).values()) == 2
    assert len({row.prompt for row in rows}) == 30
    assert {row.prompt.split()[0] for row in rows[:24]} == {"picture", "the"}
    assert protocol.wanted(12, 0) == rows[:12], "fewer are the first"
    assert [row.prompt for row in protocol.wanted(24, 1)] != [row.prompt for row in rows[:24]]
    with pytest.raises(ValueError, match=r"count=49: the source has 48 different captions"):
        protocol.wanted(49, 0)


def test_the_original_of_a_caption_is_its_photograph(photographs: Path) -> None:
    protocol = Captions(Table(photographs), "coco10k", 10_000, ["fid"], resolution=16)
    rows = protocol.wanted(30, seed=0)
    every = protocol.reference().pictures(0, 24, 16)
    for row, picture in zip(rows, protocol.originals(rows, 16)):
        assert np.array_equal(picture, every[int(row.prompt.split()[-1])])


def test_the_reference_is_every_photograph_in_its_middle_square(photographs: Path) -> None:
    reference = Photographs(Table(photographs))
    assert len(reference) == 24
    found = reference.pictures(0, 24, 16)
    assert found.shape == (24, 16, 16, 3)
    assert np.array_equal(found[5:7], reference.pictures(5, 7, 16))


def test_sets_and_pairs_are_measured_by_local_networks(
    called: Any, toy_release: Path, photographs: Path, folders: dict[str, Path], tmp_path: Path
) -> None:
    """FD-DINOv2, CMMD, CLIP score of sampled pictures: equal to the measures of the features themselves."""
    words = [
        f"release={toy_release}",
        "protocol=coco10k",
        "source=table",
        f"source.path={photographs}",
        "count=22",
    ]
    words += ["protocol.resolution=16", "metrics=[fd_dinov2,cmmd,clip]", f"weights.clip={folders['clip']}"]
    words += [
        f"weights.dinov2={folders['dinov2']}",
        "block=8",
        "devices=[cpu]",
        "progress=false",
        f"out={tmp_path}/out",
    ]
    code, _, err = called(program.main, *words)
    assert code == 0, err
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert set(result["metrics"]) == {"fd_dinov2", "cmmd", "clip", "clip.wins"}
    assert result["reference"]["count"] == 24
    assert "22 pictures, not the protocol's 10000; biased upward" in result["metrics"]["fd_dinov2"]["note"]
    from imagen.evaluation.protocols.blocks import Blocks
    from imagen.evaluation.protocols.protocol import Captions

    rows = Captions(Table(photographs), "coco10k", 10_000, [], 16).wanted(22, 0)
    made = np.concatenate([block.last for block in Blocks(tmp_path / "out/pictures", rows, 8).every()])
    real = Photographs(Table(photographs)).pictures(0, 24, 16)
    dino, clip = DINOv2(folders["dinov2"]), CLIP(folders["clip"])
    as_tensor = [torch.from_numpy(p.copy()).permute(0, 3, 1, 2) for p in (real, made)]
    expected = frechet_distance(dino(as_tensor[0]), dino(as_tensor[1]))
    assert result["metrics"]["fd_dinov2"]["value"] == pytest.approx(expected, rel=1e-3)
    image, text = clip(as_tensor[1]), clip.text([row.prompt for row in rows])
    cosine = torch.cosine_similarity(image.double(), text.double())
    assert result["metrics"]["clip"]["value"] == pytest.approx(
        float(100 * cosine.clamp(min=0).mean()), rel=1e-3
    )


def test_real_photographs_and_captions(called: Any, shared: Path, toy_release: Path, tmp_path: Path) -> None:
    words = [
        f"release={toy_release}",
        "protocol=coco30k",
        "source=table",
        f"source.path={shared}/photos/coco_cc.tsv",
    ]
    words += [
        "count=20",
        "metrics=[pixels]",
        "steps=1",
        "devices=[cpu]",
        "progress=false",
        f"out={tmp_path}/out",
    ]
    words += ["protocol.resolution=16"]
    code, _, err = called(program.main, *words)
    assert code == 0, err
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert result["reference"]["count"] == 111
    assert result["protocol"]["count"] == 30_000
    assert "20 pictures, not the protocol's 30000" in result["metrics"]["pixels"]["note"]


def test_drawbench(
    called: Any, shared: Path, toy_release: Path, tmp_path: Path, folders: dict[str, Path]
) -> None:
    words = [
        f"release={toy_release}",
        "protocol=prompts",
        f"protocol.path={shared}/prompts/drawbench.csv",
        "steps=1",
    ]
    words += [
        "metrics=[clip]",
        f"weights.clip={folders['clip']}",
        "devices=[cpu]",
        "progress=false",
        f"out={tmp_path}/out",
    ]
    code, _, err = called(program.main, *words)
    assert code == 0, err
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert result["pictures"]["count"] == 200
    assert len(result["by_category"]) == 11
    assert result["suite"]["count"] == 200


def test_real_pictures_are_known_by_their_files(called: Any, photographs: Path, tmp_path: Path) -> None:
    """Features of real pictures, kept for several evaluations, are none of others of the same names; one that cannot be read is no
    reason to compare with fewer."""
    made, real = tmp_path / "made", tmp_path / "real"
    for folder in (made, real):
        folder.mkdir()
        for i in range(4):
            pixels = np.random.default_rng(i).integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
            (folder / f"{i}.txt").write_text(f"picture {i}")
    asked = [f"images={made}", "protocol=coco10k", "source=folder", f"source.path={real}", "metrics=[pixels]"]
    asked += [
        "count=4",
        "protocol.resolution=16",
        f"reference_features={tmp_path / 'shared'}",
        "progress=false",
    ]

    def distance(out: str) -> float:
        code, _, err = called(program.main, *asked, f"out={tmp_path / out}")
        assert code == 0, err
        return json.loads((tmp_path / out / "result.json").read_text())["metrics"]["pixels"]["value"]

    assert distance("same") == pytest.approx(0, abs=1e-6)
    Image.new("RGB", (16, 16)).save(real / "1.png")
    assert distance("other") > 1
    (real / "1.png").write_bytes(b"none")
    code, _, err = called(program.main, *asked, f"out={tmp_path / 'broken'}")
    assert code == 2
    assert "a real picture cannot be read" in err
    assert "1.png" in err
