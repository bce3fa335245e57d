"""The web application of a study: raters' pages, their pictures, the admin page. Pages say nothing of systems or files."""

import asyncio
import hmac
import json
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jinja2
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from imagen.rating.server.documented import ANSWER, CHANGE, ITEM, PAGE, PICTURE
from imagen.rating.server.guard import HEADERS, Guard, Limit
from imagen.rating.server.store import Rater, Store, hashed
from imagen.rating.server.views import checked, pause, shown
from imagen.rating.study.study import opaque

HERE = Path(__file__).parent
COOKIE, ADMIN = "rate", "rate_admin"
TRUSTED = 10.0  # seconds for which a cookie that was good is good for pictures, which come by the dozen
FOREVER = "private, max-age=31536000, immutable"
WORDS = {
    404: "There is nothing here. If you came by a link, it may be cut short, used up or withdrawn.",
    403: "Please open the link that you were given. If you did, it may have expired or been withdrawn.",
    413: "That was too large.",
    422: "That is no answer to what was asked.",
    429: "That was too fast. Please wait a moment and try again.",
    500: "Something broke here. Please try again; what was answered is kept.",
}


def app(store: Store, admin: str, clock: Callable[[], float] = time.monotonic) -> FastAPI:
    """The application on a store, which others close; `admin`: the token of the admin page."""

    # an address with one / more is no page: its redirect would take the address's host from the request, with the token behind it
    made = FastAPI(
        title="imagen-rate", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    made.add_middleware(Guard)
    pages = _Pages(store, admin, clock)
    for path, page, method, told in (
        ("/", pages.home, "GET", PAGE),
        ("/i/{token}", pages.invitation, "GET", PAGE),
        ("/consent", pages.consent, "POST", CHANGE),
        ("/rate", pages.rate, "GET", PAGE),
        ("/item", pages.item, "GET", ITEM),
        ("/answer", pages.answer, "POST", ANSWER),
        ("/undo", pages.undo, "POST", CHANGE),
        ("/rest", pages.rest, "POST", CHANGE),
        ("/thanks", pages.thanks, "GET", PAGE),
        ("/picture/{name}", pages.picture, "GET", PICTURE),
        ("/rate.js", pages.script, "GET", PAGE),
        ("/rate.css", pages.style, "GET", PAGE),
        ("/favicon.ico", pages.icon, "GET", PAGE),
        ("/admin/{token}", pages.enter, "GET", PAGE),
        ("/admin", pages.admin, "GET", PAGE),
    ):
        made.add_api_route(path, page, methods=[method], response_model=None, response_class=Response, **told)
    for kind in (HTTPException, Exception):
        made.add_exception_handler(kind, pages.refused)
    return made


class _Pages:
    """A method a route."""

    def __init__(self, store: Store, admin: str, clock: Callable[[], float]) -> None:
        self.store, self.study, self._admin, self._clock = store, store.study, admin, clock
        self._often, self._pictures = Limit(10, 60, clock), Limit(200, 600, clock)
        self._strangers = Limit(2, 20, clock)
        self._known: dict[str, float] = {}
        loader = jinja2.FileSystemLoader(HERE / "pages")
        self._templates = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)

    async def home(self, request: Request) -> Response:
        """Where to go from nowhere."""
        return self._page("message.html", words=WORDS[403])

    async def invitation(self, request: Request, token: str) -> Response:
        """The link of one rater: the consent page, or on with the session."""
        rater = await self._rater(request, token)
        if rater.consented:
            answer: Response = RedirectResponse("/rate", 303)
        else:
            design = self.study.design
            answer = self._page(
                "consent.html", csrf=self._csrf(token), consent=design.consent, asks=design.asks
            )
        self._cookie(request, answer, COOKIE, token)
        return answer

    async def consent(self, request: Request) -> Response:
        """A form: the session begins."""
        rater, given = await self._change(request)
        about = {}
        for key, ask in self.study.design.asks.items():
            if (value := given.get(key)) not in (None, ""):
                # browsers send an option's white space otherwise than it is written
                known = {" ".join(choice.split()): choice for choice in ask["choices"]}
                if not isinstance(value, str) or (words := " ".join(value.split())) not in known:
                    raise HTTPException(422)
                about[key] = known[words]
        await _done(self.store.consent(rater.number, about))
        return RedirectResponse("/rate", 303)

    async def rate(self, request: Request) -> Response:
        """The current entry, or the break before it, or thanks."""
        return await self._current(request, await self._rater(request))

    async def item(self, request: Request) -> Response:
        """The current entry as JSON, with what a form needs; `order` equal to `of`: there is none left."""
        rater = await self._rater(request)
        if not rater.consented:
            raise HTTPException(403)
        if rater.done:
            return JSONResponse({"order": rater.current, "of": len(rater.entries)})
        await self._shown(rater)
        return JSONResponse({**shown(self.study, rater), "csrf": self._csrf(self._token(request))})

    async def answer(self, request: Request) -> Response:
        """An answer, as a form or JSON: kept, known already, or refused because the session is elsewhere."""
        rater, given = await self._change(request)
        plain = isinstance(given.get("values"), dict)
        order, key = _whole(given.pop("order", None)), given.pop("key", None)
        seconds, values = given.pop("seconds", None), given["values"] if plain else given
        if not (
            isinstance(key, str) and re.fullmatch(r"[!-~]{8,64}", key) and 0 <= order < len(rater.entries)
        ):
            raise HTTPException(422)
        try:
            values = checked(self.study, rater.entries[order], values)
            took = None if seconds in (None, "") else float(seconds)
            if took is not None and not 0 <= took < 1e9:
                raise ValueError("seconds: no number of seconds")
        except (ValueError, TypeError, OverflowError):
            raise HTTPException(422) from None
        outcome = await _done(self.store.answer(rater.number, order, key, values, took))
        if plain:
            of = len(rater.entries)
            return JSONResponse(
                {"outcome": outcome, "order": order, "of": of}, 409 if outcome == "stale" else 200
            )
        if outcome == "stale":
            return await self._current(request, await self._rater(request), elsewhere=True)
        return RedirectResponse("/rate", 303)

    async def undo(self, request: Request) -> Response:
        """A form: the last answer is taken back."""
        rater, given = await self._change(request)
        done = await _done(self.store.undo(rater.number, _whole(given.get("order"))))
        if not done:
            return await self._current(request, await self._rater(request), elsewhere=True)
        return RedirectResponse("/rate", 303)

    async def rest(self, request: Request) -> Response:
        """A form: the break is over."""
        rater, given = await self._change(request)
        await _done(self.store.rest(rater.number, _whole(given.get("order"))))
        return RedirectResponse("/rate", 303)

    async def thanks(self, request: Request) -> Response:
        """The end of a session."""
        rater = await self._rater(request)
        if not rater.done:
            return RedirectResponse("/rate", 303)
        return self._page("thanks.html", order=rater.current, csrf=self._csrf(self._token(request)))

    async def picture(self, request: Request, name: str) -> Response:
        """A picture by its opaque name, for a rater."""
        token = self._token(request)
        if self._known.get(token, 0.0) < self._clock():
            await self._rater(request)
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[token] = self._clock() + TRUSTED
        if not self._pictures(token):
            raise HTTPException(429)
        if name not in self.study.pictures:
            raise HTTPException(404)
        try:  # from the page cache, in less time than a thread's turn takes: half of what a picture costs
            content = (self.store.folder / "pictures" / f"{name}.png").read_bytes()
        except FileNotFoundError:
            raise HTTPException(404) from None
        # not as a file: its time would tell when it was made, and so of which system it is
        return Response(content, media_type="image/png", headers={"cache-control": FOREVER})

    async def script(self) -> Response:
        """The one script."""
        return FileResponse(
            HERE / "rate.js", media_type="text/javascript", headers={"cache-control": "no-cache"}
        )

    async def style(self) -> Response:
        """The one style."""
        return FileResponse(HERE / "rate.css", media_type="text/css", headers={"cache-control": "no-cache"})

    async def icon(self) -> Response:
        """None: browsers ask for one."""
        return Response(status_code=204, headers={"cache-control": FOREVER})

    async def enter(self, request: Request, token: str) -> Response:
        """The link of the admin page."""
        if not hmac.compare_digest(hashed(token), hashed(self._admin)):
            raise self._stranger(request)
        answer = RedirectResponse("/admin", 303)
        self._cookie(request, answer, ADMIN, token)
        return answer

    async def admin(self, request: Request) -> Response:
        """How far raters are; with the admin's token alone."""
        if not hmac.compare_digest(hashed(request.cookies.get(ADMIN, "")), hashed(self._admin)):
            raise self._stranger(request)
        rows = await run_in_threadpool(self.store.raters)
        return self._page(
            "admin.html", design=self.study.design, study=self.study, rows=rows, now=time.time()
        )

    async def refused(self, request: Request, error: Exception) -> Response:
        """Any error, as a page."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        words = WORDS.get(status, "That does not work here.")
        headers = dict(getattr(error, "headers", None) or {})
        if status == 500:  # is answered outside of the guard
            headers |= {"cache-control": "no-store", **HEADERS}
        if request.headers.get("content-type", "").startswith("application/json"):
            return JSONResponse({"error": words}, status, headers)
        answer = self._page("message.html", words=words)
        answer.status_code = status
        answer.headers.update(headers)
        return answer

    async def _current(self, request: Request, rater: Rater, elsewhere: bool = False) -> Response:
        csrf = self._csrf(self._token(request))
        status = 409 if elsewhere else 200
        if not rater.consented:
            raise HTTPException(403)
        if rater.done:
            return self._page("thanks.html", status, order=rater.current, csrf=csrf)
        if pause(self.study, rater):
            context = shown(self.study, rater)
            images = [name for one in context["sets"] for name in one["pictures"]]
            return self._page(
                "rest.html", status, order=rater.current, of=len(rater.entries), csrf=csrf, next=images
            )
        await self._shown(rater)
        context = shown(self.study, rater)
        return self._page("rate.html", status, csrf=csrf, elsewhere=elsewhere, **context)

    async def _shown(self, rater: Rater) -> None:
        if rater.shown_at is None:
            await _done(self.store.shown(rater.number, rater.current))

    def _token(self, request: Request) -> str:
        return request.cookies.get(COOKIE, "")

    async def _rater(self, request: Request, token: str | None = None) -> Rater:
        """Whose request it is, by the `token` of a link or by the cookie."""
        given = self._token(request) if token is None else token
        rater = await run_in_threadpool(self.store.rater, given) if 0 < len(given) <= 200 else None
        if rater is None:
            raise self._stranger(request, 403 if token is None else 404)
        if not self._often(f"r{rater.number}"):
            raise HTTPException(429)
        return rater

    def _stranger(self, request: Request, status: int = 404) -> HTTPException:
        """Guesses are few; those who have a token are not held up by who guesses from where they are."""
        return HTTPException(
            status if self._strangers(request.client.host if request.client else "") else 429
        )

    async def _change(self, request: Request) -> tuple[Rater, dict[str, Any]]:
        """Who asks for a change and with what; 403 without the mark that only our own pages have."""
        rater = await self._rater(request)
        try:
            body = await request.body()
        except ClientDisconnect:  # nobody is there to be told, and nothing is broken
            raise HTTPException(400) from None
        try:
            if request.headers.get("content-type", "").startswith("application/json"):
                given = json.loads(body)
            else:
                given = dict(
                    parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=False, max_num_fields=200)
                )
        except (ValueError, RecursionError):
            raise HTTPException(422) from None
        mark = given.pop("csrf", None) if isinstance(given, dict) else None
        if not isinstance(mark, str) or not hmac.compare_digest(
            hashed(mark), hashed(self._csrf(self._token(request)))
        ):
            raise HTTPException(403)
        return rater, given

    def _csrf(self, token: str) -> str:
        return opaque(self.study.key, "form", token)

    def _cookie(self, request: Request, answer: Response, name: str, value: str) -> None:
        secure = request.url.scheme == "https"
        # lax: who comes back by the link in a letter would not be known on the page that it leads to. Changes carry a mark.
        answer.set_cookie(name, value, httponly=True, samesite="lax", secure=secure, max_age=90 * 86_400)

    def _page(self, name: str, status: int = 200, **context: Any) -> HTMLResponse:
        return HTMLResponse(self._templates.get_template(name).render(**context), status)


def new_token() -> str:
    """Of the admin page."""
    return secrets.token_urlsafe(32)


def _whole(given: Any) -> int:
    """A whole number from text or JSON; -1 for anything else."""
    if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 10:
        return int(given)
    return given if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < 2**31 else -1


async def _done(future: Any) -> Any:
    return await asyncio.wrap_future(future)
