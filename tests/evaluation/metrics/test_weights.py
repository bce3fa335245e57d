"""Weights come from where a person put them, whole, sound and without code, or an error says what to put where."""

import os
import pickle
from pathlib import Path

import pytest
import torch

from imagen.evaluation.metrics.weights import checked_file, load_strictly, offline, read_tensors
from imagen.text.weights import sha256


def test_a_file_is_hashed_and_checked(tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    file.write_bytes(b"12")
    assert checked_file(file, None, "x.weights", "w.pth") == (file, sha256(file))
    assert checked_file(str(file), sha256(file), "x.weights", "w.pth")[0] == file
    with pytest.raises(
        ValueError, match=r"x\.weights=.*: sha256 [0-9a-f]{64}, not 00; put w\.pth of somewhere there"
    ):
        checked_file(file, "00", "x.weights", "w.pth of somewhere")
    with pytest.raises(
        ValueError, match=r"no such file; put w there .any sha256; it is recorded.*nothing is down"
    ):
        checked_file(tmp_path / "none", None, "x.weights", "w")


def test_strict_loading() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    state = {k: torch.full_like(v, 2) for k, v in module.state_dict().items()}
    load_strictly(module, {k: v for k, v in state.items() if "num_batches" not in k}, "w")
    assert torch.equal(module.state_dict()["0.weight"], state["0.weight"])
    for change, said in [
        ({"0.weight": torch.zeros(2, 4)}, r"w: missing, unknown or of another shape: 0\.weight"),
        ({"0.bias": torch.full((2,), torch.nan)}, r"w: 0\.bias holds NaN"),
        ({"more": torch.zeros(1)}, "another shape: more"),
    ]:
        with pytest.raises(ValueError, match=said):
            load_strictly(module, state | change, "w")
    with pytest.raises(ValueError, match=r"another shape: 0\.bias"):
        load_strictly(module, {"0.weight": state["0.weight"]}, "w")


class Evil:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


def test_a_file_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    file, target = tmp_path / "w.pth", tmp_path / "made by code"
    torch.save({"w": Evil(target)}, file)
    evil = file.read_bytes()
    for content in (evil, pickle.dumps(Evil(target)), b"no weights", b""):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="cannot be read as tensors"):
            read_tensors(file, "x.weights")
        assert not target.exists()
    torch.save([1, 2], file)
    with pytest.raises(ValueError, match="holds no state dict"):
        read_tensors(file, "x.weights")


def test_offline_is_for_its_block_alone() -> None:
    from huggingface_hub import constants

    before, switch = os.environ.get("HF_HUB_OFFLINE"), constants.HF_HUB_OFFLINE
    with offline():
        assert constants.HF_HUB_OFFLINE
        assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert (os.environ.get("HF_HUB_OFFLINE"), constants.HF_HUB_OFFLINE) == (before, switch)
