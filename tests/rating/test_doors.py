"""No way in: tokens, headers, marks of forms, limits, bodies; and nothing of systems or files in what raters get."""

import asyncio
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import content_type_conformance, not_a_server_error, status_code_conformance
from starlette.testclient import TestClient

from imagen.rating.server.guard import BODY, HEADERS
from imagen.rating.server.store import hashed

from .conftest import EVIL, Made
from .serving import ADMIN, Served, hidden, values_of

SLOW = [
    HealthCheck.too_slow,
    HealthCheck.filter_too_much,
    HealthCheck.data_too_large,
    HealthCheck.function_scoped_fixture,
]
SECRETS = ("alpha", "beta", "/tmp", "/home", "/root", "a-0", "b-0")


@pytest.fixture
def served(made: Made, tmp_path: Path) -> Iterator[Served]:
    made(4, session={"items": 4, "controls": 2, "break_every": 2})
    found = Served(tmp_path / "study")
    yield found
    found.store.close()


def test_nothing_tells_a_system(served: Served) -> None:
    """Of whole sessions: pages, headers, addresses, names of pictures, their bytes."""
    rater, told, pictures = served.begun(), [], set()
    for _ in range(6):
        page = rater.browser.get("/rate")
        if "Time for a break" in page.text:
            form = {name: hidden(page.text, name) for name in ("csrf", "order")}
            told.append(rater.browser.post("/rest", data=form))
            page = rater.browser.get("/rate")
        item = rater.browser.get("/item")
        told += [page, item, rater.answer(item.json())]
        pictures |= {name for one in item.json()["sets"] for name in one["pictures"]}
    told += [
        rater.browser.get(path) for path in ("/rate", "/thanks", "/", "/rate.js", "/rate.css", "/nowhere")
    ]
    for name in pictures:
        reply = rater.browser.get(f"/picture/{name}")
        assert reply.status_code == 200
        assert re.fullmatch(r"[0-9a-f]{32}", name)
        assert reply.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert not {"last-modified", "etag", "content-disposition"} & set(reply.headers)
        assert not any(word.encode() in reply.content for word in SECRETS)
        told.append(reply)
    for reply in told:
        words = " ".join([str(reply.url), *map(str, reply.headers.items())])
        words += "" if reply.headers.get("content-type") == "image/png" else reply.text
        assert not [word for word in SECRETS if word in words], reply.url
        assert str(served.store.folder) not in words
        assert '"systems"' not in words
        assert served.store.study.key not in words


def test_headers(served: Served) -> None:
    rater = served.begun().browser
    replies = [rater.get(path) for path in ("/", "/rate", "/item", "/nowhere", "/rate.js", "/admin", "/i/x")]
    replies += [
        rater.post("/answer"),
        rater.delete("/rate"),
        rater.post("/answer", content=b"x" * (BODY + 1)),
    ]
    for reply in replies:
        for name, value in HEADERS.items():
            assert reply.headers[name] == value, reply.url
        assert "server" not in reply.headers
        assert reply.headers["cache-control"] in ("no-store", "no-cache")
    policy = HEADERS["content-security-policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    token = served.invited()[0]
    cookie = served.browser().get(f"/i/{token}").headers["set-cookie"]
    assert {"HttpOnly", "SameSite=lax"} <= {part.strip() for part in cookie.split(";")}


def test_what_breaks_says_nothing(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(token: str) -> None:
        raise RuntimeError("alpha of /tmp")

    monkeypatch.setattr(served.store, "rater", broken)
    reply = TestClient(served.app, raise_server_exceptions=False).get("/i/x")
    assert reply.status_code == 500
    assert "alpha" not in reply.text
    assert {name: reply.headers[name] for name in HEADERS} == HEADERS


def test_tokens(served: Served) -> None:
    """Wrong, revoked, expired, nobody's: nothing but words; of a token only its hash is kept."""
    good, revoked, late = served.invited(3)
    served.store.revoke("r0002")
    assert served.browser().get(f"/i/{revoked}").status_code == 404
    for wrong in ("x", good[:-1], good + "a", hashed(good), "%00", "a" * 500, "é"):
        assert served.browser().get(f"/i/{wrong}").status_code == 404
    sitting = served.begun(late)
    served.clock.at += 86_401
    assert served.browser().get(f"/i/{late}").status_code == 404
    for path in ("/rate", "/item", "/thanks"):
        assert sitting.browser.get(path).status_code == 403
    raw = b"".join(file.read_bytes() for file in served.store.folder.glob("answers.sqlite*"))
    assert hashed(good).encode() in raw
    assert good.encode() not in raw
    browser = served.browser()
    for path in ("/rate", "/item", "/thanks", f"/picture/{min(served.store.study.pictures)}"):
        assert browser.get(path).status_code == 403


def test_the_host_of_a_request_is_nobodys(served: Served) -> None:
    for path in (f"/i/{served.invited()[0]}/", "/rate/", "/admin/"):
        reply = served.browser().get(path, headers={"host": "evil.example"})
        assert reply.status_code == 404
        assert "location" not in reply.headers


def test_pictures_by_their_names_alone(served: Served) -> None:
    browser = served.begun().browser
    for name in (
        "../study.json",
        "..%2fstudy.json",
        "%2e%2e/answers.sqlite",
        "0" * 32,
        "study.json",
        "a" * 5000,
    ):
        assert browser.get(f"/picture/{name}").status_code == 404


def test_forms_carry_a_mark(served: Served) -> None:
    one, two = served.begun(), served.begun()
    item = one.item()
    for mark in ("", "x", two.item()["csrf"], None, 5, ["a"]):
        assert one.answer({**item, "csrf": mark}).status_code == 403
    assert one.browser.post("/undo", data={"order": "1"}).status_code == 403
    assert one.browser.post("/consent").status_code == 403
    assert served.store.answers() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"values": {}},
        {"values": {"quality": "left"}},
        {"values": {"quality": "left", "alignment": "middle"}},
        {"values": {"quality": "left", "alignment": "left", "more": 1}},
        {"values": {"quality": ["left"], "alignment": {"a": 1}}},
        {"key": "short"},
        {"key": 5},
        {"key": "é" * 10},
        {"key": "\0" * 10},
        {"order": -1},
        {"order": "x"},
        {"order": 10**30},
        {"order": True},
        {"seconds": -1},
        {"seconds": "nan"},
        {"seconds": [1]},
    ],
)
def test_what_is_no_answer(served: Served, wrong: dict) -> None:
    rater = served.begun()
    assert rater.answer(rater.item(), **wrong).status_code == 422
    assert served.store.answers() == []


