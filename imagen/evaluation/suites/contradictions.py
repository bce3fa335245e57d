"""A prompt that contradicts another in one word, by a small table: what a picture of the one must not fit better."""

import re

from imagen.evaluation.suites.words import FUNCTION, words_of

PLACES = {
    "left of": "right of",
    "right of": "left of",
    "on the left": "on the right",
    "on the right": "on the left",
    "above": "below",
    "below": "above",
    "on top of": "underneath",
    "underneath": "on top of",
    "beneath": "on top of",
    "under": "on top of",
    "in front of": "behind",
    "behind": "in front of",
    "inside": "outside",
    "outside": "inside",
}
NUMBERS = ("two", "three", "four", "five")
COLORS = ("red", "green", "purple", "yellow", "blue", "orange", "black", "pink", "brown", "white")
"""Each contradicts the one before; neighbors look different."""
# a color word that one of these follows is no adjective ("an orange on a plate")
_NO_THING = FUNCTION | {word for place in PLACES for word in place.split()} | {"beside", "near", "next"}
# what stands so to each other does so from both sides
_PLACE = re.compile(
    rf"\b(?:{'|'.join(sorted(PLACES, key=len, reverse=True))})\b(?! (?:each other|one another|the other)\b)",
    re.IGNORECASE,
)
_NUMBER = re.compile(rf"(?<![\w-])(?:{'|'.join(NUMBERS)})(?=\s+\w)", re.IGNORECASE)
_COLOR = re.compile(
    rf"(?<![\w-])(?:(?P<article>an?)(?P<space>\s+))?(?P<color>{'|'.join(COLORS)})(?=\s+(?P<next>\w+))",
    re.IGNORECASE,
)


def contradicted(prompt: str) -> str | None:
    """The prompt with one thing said otherwise, or None where the table has nothing for it.

    The first of these that there is, since it is what the prompt is most about: where things stand (left of: right of),
    how many there are (two: three, three: four, four: five, five: two), a thing's color (the next of COLORS that the prompt
    does not name). "a cat left of a cat" is contradicted by what is as true: such prompts are not looked for."""
    if place := _PLACE.search(prompt):
        return _put(prompt, place, _written(PLACES[place[0].lower()], place[0]))
    if number := _NUMBER.search(prompt):
        other = NUMBERS[(NUMBERS.index(number[0].lower()) + 1) % len(NUMBERS)]
        return _put(prompt, number, _written(other, number[0]))
    for found in _COLOR.finditer(prompt):
        if found["next"].lower() not in _NO_THING:
            return _recolored(prompt, found)
    return None


def _recolored(prompt: str, found: re.Match[str]) -> str | None:
    at, named = COLORS.index(found["color"].lower()), set(words_of(prompt))
    other = next((color for color in COLORS[at + 1 :] + COLORS[:at] if color not in named), None)
    if other is None:
        return None
    words = _written(other, found["color"])
    if found["article"]:
        article = "an" if other[0] in "aeiou" else "a"
        words = f"{_written(article, found['article'])}{found['space']}{words}"
    return _put(prompt, found, words)


def _written(word: str, like: str) -> str:
    """In capitals where `like` is."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[0].upper() + word[1:] if like[0].isupper() else word


def _put(prompt: str, found: re.Match[str], words: str) -> str:
    return prompt[: found.start()] + words + prompt[found.end() :]
