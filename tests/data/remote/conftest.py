"""A server of files on loopback, with faults."""

import http.server
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imagen.data.prepare.embedding import embed
from imagen.data.prepare.preparing import prepare
from imagen.data.remote import Cache
from imagen.data.sources.shapes import Shapes
from imagen.text import HashedWords


class Handler(http.server.BaseHTTPRequestHandler):
    server: "Server"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        with self.server.lock:
            self.server.asked[path] += 1
            waiting = self.server.faults.get(path)
            fault = waiting.pop(0) if waiting else "whole"
        file = self.server.root / path.lstrip("/")
        if not file.is_file():
            return self.send_error(404)
        if isinstance(fault, int):
            return self.send_error(fault)
        FAULTS[fault](self, file.read_bytes())

    def head(self, size: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def whole(handler: Handler, body: bytes) -> None:
    handler.head(len(body))
    handler.wfile.write(body)


def cut(handler: Handler, body: bytes) -> None:
    handler.head(len(body))
    handler.wfile.write(body[: len(body) // 2])


def stall(handler: Handler, body: bytes) -> None:
    handler.head(len(body))
    handler.wfile.write(body[: len(body) // 2])
    handler.wfile.flush()
    handler.server.over.wait(5)


def slow(handler: Handler, body: bytes) -> None:
    time.sleep(0.15)
    whole(handler, body)


def other(handler: Handler, body: bytes) -> None:
    whole(handler, body[:-1])


FAULTS: dict[str, Callable[[Handler, bytes], None]] = {
    "whole": whole,
    "cut": cut,
    "stall": stall,
    "slow": slow,
    "other": other,
}


class Server(http.server.ThreadingHTTPServer):
    """Files of `root` at `url`. `asked`: path -> how often. `faults`: path -> what its next answers are, by the names of
    FAULTS, or as an HTTP status."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root, self.url = root, f"http://127.0.0.1:{self.server_address[1]}"
        self.asked: Counter[str] = Counter()
        self.faults: dict[str, list[str | int]] = {}
        self.lock, self.over = threading.Lock(), threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that went away is part of the game


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "pictures"
    prepare(Shapes(count=12, resolution=8, held_out=4), folder, shard_size=4)
    embed(folder, [HashedWords(8)])
    return folder


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "root").mkdir()
    server = Server(tmp_path / "root")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def pictures(server: Server, prepared: Path) -> Path:
    """The folder, where the server has it."""
    return Path(shutil.copytree(prepared, server.root / "pictures"))


@pytest.fixture
def file(server: Server) -> str:
    """The address of a file of 1000 bytes."""
    (server.root / "a.bin").write_bytes(os.urandom(1000))
    return f"{server.url}/a.bin"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", tries=3, pause=0.01, timeout=5)
