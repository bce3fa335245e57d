"""A study's pages without a network, and a rater at them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from imagen.rating.server.app import app
from imagen.rating.server.store import Store

ADMIN = "the-admin-token"
BASE = "http://testserver"


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self, at: float = 1_000_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


class Served:
    """The study in `folder`: its store, its clock, a browser for each who asks."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.store = Store(folder, clock=self.clock)
        self.app = app(self.store, ADMIN, self.clock)

    def browser(self) -> TestClient:
        """Without cookies."""
        return TestClient(self.app, BASE, follow_redirects=False)

    def invited(self, count: int = 1) -> list[str]:
        """Tokens."""
        return [token for _, token in self.store.invite(count, 1.0)]

    def begun(self, token: str | None = None) -> "Sitting":
        """A rater who has agreed."""
        browser = self.browser()
        page = browser.get(f"/i/{token or self.invited()[0]}")
        assert page.status_code == 200, page.text
        assert browser.post("/consent", data={"csrf": hidden(page.text, "csrf")}).status_code == 303
        return Sitting(browser)


class Sitting:
    """A rater in a browser."""

    def __init__(self, browser: TestClient) -> None:
        self.browser = browser

    def item(self) -> dict[str, Any]:
        """The current one."""
        return self.browser.get("/item").json()

    def answer(self, item: Mapping[str, Any], value: Any = None, **given: Any) -> Any:
        """Send an answer of `item`, as JSON."""
        body = {name: item[name] for name in ("csrf", "order", "key")}
        return self.browser.post("/answer", json={**body, "values": values_of(item, value), **given})

    def undo(self, item: Mapping[str, Any]) -> Any:
        """Take back the one before `item`."""
        return self.browser.post("/undo", data={"csrf": item["csrf"], "order": str(item["order"])})


def values_of(item: Mapping[str, Any], value: Any = None) -> dict[str, Any]:
    """An answer to every question: `value`, or the first option."""
    first = {"choice": "left", "scale": 7, "levels": 50, "best": 0}
    return {
        field["name"]: first[question["kind"]] if value is None else value
        for question in item["questions"]
        for field in question["fields"]
    }


def hidden(page: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found
    return found[1]
