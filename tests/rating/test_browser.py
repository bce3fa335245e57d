"""A real Chromium at a real server: a whole session by mouse and one by keyboard, on a desk and on a telephone."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from imagen.rating.server.app import app
from imagen.rating.server.exporting import answers_of
from imagen.rating.server.store import Store

from .conftest import CHOICES, EVIL, Made
from .test_killed import free_port

QUESTIONS = [
    *CHOICES,
    {"key": "good", "text": "How good are the images?", "kind": "scale", "anchors": ["unusable", "flawless"]},
    {
        "key": "difficulty",
        "text": "How hard is it to make a picture of this caption?",
        "kind": "scale",
        "anchors": ["anybody could draw it", "hardly possible"],
        "of": "prompt",
    },
]
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
pytestmark = pytest.mark.browser
Opened = Callable[..., tuple[Any, list[str], Store]]


@pytest.fixture
def opened(made: Made, tmp_path: Path, browser: Any) -> Iterator[Callable[..., Any]]:
    """opened(viewport, **study): a page at the link of a rater, what goes wrong there, the store."""
    running: list[tuple[uvicorn.Server, threading.Thread, Store, Any]] = []

    def run(viewport: dict[str, int], **given: Any) -> tuple[Any, list[str], Store]:
        made(**given)
        store, port, wrong = Store(tmp_path / "study"), free_port(), []
        server = uvicorn.Server(uvicorn.Config(app(store, "admin"), port=port, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        context = browser.new_context(
            viewport=viewport, has_touch=viewport is PHONE, is_mobile=viewport is PHONE
        )
        running.append((server, thread, store, context))
        page = context.new_page()
        page.on("console", lambda message: wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        ((_, token),) = store.invite(1, 1.0)
        page.goto(f"http://127.0.0.1:{port}/i/{token}")
        return page, wrong, store

    yield run
    for server, thread, store, context in running:
        context.close()
        server.should_exit = True
        thread.join()
        store.close()


def waited(page: Any, order: int) -> None:
    """Until an entry is there with its pictures."""
    page.wait_for_selector(f'main[data-order="{order}"][data-ready]')


def fits(page: Any) -> bool:
    """Whether nothing is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_by_mouse(opened: Opened, viewport: dict[str, int], tmp_path: Path) -> None:
    show, session = {"systems": 2, "pictures": 8}, {"items": 4, "break_every": 2}
    prompts = [f"a red cube on a blue sphere, beside {n} green cones" for n in range(4)]
    page, wrong, store = opened(
        viewport, prompts=prompts, questions=QUESTIONS, show=show, session=session, side=64
    )
    assert fits(page)
    page.screenshot(path=tmp_path / "consent.png")
    page.click("text=I agree, begin")
    for order in range(4):
        if order == 2:
            page.wait_for_selector("text=Time for a break")
            page.screenshot(path=tmp_path / "break.png")
            page.click("text=Go on")
        waited(page, order)
        assert fits(page)
        assert page.locator(".sets img").count() == 16
        if order == 1:
            page.locator(".zoom").first.click()
            page.locator("dialog img").click()
            page.wait_for_selector("dialog", state="detached")
        for name, value in (("quality", "left"), ("alignment", "right")):
            page.locator(f'label:has(input[name="{name}"][value="{value}"])').click()
        for name in ("good.a", "good.b", "difficulty"):
            slider = page.locator(f'label:has(input[name="{name}"]) input[type=range]')
            assert "untouched" in slider.get_attribute("class")
            box = slider.bounding_box()
            slider.click(position={"x": box["width"] * 0.75, "y": box["height"] / 2})
        page.screenshot(path=tmp_path / f"answered-{order}.png", full_page=True)
        page.click("button.next")
    page.wait_for_selector("text=Thank you")
    answers = answers_of(store)
    assert wrong == []
    assert Counter(a.question for a in answers) == {"quality": 4, "alignment": 4, "good": 8, "difficulty": 4}
    assert {a.value for a in answers if a.question == "quality"} == {"left"}
    assert {a.value for a in answers if a.question == "alignment"} == {"right"}
    assert all(7 <= float(a.value) <= 8 for a in answers if a.kind == "scale")
    assert all(0 < a.seconds < 60 for a in answers)


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_by_keyboard(opened: Opened, viewport: dict[str, int], tmp_path: Path) -> None:
    """Digits, arrows, Enter and U, from the consent page to the end."""
    page, wrong, store = opened(
        viewport, prompts=4, questions=QUESTIONS, session={"items": 4, "break_every": 3}, side=64
    )
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    waited(page, 0)
    for key in ("1", "ArrowRight", "7", "x", "0"):
        page.keyboard.press(key)
    page.screenshot(path=tmp_path / "keys.png", full_page=True)
    page.keyboard.press("Enter")
    waited(page, 1)
    page.keyboard.press("Enter")  # nothing is answered: nothing is sent
    page.keyboard.press("u")
    waited(page, 0)
    for order in range(4):
        if order == 3:
            page.wait_for_selector("text=Time for a break")
            page.keyboard.press("Enter")
        waited(page, order)
        for key in ("2", "3", "7", "x", "0", "Enter"):
            page.keyboard.press(key)
    page.wait_for_selector("text=Thank you")
    answers = answers_of(store)
    assert wrong == []
    assert [a.value for a in answers if a.order == 0] == ["same", "right", 7.0, 10.0, 0.0]
    assert len(answers) == 20
    undone = [row for row in store.answers(undone=True) if row["undone_at"]]
    assert [row["values"]["quality"] for row in undone] == ["left"]


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_pictures_stay_in_sight(opened: Opened, viewport: dict[str, int], tmp_path: Path) -> None:
    """Of the last of many questions too, and no question lies beneath them when it is its turn."""
    many = [{**CHOICES[0], "key": f"q{n}", "text": f"Which set is better in way {n}?"} for n in range(12)]
    page, wrong, _ = opened(viewport, prompts=3, questions=many, session={"items": 3}, side=64)
    page.click("text=I agree, begin")
    waited(page, 0)
    for n in range(12):
        page.keyboard.press("1")
        below = page.evaluate(
            """(n) => {
                 const turn = document.querySelectorAll("fieldset")[Math.min(n + 1, 11)].getBoundingClientRect();
                 const all = [...document.querySelectorAll(".sets img")].map((image) => image.getBoundingClientRect());
                 const over = (one) => one.right > turn.left && one.left < turn.right && one.bottom > turn.top;
                 const out = (one) => one.top < 0 || one.bottom > innerHeight;
                 return turn.top >= 0 && turn.bottom <= innerHeight + 1 && !all.some((one) => over(one) || out(one));
               }""",
            n,
        )
        assert below, n
    page.screenshot(path=tmp_path / "many.png")
    assert fits(page)
    assert wrong == []


