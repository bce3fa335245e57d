"""The page is one self-contained file, and prompts cannot break out of it."""

import re
from collections.abc import Callable

import pytest
import torch

from imagen.evaluation.gallery import Card, Page, render, to_pil

Tags = Callable[[str], list[tuple[str, dict[str, str | None]]]]


@pytest.fixture(scope="module")
def page() -> str:
    picture = torch.zeros(3, 4, 4)
    evil = '<script>alert(1)</script> & "quotes"'
    cards = [Card(evil, [picture, picture], ["count"]), Card("fine", [picture, picture], [])]
    return render(
        Page(
            title="A page",
            lead="of two cards",
            figures=[["what", "share"], ["all", "50 %"]],
            sections={"Prompts": cards},
            sweep={1.0: [("fine", picture)], 4.0: [("fine", picture)]},
            curves={"base": [(10, 1.0), (20, 0.1), (30, float("nan"))], "empty": []},
            commands=["imagen-train name=<b>"],
            notes=["done"],
        )
    )


def test_html_is_balanced_and_prompts_stay_text(page: str, tags: Tags) -> None:
    assert "script" not in {tag for tag, _ in tags(page)}
    assert "&lt;script&gt;" in page


def test_nothing_is_fetched_and_pictures_have_their_prompt(page: str, tags: Tags) -> None:
    images = [attributes for tag, attributes in tags(page) if tag == "img"]
    assert len(images) == 2 * 2 + 2
    assert all((image["src"] or "").startswith("data:image/png;base64,") for image in images)
    assert all(image["alt"] for image in images)
    assert not re.search(r"https?://", page)


def test_verdicts_are_told(page: str) -> None:
    assert "✗ count" in page
    assert "✓" in page


def test_pictures_are_rounded_not_cut() -> None:
    picture = to_pil(torch.tensor([-1.0, 0.0, 1.0])[:, None, None].expand(3, 2, 2))
    assert picture.getpixel((0, 0)) == (0, 128, 255)
