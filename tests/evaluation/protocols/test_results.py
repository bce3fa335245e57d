"""What an evaluation's folder is pinned to."""

from pathlib import Path

import pytest

from imagen.evaluation.protocols.results import pinned


def test_another_process_may_begin_between_two_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several processes begin at once: one of them makes pictures while another looks what the folder holds."""
    out, request = tmp_path / "out", {"protocol": {"name": "shapes"}}
    out.mkdir()
    listed = Path.iterdir

    def meanwhile(folder: Path):
        monkeypatch.setattr(Path, "iterdir", listed)
        pinned(folder, request)
        (folder / "pictures").mkdir()
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", meanwhile)
    pinned(out, request)
    assert (out / "request.json").is_file()


def test_a_folder_of_somebody_elses_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other files"):
        pinned(tmp_path, {})
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
