"""What stands before every page: bounded bodies, headers that keep other pages and scripts out, and limits on how often one asks."""

import time
from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException

BODY = 16_384  # bytes
HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # the address of an invitation is its token
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """ASGI: `app` with HEADERS on all that it says, "cache-control: no-store" where it says nothing of it, and 413 for a body
    that is larger than BODY, whether its length is announced or not."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        got = 0

        async def bounded() -> Any:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > BODY:
                raise HTTPException(
                    413
                )  # where the body is read, so that no half of it is taken for the whole
            return message

        async def headed(message: Any) -> None:
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message["headers"]}
                more = {"cache-control": "no-store", **HEADERS}
                headers = [(k.encode(), v.encode()) for k, v in more.items() if k.encode() not in names]
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > BODY:
            headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
            await headed({"type": "http.response.start", "status": 413, "headers": headers})
            await send({"type": "http.response.body", "body": b"too large\n"})
            return
        await self.app(scope, bounded, headed)


class Limit:
    """`rate` a second for each of many keys, and `burst` at once; a bucket of tokens each."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self._clock = rate, burst, clock
        self._left: dict[str, tuple[float, float]] = {}

    def __call__(self, key: str) -> bool:
        """Whether one more is allowed; it is counted."""
        now = self._clock()
        if len(self._left) > 10_000:  # full ones say nothing
            self._left = {k: v for k, v in self._left.items() if v[0] + (now - v[1]) * self.rate < self.burst}
        left, at = self._left.get(key, (self.burst, now))
        left = min(self.burst, left + (now - at) * self.rate)
        self._left[key] = (left - 1 if left >= 1 else left, now)
        return left >= 1
