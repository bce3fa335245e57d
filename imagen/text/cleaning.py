"""What is done to a caption before a language model reads it: part of the encoder, so that captions and prompts are read
alike, and of its key."""

import html
import re
import unicodedata

CLEANINGS = ("none", "web")


def cleaned(caption: str, cleaning: str) -> str:
    """A caption as the encoder is to read it. "none": as it is. "web", for captions that were alt texts once: HTML
    entities and tags, addresses, invisible signs and double blanks are gone, characters composed (NFC). A caption of
    which nothing would be left stays as it is."""
    if cleaning == "none":
        return caption
    text = html.unescape(html.unescape(caption))
    text = re.sub(r"</?[A-Za-z][^<>]{0,200}>", " ", text)
    text = re.sub(r"(https?://|www\.)\S+", " ", text)
    text = unicodedata.normalize("NFC", text)
    # format characters join the letters of some scripts: only controls and half characters go
    text = "".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)
    return " ".join(text.split()) or caption


def check_cleaning(cleaning: str) -> str:
    """ValueError unless `cleaning` is one of `CLEANINGS`."""
    if cleaning not in CLEANINGS:
        raise ValueError(f"text.cleaning={cleaning} is none of {', '.join(CLEANINGS)}")
    return cleaning
