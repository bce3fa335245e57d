"""A list of words and phrases that no prompt may have."""

import hashlib
import re
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np

from imagen.safety import Reasons

HIDDEN = ("Cf", "Mn", "Me", "Cc", "Cs")
UNSEEN = re.compile("[\u115f\u1160\u2065\u3164\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]")
"""Letters that are blank, and places that Unicode keeps for what is not seen."""

PATTERN = re.compile(r"\w\*(?!\S)|(?<!\S)\*\w")
"""blood*, *craft: within a word and in f** a star is what people write."""


class Words:
    """`path`: a text file in UTF-8, a word or phrase a line; lines that begin with # are comments.

    Whole words are compared, without case, accents' spelling or invisible characters: "Cat" refuses "a CAT, sitting" and not
    "concatenate". What is spelt otherwise, said in another way or in another language passes: it is a list, and does not
    understand. Of pictures it knows nothing, and lets them through.

    ValueError: no such file, no word in it, or a line that is to be a pattern."""

    def __init__(self, path: str) -> None:
        try:
            data = Path(path).read_bytes()
            lines = data.decode("utf-8-sig").splitlines()
        except OSError as error:
            raise ValueError(
                f"path={path}: {error.strerror or error}; give a text file with a word or phrase a line"
            ) from None
        except UnicodeDecodeError:
            raise ValueError(f"path={path}: not a text file in UTF-8; save it as one") from None
        given = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
        if not (listed := {phrase: words_of(phrase) for phrase in given}):
            raise ValueError(f"path={path}: no word in it; give one a line, or leave safety= out")
        if empty := [phrase for phrase, words in listed.items() if not words]:
            raise ValueError(
                f"path={path}: {empty[0]!r:.80} has no letter or digit, and would refuse nothing"
            )
        if pattern := [phrase for phrase in given if PATTERN.search(phrase)]:
            raise ValueError(
                f"path={path}: {pattern[0]!r:.80} has a *, which stands for no letters here; give each form of the word a line"
            )
        self.listed = {f" {' '.join(words)} ": phrase for phrase, words in listed.items()}
        self.identity: dict[str, Any] = {"kind": "words", "sha256": hashlib.sha256(data).hexdigest()}

    def prompts(self, prompts: list[str]) -> Reasons:
        """See `Safety`."""
        return [self._reason(f" {' '.join(words_of(prompt))} ") for prompt in prompts]

    def pictures(self, pictures: np.ndarray) -> Reasons:
        """See `Safety`: all pass."""
        return [None] * len(pictures)

    def _reason(self, text: str) -> str | None:
        found = next((phrase for words, phrase in self.listed.items() if words in text), None)
        return None if found is None else f"has {found!r} of the list of words"


def words_of(text: str) -> list[str]:
    """The words of a text, as they are compared."""
    # twice: small letters of some capitals are a letter and a stroke
    return re.findall(r"[^\W_]+", _seen(_seen(text).casefold()))


def _seen(text: str) -> str:
    """Without what is not seen, and strokes laid over letters, which would part a word."""
    composed = unicodedata.normalize("NFKC", text)
    return "".join(
        c for c in composed if c.isspace() or not (unicodedata.category(c) in HIDDEN or UNSEEN.match(c))
    )