def test_bodies_are_bounded(served: Served) -> None:
    rater = served.begun()
    item = rater.item()
    body = {
        "csrf": item["csrf"],
        "order": 0,
        "key": item["key"],
        "values": values_of(item),
        "pad": "x" * BODY,
    }
    assert rater.browser.post("/answer", json=body).status_code == 413
    assert rater.browser.post("/answer", content=(b"x" * 1000 for _ in range(100))).status_code == 413
    form = f"csrf={item['csrf']}&order=0&key={item['key']}&quality=left&alignment=left&seconds=1"
    kind = {"content-type": "application/x-www-form-urlencoded"}
    parts = (part for part in (form.encode(), b"&" * BODY))
    assert rater.browser.post("/answer", content=parts, headers=kind).status_code == 413
    for content, how in ((b"{" * 9000, "application/json"), (b"[" * 9000, "application/json"), (b"\xff\xfe", "text/plain"), (b"[]", "application/json")):  # fmt: skip
        assert rater.browser.post("/answer", content=content, headers={"content-type": how}).status_code in (
            403,
            422,
        )
    assert served.store.answers() == []


def test_who_goes_while_sending_breaks_nothing(served: Served) -> None:
    token, sent = served.invited()[0], []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/answer",
        "query_string": b"",
        "headers": [(b"cookie", f"rate={token}".encode())],
    }

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(served.app(scope, receive, send))
    assert sent[0]["status"] == 400


def test_guesses_and_haste_are_slowed(served: Served) -> None:
    browser, rater = served.browser(), served.begun()
    codes = [browser.get(f"/i/guess{n}").status_code for n in range(40)]
    assert codes[:20] == [404] * 20
    assert codes[20:] == [429] * 20
    assert rater.browser.get("/rate").status_code == 200, "who has a token is not held up"
    codes = [rater.browser.get("/item").status_code for _ in range(80)]
    assert codes[0] == 200
    assert codes[-1] == 429
    served.clock.at += 10
    assert browser.get("/i/guess").status_code == 404
    assert rater.browser.get("/item").status_code == 200


def test_the_admin_page_has_its_own_token(served: Served) -> None:
    rater = served.begun()
    for browser in (rater.browser, served.browser()):
        assert browser.get("/admin").status_code == 404
        assert browser.get("/admin/wrong").status_code == 404
    token = served.invited()[0]
    assert served.browser().get(f"/admin/{token}").status_code == 404
    liar = served.browser()
    liar.cookies.set("rate_admin", token)
    assert liar.get("/admin").status_code == 404
    admin = served.browser()
    assert admin.get(f"/admin/{ADMIN}").status_code == 303
    page = admin.get("/admin").text
    assert "r0001" in page
    assert "0 of 6" in page
    assert admin.get("/rate").status_code == 403


def test_markup_is_text(made: Made, tmp_path: Path) -> None:
    evil = [f"{EVIL} {n}" for n in range(4)]
    made(evil, name=EVIL, consent=EVIL, questions=[{"key": "q", "text": EVIL, "kind": "choice"}])
    served = Served(tmp_path / "study")
    token = served.invited()[0]
    consent = served.browser().get(f"/i/{token}").text
    rater = served.begun(token)
    admin = served.browser()
    admin.get(f"/admin/{ADMIN}")

    class Seen(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert not any(name.startswith("on") or name == "style" for name, _ in attrs)
            if tag in ("script", "img"):
                assert dict(attrs)["src"] != "x"
                assert tag != "script" or dict(attrs)["src"] == "/rate.js"

    for page in (consent, rater.browser.get("/rate").text, admin.get("/admin").text):
        assert "&lt;script&gt;" in page
        assert EVIL not in page
        Seen().feed(page)
    served.store.close()


def test_against_its_own_document(served: Served) -> None:
    """Schemathesis: whatever is sent, nothing breaks, and what comes back is documented."""
    sitting = served.begun()
    token, mark = sitting.browser.cookies["rate"], sitting.item()["csrf"]
    schema = schemathesis.openapi.from_dict(served.app.openapi())
    schema.app = served.app
    looked_at = set()

    def look(case: schemathesis.Case) -> None:
        served.clock.at += 5
        case.cookies = {"rate": token}
        if isinstance(case.body, dict):
            case.body["csrf"] = mark
        found = case.call()
        case.validate_response(
            found, checks=[not_a_server_error, status_code_conformance, content_type_conformance]
        )
        looked_at.add(case.operation.label)

    quick = settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=SLOW,
    )
    for operation in schema.get_all_operations():
        found: Any = operation
        quick(given(found.ok().as_strategy())(look))()
    assert len(looked_at) == 15
    assert served.store.answers() == []
