"""A file is whole or the one before; damage is told with the file's name."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from imagen.files import read_json, shared, write_text


def test_text_comes_back_and_nothing_lies_beside(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "a.json"
    write_text(file, '{"a": "é"}')
    assert read_json(file, "") == {"a": "é"}
    assert list(file.parent.iterdir()) == [file]


def test_tensors_are_shared_as_other_files_are(tmp_path: Path) -> None:
    tensors, text = tmp_path / "a.safetensors", tmp_path / "a.txt"
    save_file({"a": torch.zeros(1)}, tensors)
    shared(tensors)
    text.touch()
    assert tensors.stat().st_mode == text.stat().st_mode


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "5", "null", "[" * 100_000, '{"a":' * 100_000, "\udcff", "9" * 5000]
)
def test_damage_names_the_file_and_the_remedy(tmp_path: Path, content: str) -> None:
    file = tmp_path / "index.json"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"index\.json is damaged .*; prepare again"):
        read_json(file, "prepare again")
    with pytest.raises(ValueError, match=r"nowhere\.json: No such file or directory; prepare again"):
        read_json(tmp_path / "nowhere.json", "prepare again")
