"""Captions from the web, as a language model is to read them."""

import pytest

from imagen.text import HashedWords, MiniLM
from imagen.text.cleaning import cleaned


@pytest.mark.parametrize(
    ("caption", "read"),
    [
        ("Tom &amp;amp; Jerry", "Tom & Jerry"),
        ("<b>red</b>  circle<br/>", "red circle"),
        ("buy at https://x.org/a?b=c now www.y.com", "buy at now"),
        ("a\tred\n\ncircle\x00", "a red circle"),
        ("cafe\u0301", "café"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("<img>", "<img>"),
        ("क्‍ष", "क्‍ष"),
    ],
)
def test_web(caption: str, read: str) -> None:
    assert cleaned(caption, "web") == read
    assert cleaned(caption, "none") == caption


def test_cleaning_belongs_to_the_encoder_and_its_key() -> None:
    plain, web = HashedWords(8), HashedWords(8, cleaning="web")
    assert web(["a &amp; b"])[0].equal(plain(["a & b"])[0])
    assert not plain(["a &amp; b"])[0].equal(plain(["a & b"])[0])
    assert {plain.key["cleaning"], web.key["cleaning"]} == {"none", "web"}
    assert web.arguments == {"dim": 8, "max_length": 128, "cleaning": "web"}
    assert MiniLM(cleaning="web").configured["cleaning"] == "web"
    with pytest.raises(ValueError, match=r"text.cleaning=deep is none of none, web"):
        HashedWords(8, cleaning="deep")
