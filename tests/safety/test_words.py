"""A list of words refuses whole words, however they are written, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from imagen.safety import checked
from imagen.safety.words import Words


def words(folder: Path, text: str) -> Words:
    (folder / "list.txt").write_text(text, encoding="utf-8")
    return Words(str(folder / "list.txt"))


@pytest.mark.parametrize(
    "prompt",
    ["a cat", "A CAT, sitting", "cat", "a_cat_b", "ｃａｔ", "c\u200bat", "c\u0336a\u0336t\u0336", "(Cat)",
     "c\u3164at", "ca\u115ft", "c\uffa0at", "c\u2065at", "c\x01at", "c\x7fat", "ca\ud800t"],
)  # fmt: skip
def test_refused(tmp_path: Path, prompt: str) -> None:
    (reason,) = words(tmp_path, "# mine\n\nCat\n").prompts([prompt])
    assert reason == "has 'Cat' of the list of words"


@pytest.mark.parametrize("prompt", ["concatenate", "cats", "c at", "# mine", ""])
def test_let_through(tmp_path: Path, prompt: str) -> None:
    assert words(tmp_path, "# mine\nCat\n").prompts([prompt]) == [None]


def test_phrases(tmp_path: Path) -> None:
    listed = words(tmp_path, "red star\nCAFÉ\n日本\n")
    prompts = ["a Red,  STAR", "a red blue star", "cafe\u0301", "日本", "a tree"]
    assert [reason is not None for reason in listed.prompts(prompts)] == [True, False, True, True, False]
    assert listed.pictures(np.zeros((3, 4, 4, 3), np.uint8)) == [None] * 3


def test_capitals_whose_small_letters_are_two(tmp_path: Path) -> None:
    for listed in ("istanbul", "İstanbul"):
        reasons = words(tmp_path, listed).prompts(["İSTANBUL", "istanbul", "İstanbul".lower()])
        assert None not in reasons


def test_it_is_known_by_its_words(tmp_path: Path) -> None:
    one = words(tmp_path, "cat").identity
    assert one != words(tmp_path, "dog").identity
    assert str(tmp_path) not in str(one)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"", "no word in it"),
        (b"# cat\n", "no word in it"),
        (b"\xff\xfe", "not a text file in UTF-8"),
        (b"cat\n!!!\n", "'!!!' has no letter or digit"),
        (b"c*t\nblood* bath\n", r"'blood\* bath' has a \*, which stands for no letters"),
        (b"c**\n*craft\n", r"'\*craft' has a \*"),
    ],
)
def test_lists_that_are_none(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(ValueError, match=f"^path=.*{message}"):
        Words(str(tmp_path / "list.txt"))


@pytest.mark.parametrize("reasons", [[], [None], ["", None], [None, False]])
def test_a_filter_that_says_too_little_lets_nothing_through(reasons: list) -> None:
    with pytest.raises(ValueError, match="safety: gave"):
        checked(reasons, 2, "prompts")
