"""Captions: a scene in words, and words read back into what they ask for.

    caption    = [opening] content [" on a " background " background"]
    opening    = "there is " | "there are " | "a picture of "
    content    = group | group relation group | group " and " group
    group      = ("a" | "an" | "two" | "three") [size] [texture] color shape
    relation   = "left of" | "to the left of" | "right of" | "to the right of" | "above" | "below"

Count, color and shape are always said, the relation mostly; size, texture and background sometimes. All that
is said is true.
"""

import re
from dataclasses import dataclass

from numpy.random import Generator

from imagen.data.shapes.scene import BACKGROUNDS, COLORS, OPPOSITE, RELATIONS, SHAPES, SIZES, TEXTURES, Scene

SAYS_SIZE = SAYS_TEXTURE = 0.2  # of a group
SAYS_BACKGROUND = 0.3
SAYS_RELATION = 0.85
OPENINGS = ("", "", "there is ", "a picture of ")
LONG_FORMS = {"left of": "to the left of", "right of": "to the right of"}


@dataclass(frozen=True)
class AskedGroup:
    """What a caption says of a group; None where it says nothing."""

    count: int
    color: str
    shape: str
    size: str | None = None
    texture: str | None = None


@dataclass(frozen=True)
class Asked:
    """What a caption says; None where it says nothing. `relation` is how groups[0] stands to groups[1]."""

    groups: tuple[AskedGroup, ...]
    relation: str | None = None
    background: str | None = None


def asked_of(scene: Scene) -> Asked:
    """All that a scene's most talkative caption would ask for."""
    groups = tuple(AskedGroup(g.count, g.color, g.shape, g.size, g.texture) for g in scene.groups)
    return Asked(groups, scene.relation, scene.background)


def caption_of(scene: Scene, random: Generator, reading_order: float = 0.5) -> str:
    """A true caption, lower case without full stop; `random` chooses the phrasing and what is said.

    `reading_order`: the share of captions of two groups that name the left or the upper one first, as people
    mostly do. At 0.5 the order of naming tells nothing, and the relation's word alone says who stands where;
    at 1 "right of" and "below" never occur."""
    groups = []
    for group in scene.groups:
        size = group.size if random.random() < SAYS_SIZE else None
        texture = group.texture if random.random() < SAYS_TEXTURE and group.texture != "plain" else None
        groups.append(AskedGroup(group.count, group.color, group.shape, size, texture))
    relation = scene.relation if random.random() < SAYS_RELATION else None
    in_order = scene.relation in ("left of", "above")
    if len(groups) == 2 and in_order != (random.random() < reading_order):
        groups.reverse()
        relation = OPPOSITE[relation] if relation else None
    background = scene.background if random.random() < SAYS_BACKGROUND else None
    opening = OPENINGS[int(random.integers(len(OPENINGS)))]
    return words_of(Asked(tuple(groups), relation, background), opening, long_form=random.random() < 0.3)


def words_of(asked: Asked, opening: str = "", long_form: bool = False) -> str:
    """The caption that says exactly this; `parse` of it gives `asked` again. `opening` is one of OPENINGS."""
    first, *rest = map(_group_words, asked.groups)
    if opening == "there is " and asked.groups[0].count > 1:
        opening = "there are "
    relation = asked.relation or "and"
    link = LONG_FORMS.get(relation, relation) if long_form else relation
    background = f" on a {asked.background} background" if asked.background else ""
    return opening + " ".join([first] + [f"{link} {second}" for second in rest]) + background


def parse(caption: str) -> Asked:
    """What the caption asks for. Raises ValueError for a caption that the grammar above does not make."""
    match = _CAPTION.fullmatch(caption)
    if match is None:
        raise ValueError(f"caption={caption!r} is not of the grammar of imagen.data.shapes.captions")
    groups = [_group_of(match["first"])] + ([_group_of(match["second"])] if match["second"] else [])
    relation = match["relation"]
    if relation:
        relation = None if relation == "and" else relation.removeprefix("to the ")
    return Asked(tuple(groups), relation, match["background"])


def _group_words(group: AskedGroup) -> str:
    said = [word for word in (group.size, group.texture, group.color) if word]
    number = {1: "an" if said[0][0] in "aeiou" else "a", 2: "two", 3: "three"}[group.count]
    return " ".join([number, *said, group.shape if group.count == 1 else _plural(group.shape)])


def _plural(shape: str) -> str:
    return shape + ("es" if shape.endswith("s") else "s")


def _group_of(words: str) -> AskedGroup:
    match = _GROUP.fullmatch(words)
    assert match is not None
    count = {"a": 1, "an": 1, "two": 2, "three": 3}[match["number"]]
    shape = next(s for s in SHAPES if match["shape"] in (s, _plural(s)))
    return AskedGroup(count, match["color"], shape, match["size"], match["texture"])


def _any(*words: str) -> str:
    return "(?:" + "|".join(words) + ")"


_NAMES = _any(*SHAPES, *map(_plural, SHAPES))
_GROUP = re.compile(
    f"(?P<number>{_any('an', 'a', 'two', 'three')}) "
    f"(?:(?P<size>{_any(*SIZES)}) )?(?:(?P<texture>{_any(*TEXTURES)}) )?"
    f"(?P<color>{_any(*COLORS)}) (?P<shape>{_NAMES})"
)
_PLAIN_GROUP = re.sub(r"\?P<\w+>", "?:", _GROUP.pattern)
_CAPTION = re.compile(
    f"{_any('there is ', 'there are ', 'a picture of ')}?(?P<first>{_PLAIN_GROUP})"
    f"(?: (?P<relation>{_any('and', *RELATIONS, *LONG_FORMS.values())}) (?P<second>{_PLAIN_GROUP}))?"
    f"(?: on a (?P<background>{_any(*BACKGROUNDS)}) background)?"
)
