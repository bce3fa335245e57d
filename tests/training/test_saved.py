"""A checkpoint that is damaged, not ours or unfit to go on from is one line that names it, and is left as it is."""

import errno
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from imagen.training.saved import read_checkpoint
from imagen.training.sharded import write


class Trap:
    """Unpickled, it makes a file: the proof that something ran."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple:
        return Path.touch, (self.made,)


def one_line(error: BaseException, path: Path) -> str:
    text = str(error)
    assert text.startswith(str(path))
    assert len(text.splitlines()) == 1
    assert len(text) < 400 + len(str(path))
    assert "weights_only" not in text
    return text


def flipped(whole: bytes, plain: Any) -> bytes:
    """The file with a bit of its weights changed."""
    tensor = next(t for t in plain.checkpoint["ema"]["weights"].values() if t.ndim == 2)
    at = whole.index(tensor.numpy().tobytes()) + 40
    return whole[:at] + bytes([whole[at] ^ 64]) + whole[at + 1 :]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    os.mkfifo(path)
    with pytest.raises(ValueError, match="no plain file") as caught:
        read_checkpoint(path)
    one_line(caught.value, path)
    write(tmp_path / "step-00000008", {}, {}, 0, 1)
    (tmp_path / "step-00000008/plain.ckpt").unlink()
    os.mkfifo(tmp_path / "step-00000008/plain.ckpt")
    path.unlink()
    path.symlink_to("step-00000008")
    with pytest.raises(ValueError, match=r"step-00000008/plain.ckpt: missing or damaged \(no plain file\)"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole, _: b"",
        lambda whole, _: b"\0" * len(whole),
        lambda whole, _: whole[: len(whole) // 2],
        lambda whole, _: b"PK\x03\x04" + whole[50:],
        flipped,
        lambda whole, _: pickle.dumps({"a": 1}),
        lambda whole, _: b"hello",
    ],
)
def test_a_damaged_file(plain_run: Any, fit: Any, tmp_path: Path, damage: Callable) -> None:
    whole = plain_run.folder.checkpoint.read_bytes()
    path = tmp_path / "checkpoints/last.ckpt"
    path.parent.mkdir()
    path.write_bytes(damage(whole, plain_run))
    for read in (lambda: read_checkpoint(path), lambda: fit(tmp_path, "trainer.max_steps=20")):
        with pytest.raises(ValueError, match="refused: damaged or cut off") as caught:
            read()
        one_line(caught.value, path)
    assert path.read_bytes() == damage(whole, plain_run)
    assert os.listdir(tmp_path) == ["checkpoints"]


def test_a_pickle_does_not_run(tmp_path: Path) -> None:
    made, path = tmp_path / "it-ran", tmp_path / "last.ckpt"
    torch.save({"imagen": Trap(made)}, path)
    with pytest.raises(ValueError, match="refused: it holds more than tensors") as caught:
        read_checkpoint(path)
    one_line(caught.value, path)
    assert not made.exists()


def nan(tensors: dict[str, torch.Tensor]) -> None:
    next(iter(tensors.values())).view(-1)[0] = float("nan")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: [1], "it holds list"),
        (lambda c: c.pop("ema"), "it has no ema"),
        (lambda c: c["ema"].update(weights=5), "ema has no weights"),
        (lambda c: c["ema"]["weights"].update({"stem.bias": 5}), "ema.weights: stem.bias is not a tensor"),
        (
            lambda c: c["ema"]["weights"].pop("stem.bias"),
            "EMA weights do not fit the network: missing: stem.bias",
        ),
        (lambda c: nan(c["ema"]["weights"]), "EMA weights: .*NaN"),
        (lambda c: c.update(imagen=5), "it has no imagen"),
        (lambda c: c["imagen"].pop("network"), "imagen has no network"),
        (lambda c: c["imagen"]["network"].update(width=7), "another stage: network.width was 7 and is"),
        (lambda c: c["state_dict"].popitem(), "state_dict do not fit the network: missing"),
        (lambda c: nan(c["state_dict"]), "state_dict: .*NaN"),
        (lambda c: c.pop("global_step"), "it has no global_step"),
        (lambda c: c.pop("optimizer_states"), "no state of the optimizer"),
        (lambda c: c.update(optimizer_states=[]), "no state of the optimizer"),
        (lambda c: c.update(loops=3), "no state of the optimizer"),
    ],
)
def test_what_training_cannot_go_on_from(
    plain_run: Any, fit: Any, tmp_path: Path, change: Callable, words: str
) -> None:
    checkpoint = plain_run.checkpoint
    changed = change(checkpoint)
    path = tmp_path / "checkpoints/last.ckpt"
    path.parent.mkdir()
    torch.save(changed if changed == [1] else checkpoint, path)
    with pytest.raises(ValueError, match=words) as caught:
        fit(tmp_path, "trainer.max_steps=20")
    one_line(caught.value, path)
    assert os.listdir(tmp_path) == ["checkpoints"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("trainer.accelerator=gpu", "trainer.accelerator=gpu .*not to be had on this machine"),
        ("trainer.accelerator=foo", "trainer.accelerator=foo"),
        ("trainer.devices=x", "trainer.devices=x"),
        ("trainer.strategy=foo", "trainer.strategy=foo"),
        ("trainer.precision=7", "trainer.precision=7"),
    ],
)
def test_a_machine_without_it_is_one_line(fit: Any, tmp_path: Path, given: str, words: str) -> None:
    if torch.cuda.is_available() and "gpu" in given:
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match=words) as caught:
        fit(tmp_path, given)
    assert len(str(caught.value).splitlines()) == 1
    assert not os.listdir(tmp_path)


def test_a_disk_that_is_full_is_named_and_the_last_checkpoint_stays(
    fit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(tmp_path, "trainer.max_steps=2")
    path = tmp_path / "checkpoints/last.ckpt"
    whole = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(ValueError, match=r"step 4 could not be saved \(No space left on device\)") as caught:
        fit(tmp_path, "trainer.max_steps=4")
    one_line(caught.value, path)
    assert path.read_bytes() == whole
