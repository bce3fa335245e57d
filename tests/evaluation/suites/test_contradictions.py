"""Prompts and what contradicts them."""

import pytest

from imagen.data.shapes.captions import parse
from imagen.data.shapes.prompts import prompts
from imagen.evaluation.suites.contradictions import COLORS, PLACES, contradicted


@pytest.mark.parametrize(
    ("prompt", "other"),
    [
        ("a cat left of a dog", "a cat right of a dog"),
        ("a red star to the right of two blue squares", "a red star to the left of two blue squares"),
        ("A car on the left of a bus.", "A car on the right of a bus."),
        ("On top of a hill", "Underneath a hill"),
        ("a cat under a table", "a cat on top of a table"),
        ("three red cats", "four red cats"),
        ("Five cars on the street.", "Two cars on the street."),
        ("a photo of a red car", "a photo of a green car"),
        ("A RED car", "A GREEN car"),
        ("An orange cat", "A black cat"),
        ("a blue cat", "an orange cat"),
        ("a white cat", "a red cat"),
        ("a red car and a green sheep", "a purple car and a green sheep"),
        ("a red and blue ball", "a red and orange ball"),
        ("a white orange on a plate", "a red orange on a plate"),
    ],
)
def test_one_word_is_said_otherwise(prompt: str, other: str) -> None:
    assert contradicted(prompt) == other


@pytest.mark.parametrize(
    "prompt",
    [
        "a photo of an orange",
        "an orange next to a cat",
        "a two-story house",
        "a cat-red house",
        "boxes on top of each other",
        "a cat and a dog",
        "",
        "red",
    ],
)
def test_nothing_is_made_of_what_the_table_does_not_have(prompt: str) -> None:
    assert contradicted(prompt) is None


def test_a_prompt_that_names_all_colors_has_none_left() -> None:
    assert contradicted(" car ".join((*COLORS, ""))) is None


def test_places_lead_to_places() -> None:
    assert all(other in PLACES and other != place for place, other in PLACES.items())


def test_the_drawn_world_contradicted_asks_for_something_else() -> None:
    """Every prompt has one; where its words are the drawn world's, it is another scene's."""
    for caption, _, _ in prompts("test", 0, 60, 0.5):
        other = contradicted(caption)
        assert other
        assert other != caption
        try:
            asked = parse(other)
        except ValueError:
            continue  # a color that is not drawn, or more things
        assert asked != parse(caption)