def test_the_next_pair_is_there_at_once(opened: Opened) -> None:
    """Pictures are fetched ahead: from a click to the next item, all of it decoded; the median, as the machine may be busy."""
    show = {"systems": 2, "pictures": 8}
    page, wrong, _ = opened(DESK, prompts=8, show=show, session={"items": 8}, side=256)
    page.click("text=I agree, begin")
    times, fetched = [], []
    page.on("request", lambda request: fetched.append(request.url))
    for order in range(7):
        waited(page, order)
        page.wait_for_load_state("networkidle")
        page.keyboard.press("1")
        page.keyboard.press("3")
        fetched.clear()
        took = page.evaluate(
            """(next) => new Promise((done) => {
                 const from = performance.now();
                 new MutationObserver((_, seen) => {
                   if (document.querySelector(`main[data-order="${next}"][data-ready]`)) { seen.disconnect(); done(performance.now() - from); }
                 }).observe(document.body, { subtree: true, childList: true, attributes: true });
                 document.querySelector("button.next").click();
               })""",
            order + 1,
        )
        times.append(took)
    print("milliseconds", [round(t) for t in times])
    assert sorted(times)[len(times) // 2] < 100, times
    assert wrong == []


def test_hostile_words_and_two_tabs(opened: Opened) -> None:
    prompts = [f"{EVIL} {n}" for n in range(3)]
    page, wrong, store = opened(DESK, prompts=prompts, questions=CHOICES[:1], session={"items": 3})
    page.click("text=I agree, begin")
    waited(page, 0)
    assert EVIL in page.inner_text("h1")
    other = page.context.new_page()
    other.goto(page.url)
    waited(other, 0)
    page.keyboard.press("1")
    page.click("button.next", click_count=2)  # a double click
    waited(page, 1)
    other.keyboard.press("3")
    other.keyboard.press("Enter")
    waited(other, 1)
    assert "answered already" in other.inner_text(".notice")
    assert page.evaluate("window.hacked") is None
    assert [row["values"] for row in store.answers()] == [{"quality": "left"}]
    assert [line for line in wrong if "409" not in line] == []


def test_back_by_the_link_of_a_letter(opened: Opened) -> None:
    """From a page of elsewhere, to where the session is."""
    page, wrong, _ = opened(DESK, prompts=2, session={"items": 2})
    link = page.url
    page.click("text=I agree, begin")
    waited(page, 0)
    page.goto("about:blank")
    page.set_content(f'<a href="{link}">your link</a>')
    page.click("a")
    waited(page, 0)
    assert wrong == []


def test_without_script(opened: Opened, browser: Any) -> None:
    page, wrong, store = opened(DESK, prompts=2, questions=QUESTIONS, session={"items": 2})
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(page.url)
    plain.click("text=I agree, begin")
    for _ in range(2):
        for name in ("quality", "alignment"):
            plain.locator(f'label:has(input[name="{name}"][value="same"])').click()
        for name in ("good.a", "good.b", "difficulty"):
            plain.fill(f'input[name="{name}"]', "4.5")
        plain.click("button.next")
    assert "Thank you" in plain.content()
    context.close()
    assert len(answers_of(store)) == 10
    assert wrong == []
