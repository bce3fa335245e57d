"""Words of a command line that are no key=value, for programs that are told what to do by their first words."""

import re
from collections.abc import Sequence


def positional(words: Sequence[str], keys: Sequence[str], known: str) -> list[str]:
    """The first of the words that are no option and no setting, as many as `keys`, as settings of these names.
    `known`: the program's settings, as a pattern."""
    left, found = list(keys), []
    for word in words:
        if left and not re.match(rf"-|\+*({known}|hydra[\w.]*)=", word):
            found.append(f"{left.pop(0)}={quoted(word)}")
        else:
            found.append(word)
    return found


def quoted(word: str) -> str:
    """A word as Hydra's grammar reads it back letter by letter."""
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
