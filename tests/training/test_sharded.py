"""The folder of a sharded checkpoint: rows of several ranks, read by any number of others; nothing in it runs code."""

import pickle
from pathlib import Path

import pytest
import torch

from imagen.training.saved import read_checkpoint
from imagen.training.sharded import MARK, PLAIN, Rows, file_of, part_of, read, save, write

WHOLE = torch.arange(5 * 3, dtype=torch.float32).reshape(5, 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of three ranks: rows 2, 2 and 1 of WHOLE, and a single row that only the first has."""
    plain = {
        "step": 7,
        "state": {"w": {MARK: "/state/w", "shape": [5, 3]}, "b": [{MARK: "/state/b/0", "shape": [1]}]},
        "small": torch.tensor(3.0),
    }
    for rank, rows in enumerate(WHOLE.split(2)):
        mine = {"/state/w": rows.contiguous()} | ({"/state/b/0": torch.ones(1)} if rank == 0 else {})
        write(tmp_path / "step-7", plain, mine, rank, 3)
    return tmp_path / "step-7"


def test_the_whole_is_what_one_process_would_have_saved(folder: Path) -> None:
    found = read(folder, whole=True)
    assert torch.equal(found["state"]["w"], WHOLE)
    assert torch.equal(found["state"]["b"][0], torch.ones(1))
    assert (found["step"], float(found["small"])) == (7, 3.0)


@pytest.mark.parametrize("start", range(6))
@pytest.mark.parametrize("stop", range(6))
def test_any_rows_can_be_read_alone(folder: Path, start: int, stop: int) -> None:
    rows = read(folder, whole=False)["state"]["w"]
    assert isinstance(rows, Rows)
    assert torch.equal(rows[start:stop], WHOLE[start:stop])
    assert torch.equal(part_of(rows, torch.empty(5, 3)), WHOLE)


def test_what_is_missing_is_said(folder: Path) -> None:
    file = folder / file_of(2, 3)
    kept = file.read_bytes()
    file.write_bytes(kept[:-4])
    with pytest.raises(ValueError, match=r"rank-00002-of-00003.safetensors: missing or damaged"):
        read(folder, whole=True)
    file.unlink()
    with pytest.raises(ValueError, match=r"rank-00002-of-00003.safetensors: missing or damaged"):
        read(folder, whole=False)
    write(folder, {}, {}, 2, 3)
    with pytest.raises(ValueError, match="/state/w does not have the rows that it should"):
        read(folder, whole=True)


@pytest.mark.parametrize(
    "mark",
    [
        {MARK: "/state/w"},
        {MARK: 5, "shape": [5, 3]},
        {MARK: ["/state/w"], "shape": [5, 3]},
        *({MARK: "/state/w", "shape": shape} for shape in (None, 5, "53", [], ["5", 3], [5.0, 3], [-1, 3], [0, 1 << 39, 4])),
    ],
)  # fmt: skip
def test_a_mark_that_is_none_is_damage(folder: Path, mark: dict) -> None:
    torch.save({"world": 3, "checkpoint": {"state_dict": [mark]}}, folder / PLAIN)
    for whole in (True, False):
        with pytest.raises(ValueError, match=rf"^{folder / PLAIN}: damaged.*; put a whole copy") as caught:
            read_checkpoint(folder, whole)
        assert len(str(caught.value).splitlines()) == 1


class Harm:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("/tmp/imagen-harm"),))


def test_no_code_is_run(folder: Path) -> None:
    torch.save({"world": 3, "checkpoint": Harm()}, folder / PLAIN)
    with pytest.raises(ValueError, match=r"plain.ckpt: damaged, or holds what could run code"):
        read(folder, whole=True)
    (folder / PLAIN).write_bytes(pickle.dumps(Harm()))
    with pytest.raises(ValueError, match="could run code"):
        read(folder, whole=True)
    assert not Path("/tmp/imagen-harm").exists()


def test_a_full_disk_is_an_os_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"[\d.]+ .B are free; .enforce fail"):
        save({"step": 1}, tmp_path / "x.ckpt")
