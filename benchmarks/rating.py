"""How long raters wait: 200 of them at imagen-rate serve on loopback, an answer every 2 s each: var/bench/rating.json.

Timed is what a page does: the answer is sent, and the next item's page is there. The clients are asyncio in a process of their own,
on the same cores as the server.
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
RATERS, EVERY, ANSWERS, PORT = 200, 2.0, 12, 8765
STUDY = """
name: load
protocol: drawbench
systems: {a: a, b: b}
show: {pictures: 2}
session: {items: 12, category: any, repeats: 0, controls: 0, break_every: 0}
"""


def study(folder: Path) -> list[str]:
    """A study of drawn pictures -> the paths of its invitations."""
    import numpy as np
    from PIL import Image

    drawn = np.random.default_rng(0)
    for system in "ab":
        (folder / system).mkdir()
        for n in range(40):
            name = folder / system / f"{n}.png"
            Image.fromarray(drawn.integers(0, 256, (64, 64, 3), np.uint8)).save(name)
            name.with_suffix(".txt").write_text(f"a drawing of thing {n // 2}")
    (folder / "STUDY.yaml").write_text(STUDY)
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
        page = (await self.reader.readexactly(int(length[1]) if length else 0)).decode()
        status = int(head.split()[1])
        assert status in (200, 303), (status, page)
        return await self.ask("GET", "/rate") if status == 303 else page


async def rater(path: str, times: list[float]) -> None:
    browser = await Browser().opened()
    await asyncio.sleep(random.uniform(0, 4 * EVERY))
    page = await browser.ask("GET", path)
    page = await browser.ask("POST", "/consent", {"csrf": re.findall(r'name="csrf" value="(\w+)"', page)[0]})
    at = time.perf_counter()
    for _ in range(ANSWERS):
        at += EVERY
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        form = dict(
            re.findall(r'name="(csrf|order|key)" value="([\w-]+)"', page.partition('class="answer"')[2])
        )
        began = time.perf_counter()
        page = await browser.ask(
            "POST", "/answer", {**form, "seconds": "1", "quality": "left", "alignment": "same"}
        )
        times.append(time.perf_counter() - began)
    assert "Thank you" in page


async def all_of_them(paths: list[str]) -> list[float]:
    times: list[float] = []
    await asyncio.gather(*(rater(path, times) for path in paths))
    return times


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = study(Path(folder))
        words = [sys.executable, "-m", "imagen.programs.rate", "serve", f"{folder}/study", f"port={PORT}"]
        server = subprocess.Popen(words, stdout=subprocess.PIPE)
        try:
            assert server.stdout
            server.stdout.readline()
            time.sleep(1)
            times = sorted(asyncio.run(all_of_them(paths)))
        finally:
            server.terminate()
            server.wait()
    share = statistics.quantiles(times, n=100)
    found = {
        "raters": RATERS,
        "answers": len(times),
        "p50_ms": 1e3 * share[49],
        "p95_ms": 1e3 * share[94],
        "p99_ms": 1e3 * share[98],
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
