"""imagen-train on a server that goes away while it reads, and comes back."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from imagen.programs import train as program


def test_a_run_whose_server_went_away_is_the_one_whose_server_stayed(
    server: Any,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def train(name: str) -> int:
        words = ["experiment=toy", f"name={name}", f"runs={tmp_path}", f"data.train={server.url}/pictures"]
        words += ["data.window=1", "data.cache.tries=1", f"data.cache.folder={tmp_path}/cache-{name}"]
        words += ["previews=none", "trainer.progress=false", "trainer.save_every=1000"]
        monkeypatch.setattr(sys, "argv", ["imagen-train", *words])
        try:
            program.main()
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    def checkpoint(name: str) -> dict[str, Any]:
        return torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)

    assert train("stayed") == 0
    last = [path for path in server.asked if "/train-" in path and path.endswith(".tar")][-1]
    server.faults[last] = [503]
    capsys.readouterr()
    assert train("left") == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1, said
    assert f"{last[1:]}: the server says 503" in said[0]
    assert 1 <= checkpoint("left")["global_step"] < 10, "what was trained is kept, though no save was due"
    assert train("left") == 0
    stayed, left = checkpoint("stayed"), checkpoint("left")
    assert left["global_step"] == stayed["global_step"] == 10
    for part in ("state_dict", "ema"):
        torch.testing.assert_close(left[part], stayed[part], rtol=0, atol=0)
    assert left["Shards"] == stayed["Shards"], "the data stand at the same pair"
