"""Shared by all tests: no network, few threads, toy sizes."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

# before torch and transformers are imported: tests are offline, and on a busy machine W&B's process may begin late
os.environ.update(
    HF_HUB_OFFLINE="1", WANDB_MODE="offline", WANDB_SILENT="true", TOKENIZERS_PARALLELISM="false"
)
os.environ.update(WANDB_X_SERVICE_WAIT="300", WANDB_INIT_TIMEOUT="300")

import pytest

Tags = Callable[[str], list[tuple[str, dict[str, str | None]]]]
Called = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photos and prompt suites beside the checkout (IMAGEN_SHARED, else ../shared); skips
    when absent."""
    folder = Path(os.environ.get("IMAGEN_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(
            f"no photos and prompt suites at {folder}: set IMAGEN_SHARED to the folder that holds data/"
        )
    return folder / "data"


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Called:
    """called(main, *words): a program as a person calls it in tmp_path -> exit code, stdout, stderr."""

    def run(main: Callable[[], None], *words: str) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["imagen", *words])
        capsys.readouterr()
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        else:
            code = 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


class _Balanced(HTMLParser):
    """Collects tags; fails on one that is closed without having been opened last."""

    VOID = frozenset({"meta", "img", "br", "wbr", "polyline"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="session")
def tags() -> Tags:
    """tags(page): the tags of an HTML page with their attributes, all of which are closed in order."""

    def found(page: str) -> list[tuple[str, dict[str, str | None]]]:
        parser = _Balanced()
        parser.feed(page)
        assert not parser.open
        return parser.seen

    return found


@pytest.fixture(scope="session")
def toy_stages() -> list:
    """A base stage at 8 and a super-resolution stage from 8 to 16, as (record, weights): random weights, text
    width 12."""
    import torch

    from imagen.checkpoint import StageRecord, describe
    from imagen.diffusion import CosineSchedule, LinearSchedule
    from imagen.nn import EfficientUNet, UNet

    base = UNet(12, width=8, multipliers=[1, 2], blocks=1, attention=[False, True], head_channels=8)
    large = EfficientUNet(12, widths=[8, 16], blocks=[1, 1], attention=["none", "self"], heads=2)
    generator = torch.Generator().manual_seed(0)
    for parameter in [*base.parameters(), *large.parameters()]:
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    lowres = {"resolution": 8, "schedule": describe(CosineSchedule())}
    records = [
        StageRecord("base8", 8, "v", describe(CosineSchedule()), describe(base), steps=3),
        StageRecord("sr16", 16, "eps", describe(LinearSchedule()), describe(large), lowres, steps=4),
    ]
    return [(record, net.state_dict()) for record, net in zip(records, [base, large])]


@pytest.fixture
def toy_release(toy_stages: list, tmp_path: Path) -> Path:
    """A release folder of `toy_stages`, whose text encoder is hashed words."""
    from imagen.checkpoint import write_release
    from imagen.text import HashedWords

    encoder = HashedWords(dim=12, max_length=16)
    text = {"class": "HashedWords", "arguments": {"dim": 12, "max_length": 16}, "key": encoder.key}
    return write_release(tmp_path / "release", toy_stages, text, {"steps": 3, "guidance": [3.0, 2.0]})


@pytest.fixture(scope="session")
def evaluated() -> Callable[..., Path]:
    """evaluated(folder, rows, ...): the folder of an evaluation, as imagen-evaluate writes it. `rows`: (prompt, category,
    seed) of each picture, which is drawn from these; `side`: its pixels; `result`: keys of result.json that differ."""
    import io
    import json
    import tarfile

    import numpy as np

    from imagen.data.pictures import png

    def picture(words: str, side: int) -> bytes:
        random = np.random.default_rng(sum(words.encode("utf-8", "replace")))
        coarse = random.integers(0, 256, (4, 4, 3), np.uint8)
        return png(coarse.repeat(side // 4, 0).repeat(side // 4, 1))

    def make(
        folder: Path, rows: Any, side: int = 32, stages: Any = (), shard: int = 100, **result: Any
    ) -> Path:
        folder.mkdir(parents=True)
        (folder / "pictures").mkdir()
        lines = []
        for start in range(0, len(rows), shard):
            with tarfile.open(folder / f"pictures/{start // shard:06d}.tar", "w") as tar:
                for index, (prompt, category, seed) in enumerate(rows[start : start + shard], start):
                    key, scores = f"{index:08d}", {"clip": index / 10, "drift.sr": 1 / (1 + index)}
                    words = {"index": index, "prompt": prompt, "category": category, "seed": seed}
                    members = {
                        f"{key}.{stage}.png": picture(f"{prompt}{seed}", side // 2) for stage in stages
                    }
                    members |= {f"{key}.png": picture(f"{folder.name}{prompt}{seed}", side)}
                    members |= {f"{key}.json": json.dumps(words).encode()}
                    for name, content in members.items():
                        info = tarfile.TarInfo(name)
                        info.size = len(content)
                        tar.addfile(info, io.BytesIO(content))
                    lines.append(json.dumps({**words, "key": key, "scores": scores}))
        (folder / "per_prompt.jsonl").write_text("\n".join(lines) + "\n")
        count = len(rows)
        plain = {
            "format": 1,
            "name": folder.name,
            "protocol": {"name": "prompts", "count": count, "asked": count, "seed": 0},
            "source": {"kind": "release", "folder": f"var/{folder.name}", "sha256": "0" * 64},
            "sampling": {"base": {"guidance": 2.0, "steps": 4}},
            "suite": {"name": "drawn", "version": "1", "sha256": "1" * 64, "count": count},
            "reference": None,
            "pictures": {"count": count, "resolution": side, "sha256": "2" * 64},
            "extractors": {},
            "code": {"version": "0.1.0", "commit": "abc"},
            "metrics": {
                "clip": {"value": 0.25, "interval": [0.24, 0.26], "n": count, "note": ""},
                "fid": {"value": 31.5, "interval": [30.0, 33.0], "n": count, "note": ""},
                "drift.sr": {"value": 0.01, "interval": [0.005, 0.02], "n": count, "note": ""},
            },
            "by_category": {
                name: {"clip": {"value": 0.2, "interval": [0.1, 0.3], "n": 1, "note": ""}}
                for name in dict.fromkeys(row[1] for row in rows)
            },
            "cost": {"images_per_second": 2.5, "seconds": 8.0, "memory_gb": 1.5, "device": "cpu"},
        }
        (folder / "result.json").write_text(json.dumps({**plain, **result}))
        return folder

    return make


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, Debian's or that of playwright. Of a module, since no other event loop runs beside its own."""
    name = "playwright.sync_api"
    playwright = pytest.importorskip(name, reason="playwright is not installed: pip install playwright")
    with playwright.sync_playwright() as started:
        own = started.chromium.executable_path
        there = shutil.which("chromium") or (own if Path(own).exists() else None)
        if there is None:
            pytest.skip("no Chromium: apt-get install chromium, or playwright install chromium")
        # without a sandbox of its own: root has none, and the pages are ours
        running = started.chromium.launch(executable_path=there, args=["--no-sandbox"])
        yield running
        running.close()
