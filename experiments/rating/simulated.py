"""Raters who are programs, in a real browser: `python experiments/rating/simulated.py var/rated/links.csv`.

Each opens a link of `imagen-rate invite` in Chromium and reads the caption and the pictures off the page; of files and systems it
knows nothing. What stands in a picture the judge of drawn scenes tells. The first rater clicks, the second one types, and so on in
turn. They are not people and stand for nobody's taste: they show that a study works from the link to the numbers.

  alignment   the picture with the larger share of right parts (color, shape, count, relation, scene); equal: no difference
  quality     the one whose worst object is nearer to an exact shape (overlap); closer than SAME: no difference
  parts       ten times that share
  difficulty  two points an object, two a relation

and in a share `--lapse` of the answers anything at all, by `--seed`, the rater's name and the place in the session.
"""

import argparse
import base64
import csv
import io
import random
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imagen.data.shapes.captions import parse
from imagen.evaluation.shapes_judge import KEYS, judge, score
from imagen.progress import bar

try:
    from playwright.sync_api import Error, Page, sync_playwright
except ImportError:
    sys.exit("error: this needs pip install playwright, and Chromium: apt-get install chromium")

SAME = 0.02
SIDES = ("left", "same", "right")
PIXELS = """image => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas.toDataURL("image/png").split(",")[1];
}"""


class Opinion:
    """What a simulated rater thinks of `pictures`, uint8 (R, R, 3), left to right, under the caption `prompt`."""

    def __init__(self, prompt: str, pictures: Sequence[np.ndarray]) -> None:
        asked, seen = parse(prompt), [judge(picture) for picture in pictures]
        scores = [[found for key in KEYS if (found := score(one, asked)[key]) is not None] for one in seen]
        self.right = [sum(found) / len(found) for found in scores]
        self.exact = [min((thing.fit for thing in one.objects), default=0.0) for one in seen]
        self.hard = min(10.0, 2.0 * sum(group.count for group in asked.groups) + 2.0 * bool(asked.relation))

    def value(self, field: str) -> str | float:
        """The answer in that field of the page. ValueError for a question of another study."""
        key, _, place = field.partition(".")
        if key == "alignment":
            return _side(self.right, 0.0)
        if key == "quality":
            return _side(self.exact, SAME)
        if key == "parts":
            return round(10 * self.right["ab".index(place)], 1)
        if key == "difficulty":
            return self.hard
        raise ValueError(f"{field}: these raters know the questions of experiments/rating/study.yaml alone")


def _side(values: Sequence[float], same: float) -> str:
    left, right = values
    return "same" if abs(left - right) <= same else "left" if left > right else "right"


def anything(kind: str, random_: random.Random) -> str | float:
    """What a rater says whose thoughts are elsewhere."""
    return round(random_.uniform(0, 10), 1) if kind == "scale" else random_.choice(SIDES)


def look(page: Page) -> Opinion:
    """At the item on the page."""
    shown = [image.evaluate(PIXELS) for image in page.locator(".sets img").all()]
    pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB")) for one in shown]
    return Opinion(page.inner_text("h1.prompt"), pictures)


def by_mouse(page: Page, field: Any, value: str | float) -> None:
    """Click the option, or the place on the slider."""
    if isinstance(value, str):
        field.locator(f'label:has(input[value="{value}"])').click()
        return
    slider = field.locator("xpath=preceding-sibling::input[@type='range']")
    box = slider.bounding_box()
    slider.click(position={"x": 8 + (box["width"] - 16) * value / 10, "y": box["height"] / 2})


def by_keyboard(page: Page, field: Any, value: str | float) -> None:
    """The digit of the option or of the scale; the page goes from question to question by itself."""
    if isinstance(value, str):
        page.keyboard.press(str(1 + SIDES.index(value)))
    else:
        page.keyboard.press("x" if value >= 9.5 else str(round(value)))


def opened(page: Page, link: str) -> None:
    """Go there, as soon as the server has begun."""
    for wait in (0.5, 1, 2, 4, 8):
        try:
            page.goto(link)
            return
        except Error as error:
            if "ERR_CONNECTION_REFUSED" not in str(error):
                raise
            time.sleep(wait)
    page.goto(link)


def sit(page: Page, rater: str, link: str, given: argparse.Namespace, typing: bool) -> int:
    """A rater's session, from the link or from where it was left -> how many items were answered."""
    opened(page, link)
    if begin := page.query_selector("text=I agree, begin"):
        begin.click()
    progress, answered = None, 0
    while True:
        page.wait_for_selector("main[data-ready]")
        if page.query_selector("form.rest"):
            page.keyboard.press("Enter") if typing else page.click("text=Go on")
            page.wait_for_selector("main[data-order][data-ready]")
            continue
        order = page.get_attribute("main", "data-order")
        if order is None:
            break
        of = int(page.get_attribute("progress", "max") or 0)
        progress = progress or bar(total=of, initial=int(order), desc=rater, unit="item")
        opinion, random_ = look(page), random.Random(f"{given.seed}/{rater}/{order}")
        for field in page.locator(".options, input[type=number]").all():
            name = field.get_attribute("data-field") or field.get_attribute("name") or ""
            kind = "choice" if field.get_attribute("data-field") else "scale"
            value = anything(kind, random_) if random_.random() < given.lapse else opinion.value(name)
            (by_keyboard if typing else by_mouse)(page, field, value)
        if given.screenshot and order == "2" and not typing:
            page.locator("main").screenshot(path=given.screenshot)
        page.keyboard.press("Enter") if typing else page.click("button.next")
        page.wait_for_selector(f'main[data-ready]:not([data-order="{order}"])')
        answered += 1
        progress.update()
    if progress is not None:
        progress.close()
    return answered


def main() -> None:
    """Every rater of the file, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("links", type=Path, help="what imagen-rate invite out= wrote")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lapse", type=float, default=0.1, help="share of answers that are anything at all")
    parser.add_argument(
        "--screenshot", type=Path, help="a PNG: the third item as the first rater answered it"
    )
    given = parser.parse_args()
    try:
        rows = [(row["rater"], row["link"]) for row in csv.DictReader(given.links.open(encoding="utf-8"))]
    except (OSError, KeyError, UnicodeDecodeError) as error:
        parser.error(
            f"{given.links}: is no file of links ({error}); imagen-rate invite STUDY n=2 out={given.links}"
        )
    with sync_playwright() as playwright:
        there = shutil.which("chromium") or playwright.chromium.executable_path
        try:
            # without a sandbox of its own: root has none, and the pages are ours
            browser = playwright.chromium.launch(executable_path=there, args=["--no-sandbox"])
            for number, (rater, link) in enumerate(rows):
                page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
                answered = sit(page, rater, link, given, typing=number % 2 == 1)
                print(f"{rater}: {answered} items {'by keyboard' if number % 2 else 'by mouse'}")
        except Error as error:
            sys.exit(
                f"error: {str(error).splitlines()[0]}; is imagen-rate serve running, and Chromium installed?"
            )


if __name__ == "__main__":
    main()
