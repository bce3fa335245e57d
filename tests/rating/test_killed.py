"""The real server, killed with -9 under 50 raters and started again: what was acknowledged is there once, and nothing twice."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagen.rating.server.exporting import answers_of
from imagen.rating.server.store import Store

from .conftest import Made
from .serving import hidden, values_of

pytestmark = pytest.mark.server
RATERS, KILLS = 50, 2


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def started(study: Path, port: int) -> subprocess.Popen:
    """imagen-rate serve, when it answers."""
    words = [sys.executable, "-m", "imagen.programs.rate", "serve", str(study), f"port={port}"]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ)
    for _ in range(600):
        try:
            if httpx.get(f"http://127.0.0.1:{port}/", timeout=5).status_code == 200:
                return running
        except httpx.TransportError:
            time.sleep(0.1)
        assert running.poll() is None
    raise AssertionError("the server does not answer")


async def rater(base: str, token: str, acknowledged: Counter) -> None:
    """Answers every item; what fails is sent again, and every third answer is sent twice at once."""

    async def tried(method: str, path: str, **how: Any) -> httpx.Response:
        while True:
            try:
                reply = await client.request(method, path, **how)
            except httpx.TransportError:
                await asyncio.sleep(0.2)
                continue
            if reply.status_code < 500 and reply.status_code != 429:
                return reply
            await asyncio.sleep(0.3)

    async with httpx.AsyncClient(base_url=base, timeout=10) as client:
        page = await tried("GET", f"/i/{token}")
        await tried("POST", "/consent", data={"csrf": hidden(page.text, "csrf")})
        while "key" in (item := (await tried("GET", "/item")).json()):
            body = {name: item[name] for name in ("csrf", "order", "key")}
            sent = [tried("POST", "/answer", json={**body, "values": values_of(item)})]
            if item["order"] % 3 == 0:
                sent.append(tried("POST", "/answer", json={**body, "values": values_of(item)}))
            for reply in await asyncio.gather(*sent):
                assert reply.status_code == 200, reply.text
            acknowledged[token, item["order"], item["key"]] += 1


async def together(study: Path, tokens: list[str], acknowledged: Counter) -> subprocess.Popen:
    """All raters; the server is killed as they go."""
    port = free_port()
    server = await asyncio.to_thread(started, study, port)
    raters = asyncio.gather(*(rater(f"http://127.0.0.1:{port}", token, acknowledged) for token in tokens))
    for kill in range(KILLS):
        wanted = (kill + 1) * RATERS * 2
        while sum(acknowledged.values()) < wanted and not raters.done():
            await asyncio.sleep(0.01)
        server.send_signal(signal.SIGKILL)
        server.wait()
        server = await asyncio.to_thread(started, study, port)
    await raters
    return server


def test_killed_under_raters(made: Made, tmp_path: Path) -> None:
    made(20, session={"items": 8})
    store = Store(tmp_path / "study")
    invited = store.invite(RATERS, 1.0)
    store.close()
    acknowledged: Counter = Counter()
    server = asyncio.run(together(tmp_path / "study", [token for _, token in invited], acknowledged))
    server.kill()
    server.wait()
    store = Store(tmp_path / "study")
    rows = store.answers(undone=True)
    there = Counter((row["rater"], row["entry"], row["key"]) for row in rows)
    names = {token: number for number, (_, token) in enumerate(invited, 1)}
    assert {(names[token], order, key) for token, order, key in acknowledged} == set(there)
    assert set(there.values()) == {1}
    assert len(rows) == RATERS * 8
    answers = answers_of(store)
    assert len({(a.rater, a.item, a.question, a.repeat) for a in answers}) == len(answers) == RATERS * 8 * 2
    shown = Counter((a.prompt, a.shown) for a in answers if a.question == "quality")
    assert set(shown.values()) == {10}, "balanced still"
    store.close()
