"""Cards show text from elsewhere as text."""

import json

import pytest

from imagen.card import UNKNOWN, card, shown, table


@pytest.mark.parametrize("value", [None, "", [], {}])
def test_nothing_is_not_known(value: object) -> None:
    assert shown(value) == UNKNOWN


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("CC BY 4.0", "CC BY 4.0"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("a | b\n# c", r"a \| b \# c"),
        ("[x](y) ![z](w)", r"\[x\](y) \!\[z\](w)"),
        ("https://a.b", "https:/&#47;a.b"),
        ("\x1b[31m", r"\\x1b\[31m"),
        ("*`_", r"\*\`\_"),
    ],
)  # fmt: skip
def test_markup_is_text(text: str, seen: str) -> None:
    assert shown(text) == seen


def test_numbers_and_parts() -> None:
    assert shown(12345) == "12,345"
    assert (
        shown({"min_side": 200, "caption_length": [5, None]})
        == r"min\_side: 200, caption\_length: \[5, none\]"
    )
    assert shown("x" * 600).endswith("x…")
    assert shown(json.loads("[" * 900 + "]" * 900)).count("…") == 1


def test_a_table_keeps_its_columns() -> None:
    assert table([("a", "b"), ("x|y", 1)]).splitlines() == ["| a | b |", "| --- | --- |", r"| x\|y | 1 |"]


def test_headings() -> None:
    assert card("T <b>", "lead", {"H": ["p"]}) == "# T &lt;b&gt;\n\nlead\n\n## H\n\np\n"
