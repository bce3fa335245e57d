"""How long raters wait: 200 of them at imagen-rate serve on loopback: var/bench/rating.json.

Timed is what a page does: the answer is sent, and the next item's page is there; beside that each rater fetches the pictures of the
item after it, as the page does ahead of time. A line for each way of CASES: how many pictures a set has (of 64 x 64), and how often
a rater answers. The clients are asyncio in a process of their own, on the same cores as the server.
"""

import asyncio
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "var/bench/rating.json"
RATERS, ANSWERS, PORT = 200, 12, 8765
CASES = ((1, 2.0), (8, 8.0), (8, 2.0))  # pictures of a set, seconds between the answers of a rater
STUDY = """
name: load
protocol: drawbench
systems: {a: a, b: b}
show: {pictures: PICTURES}
session: {items: 12, category: any, repeats: 0, controls: 0, break_every: 0}
"""


def study(folder: Path, pictures: int) -> list[str]:
    """A study of drawn pictures -> the paths of its invitations."""
    import numpy as np
    from PIL import Image

    drawn = np.random.default_rng(0)
    for system in "ab":
        (folder / system).mkdir()
        for n in range(20 * pictures):
            name = folder / system / f"{n}.png"
            Image.fromarray(drawn.integers(0, 256, (64, 64, 3), np.uint8)).save(name)
            name.with_suffix(".txt").write_text(f"a drawing of thing {n % 20}")
    (folder / "STUDY.yaml").write_text(STUDY.replace("PICTURES", str(pictures)))
    program = [sys.executable, "-m", "imagen.programs.rate"]
    subprocess.run(
        [*program, "new", folder / "STUDY.yaml", f"out={folder}/study"], check=True, capture_output=True
    )
    told = subprocess.run(
        [*program, "invite", folder / "study", f"n={RATERS}"], check=True, capture_output=True, text=True
    )
    return [line.partition(",")[2].partition(":8000")[2] for line in told.stdout.split()]


class Browser:
    """One connection that is kept, and its cookie."""

    async def opened(self) -> "Browser":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", PORT)
        self.cookie = ""
        return self

    async def ask(self, method: str, path: str, form: dict[str, str] | None = None) -> str:
        """The page; once more where the server had closed the connection, as browsers do."""
        try:
            return await self._asked(method, path, form)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", PORT)
            return await self._asked(method, path, form)

    async def _asked(self, method: str, path: str, form: dict[str, str] | None = None) -> str:
        """The page, after it was sent on."""
        body = urlencode(form or {})
        kind = (
            f"content-type: application/x-www-form-urlencoded\r\ncontent-length: {len(body)}\r\n"
            if form
            else ""
        )
        self.writer.write(
            f"{method} {path} HTTP/1.1\r\nhost: x\r\ncookie: {self.cookie}\r\n{kind}\r\n{body if form else ''}".encode()
        )
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        if found := re.search(r"set-cookie: ([^;]+)", head):
            self.cookie = found[1]
        length = re.search(r"content-length: (\d+)", head)
        content = await self.reader.readexactly(int(length[1]) if length else 0)
        page = content.decode(errors="replace")
        status = int(head.split()[1])
        assert status in (200, 303), (status, page)
        return await self.ask("GET", "/rate") if status == 303 else page


async def rater(path: str, every: float, times: list[float], waits: list[float]) -> None:
    """A session: `times` of answers, and of the last of the pictures that are fetched ahead."""
    browser, ahead = await Browser().opened(), await Browser().opened()
    await asyncio.sleep(random.uniform(0, 2 * every))
    page = await browser.ask("GET", path)
    page = await browser.ask("POST", "/consent", {"csrf": re.findall(r'name="csrf" value="(\w+)"', page)[0]})
    ahead.cookie = browser.cookie
    at = time.perf_counter()
    for _ in range(ANSWERS):
        at += every
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        form = dict(
            re.findall(r'name="(csrf|order|key)" value="([\w-]+)"', page.partition('class="answer"')[2])
        )
        began = time.perf_counter()
        page = await browser.ask(
            "POST", "/answer", {**form, "seconds": "1", "quality": "left", "alignment": "same"}
        )
        times.append(time.perf_counter() - began)
        names = re.findall(r'data-next="([^"]*)"', page)
        began = time.perf_counter()
        for name in names[0].split() if names else ():
            await ahead.ask("GET", f"/picture/{name}")
        waits.append(time.perf_counter() - began)
    assert "Thank you" in page


async def all_of_them(paths: list[str], every: float) -> tuple[list[float], list[float]]:
    """Of answers, and of pictures ahead."""
    times: list[float] = []
    waits: list[float] = []
    await asyncio.gather(*(rater(path, every, times, waits) for path in paths))
    return times, waits


def measured(pictures: int, every: float) -> dict[str, float]:
    """One of CASES, at a server of its own."""
    with tempfile.TemporaryDirectory() as folder:
        paths = study(Path(folder), pictures)
        words = [sys.executable, "-m", "imagen.programs.rate", "serve", f"{folder}/study", f"port={PORT}"]
        server = subprocess.Popen(words, stdout=subprocess.PIPE)
        try:
            assert server.stdout
            server.stdout.readline()
            time.sleep(1)
            times, waits = asyncio.run(all_of_them(paths, every))
        finally:
            server.terminate()
            server.wait()
    share = statistics.quantiles(times, n=100)
    return {
        "pictures_an_item": 2 * pictures,
        "seconds_between_answers": every,
        "raters": RATERS,
        "answers": len(times),
        "p50_ms": 1e3 * share[49],
        "p95_ms": 1e3 * share[94],
        "p99_ms": 1e3 * share[98],
        "pictures_p95_ms": 1e3 * statistics.quantiles(waits, n=100)[94],
    }


def main() -> None:
    found = []
    for pictures, every in CASES:
        found.append(measured(pictures, every))
        print(json.dumps(found[-1]), flush=True)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
