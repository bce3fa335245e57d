"""Shards at addresses: the same batches as from disk, by way of a bounded cache, whatever a server does."""

import http.server
import json
import logging
import multiprocessing
import os
import pickle
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from omegaconf import OmegaConf

from imagen.data import remote
from imagen.data.module import Shards
from imagen.data.prepare.embedding import embed
from imagen.data.prepare.estimate import estimate
from imagen.data.prepare.preparing import prepare
from imagen.data.remote import Cache, Lost, Remote
from imagen.data.shards import split_of
from imagen.data.sources.img2dataset import Img2dataset
from imagen.data.sources.shapes import Shapes
from imagen.data.sources.source import BadPair
from imagen.programs.build import build
from imagen.text import HashedWords

ENCODER = HashedWords(8)
FORK = multiprocessing.get_context("fork")
Fault = Callable[["Handler", bytes], None]


class Handler(http.server.BaseHTTPRequestHandler):
    server: "Server"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        with self.server.lock:
            self.server.asked[path] += 1
            fault = next(iter(self.server.faults.get(path, [])), None)
            if fault is not None:
                self.server.faults[path].pop(0)
        file = self.server.root / path.lstrip("/")
        if not file.is_file():
            return self.send_error(404)
        (fault or whole)(self, file.read_bytes())

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


def status(code: int) -> Fault:
    def answer(handler: Handler, body: bytes) -> None:
        handler.send_error(code)

    return answer


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root, self.url = root, f"http://127.0.0.1:{self.server_address[1]}"
        self.asked: Counter[str] = Counter()
        self.faults: dict[str, list[Fault]] = {}
        self.lock, self.over = threading.Lock(), threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that went away is part of the game


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "pictures"
    prepare(Shapes(count=12, resolution=8, held_out=4), folder, shard_size=4)
    embed(folder, [ENCODER])
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
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", tries=3, pause=0.01, timeout=5)


def module(train: Any, cache: Cache, **options: Any) -> Shards:
    data = Shards(train, **{"resolution": 8, "batch_size": 4, "encoder": ENCODER, "cache": cache, **options})
    data.setup("fit")
    return data


def batches(data: Shards, count: int = 4) -> list[dict[str, Any]]:
    made: Any = data.train_dataloader().dataset
    return [made.batch(number) for number in range(count)]


def assert_equal(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    assert len(some) == len(others) > 0
    for one, other in zip(some, others):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]


def copies(cache: Cache) -> list[Path]:
    return [path for path in cache.folder.iterdir() if path.is_file()]


# Data sets


def test_a_remote_folder_gives_the_batches_of_the_local_one(
    server: Server, pictures: Path, prepared: Path, cache: Cache
) -> None:
    here, there = module(str(prepared), cache), module(f"{server.url}/pictures", cache)
    assert not any("tar" in path or "safetensors" in path for path in server.asked), (
        "nothing but what is needed"
    )
    assert_equal(batches(there), batches(here))
    assert "text_emb" in batches(there)[0]
    assert_equal(list(there.val_dataloader()), list(here.val_dataloader()))
    fetched = {path: n for path, n in server.asked.items() if path.endswith((".tar", ".safetensors"))}
    assert len(fetched) == 8
    assert set(fetched.values()) == {1}
    # by workers, which are forked from a process that has fetched something
    workers = iter(module(f"{server.url}/pictures/", Cache(cache.folder / "2"), workers=2).train_dataloader())
    assert_equal([next(workers) for _ in range(4)], batches(here))


def test_remote_tars_give_the_batches_of_local_ones(
    server: Server, pictures: Path, prepared: Path, cache: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    names = "train-{000000..000002}.tar"
    assert_equal(
        batches(module(f"{server.url}/pictures/{names}", cache)),
        batches(module(f"{prepared}/{names}", cache)),
    )
    shutil.rmtree(pictures / "text")
    with caplog.at_level(logging.WARNING):
        assert "text_emb" not in batches(module(f"{server.url}/pictures/{names}", cache), 1)[0]
    assert "embedded while training" in caplog.text
    assert "key.json: there is no such file (404) (1 try)" in caplog.text


def test_shards_cross_to_other_processes(server: Server, pictures: Path, cache: Cache) -> None:
    shard = split_of(f"{server.url}/pictures", "train", "x", cache)[1]
    assert pickle.loads(pickle.dumps(shard)).read(2)["__key__"] == shard.read(2)["__key__"]


def test_img2dataset_at_addresses(server: Server, pictures: Path, cache: Cache, tmp_path: Path) -> None:
    names = "train-{000000..000002}.tar"
    source = Img2dataset(f"{server.url}/pictures/{names}")
    assert estimate(source, 8).pairs == 30_000
    index = prepare(source, tmp_path / "out", workers=2, cache=cache)
    assert prepare(source, tmp_path / "out", cache=cache) == index
    shards = index["splits"]["train"]["shards"]
    assert [shard["url"] for shard in shards] == [
        f"{server.url}/pictures/train-00000{n}.tar" for n in range(3)
    ]
    embed(tmp_path / "out", [ENCODER], cache=cache)
    prepare(Img2dataset(f"{pictures}/train-*.tar"), tmp_path / "local")
    embed(tmp_path / "local", [ENCODER])
    assert_equal(batches(module(tmp_path / "out", cache)), batches(module(tmp_path / "local", cache)))
    assert {n for path, n in server.asked.items() if path.endswith(".tar")} == {1}
    with pytest.raises(
        ValueError, match=r"source.path=http://x/y: name its tars, such as http://x/y/\{00000"
    ):
        Img2dataset("http://x/y")
    (pictures / "train-000001.tar").unlink()
    with pytest.raises(
        ValueError, match=r"source.path: http.*train-000001.tar: there is no such file \(404\)"
    ):
        prepare(source, tmp_path / "again", cache=Cache(tmp_path / "empty"))


def test_what_was_put_there_since_is_fetched(server: Server, pictures: Path, cache: Cache) -> None:
    before = batches(module(f"{server.url}/pictures", cache))
    shutil.rmtree(pictures)
    prepare(Shapes(count=12, resolution=8, held_out=4, seed=1), pictures, shard_size=4)
    embed(pictures, [ENCODER])
    after = batches(module(f"{server.url}/pictures", cache))
    assert_equal(after, batches(module(pictures, cache)))
    assert not torch.equal(after[0]["image"], before[0]["image"])


def test_a_lost_shard_is_counted_and_left_out(
    server: Server, pictures: Path, cache: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    (pictures / "train-000001.tar").unlink()
    data = module(f"{server.url}/pictures", cache, max_bad=0.5)
    with caplog.at_level(logging.WARNING):
        made: Any = data.train_dataloader().dataset
        found = [key for number in range(6) for key in made.batch(number)["key"]]
    assert not set(found) & {f"train-{row:08d}" for row in range(4, 8)}
    assert len(made.bad) == 4
    assert "missing shard: http" in caplog.text
    assert server.asked["/pictures/train-000001.tar"] == 1, "the others of its pairs do not ask again"
    with pytest.raises(ValueError, match=r"\d pairs cannot be used \(.*\), more than data.max_bad=0.1"):
        list(zip(module(f"{server.url}/pictures", cache).train_dataloader(), range(20)))


def test_lost_embeddings_are_counted_and_left_out(server: Server, pictures: Path, cache: Cache) -> None:
    next(pictures.glob("text/*/train-000001.safetensors")).unlink()
    next(pictures.glob("index/train-000002.json")).unlink()
    made: Any = module(f"{server.url}/pictures", cache, max_bad=1.0).train_dataloader().dataset
    found = [key for number in range(6) for key in made.batch(number)["key"]]
    assert set(found) <= {f"train-{row:08d}" for row in range(4)}


def test_damage_is_told_with_the_address(server: Server, pictures: Path, cache: Cache) -> None:
    (pictures / "index/train-000001.json").write_text("{")
    with pytest.raises(ValueError, match=r"^http.*/index/train-000001.json is damaged .*; delete it"):
        split_of(f"{server.url}/pictures", "train", "x", cache)[1].read(0)
    next(pictures.glob("text/*/train-000000.safetensors")).write_bytes(b"no")
    (pictures / "index/train-000001.json").unlink()
    with pytest.raises(ValueError, match=r"^http.*/train-000000.safetensors is damaged"):
        batches(module(f"{server.url}/pictures", cache, max_bad=1.0))
    (pictures / "index.json").unlink()
    with pytest.raises(
        ValueError, match=r"^data.train=http.*/index.json: there is no such file.*: give the add"
    ):
        module(f"{server.url}/pictures", cache)
    key = next(pictures.glob("text/*/key.json"))
    key.write_text(json.dumps({**json.loads(key.read_text()), "dim": 9}))
    with pytest.raises(
        ValueError, match="are of another encoder than the one configured: dim is 9 there, 8 here"
    ):
        module(f"{server.url}/pictures/train-000000.tar", cache)


@pytest.mark.parametrize("url", ["pipe:touch /tmp/harm", "/etc/passwd", "../x.tar"])
def test_an_index_from_elsewhere_leads_nowhere_else(
    server: Server, pictures: Path, cache: Cache, url: str
) -> None:
    index = json.loads((pictures / "index.json").read_text())
    index["splits"]["train"]["shards"][0]["url"] = url
    (pictures / "index.json").write_text(json.dumps(index))
    cache.pipes = True
    with pytest.raises(ValueError, match=r"data.train=.*its index.json leads to .*, which is no address"):
        module(f"{server.url}/pictures", cache)


# Fetching


@pytest.fixture
def file(server: Server) -> str:
    (server.root / "a.bin").write_bytes(os.urandom(1000))
    return f"{server.url}/a.bin"


@pytest.mark.parametrize("faults", [[cut], [status(500), status(503)], [stall], [status(429), cut], [other]])
def test_what_may_pass_is_tried_again(server: Server, file: str, cache: Cache, faults: list[Fault]) -> None:
    server.faults["/a.bin"] = list(faults)
    cache.timeout = 0.5 if stall in faults else 5
    assert cache.local(file, 1000).read_bytes() == (server.root / "a.bin").read_bytes()
    asked = server.asked["/a.bin"]
    assert asked == len(faults) + 1
    assert cache.local(file, 1000) == cache.local(file)
    assert server.asked["/a.bin"] == asked
    assert len(copies(cache)) == 1


@pytest.mark.parametrize(
    ("fault", "size", "words"),
    [
        (status(500), None, "the server says 500 Internal Server Error"),
        (stall, None, "no byte came for 0.3 s"),
        (cut, None, "Not enough data|payload is not completed"),
        (whole, 999, "1000 bytes came, not 999"),
    ],
)
def test_the_last_try_says_why(
    server: Server, file: str, cache: Cache, fault: Fault, size: int | None, words: str
) -> None:
    server.faults["/a.bin"] = [fault] * 9
    cache.timeout = 0.3 if fault is stall else 5
    for _ in range(2):  # the second time it is not asked for again
        with pytest.raises(Lost, match=rf"^{file}: .*({words}).* \(3 tries\)$"):
            cache.local(file, size)
    assert server.asked["/a.bin"] == 3 or fault is stall
    assert copies(cache) == []
    assert pickle.loads(pickle.dumps(Lost("a", gone=True))).gone


@pytest.mark.parametrize("code", [403, 404, 410])
def test_what_is_not_there_is_not_asked_for_again(server: Server, file: str, cache: Cache, code: int) -> None:
    server.faults["/a.bin"] = [status(code)]
    with pytest.raises(Lost, match=rf"{code}.* \(1 try\)") as caught:
        cache.local(file)
    assert caught.value.gone
    assert server.asked["/a.bin"] == 1


def test_nobody_is_there(cache: Cache) -> None:
    with pytest.raises(Lost, match=r"^http://127.0.0.1:9/a.tar: .*\(3 tries\)$"):
        cache.local("http://127.0.0.1:9/a.tar")


def test_the_least_recently_used_copies_go(server: Server, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", max_gb=2500e-9)
    for name in "abcd":
        (server.root / f"{name}.tar").write_bytes(name.encode() * 1000)
    a, b, c, d = (f"{server.url}/{name}.tar" for name in "abcd")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/mine.tar").write_bytes(b"x" * 9000)  # which is no copy of ours
    first, second = cache.local(a), cache.local(b)
    with Remote(b, cache).open() as opened:
        cache.local(a)
        third = cache.local(c)
        assert (first.exists(), second.exists(), third.exists()) == (True, False, True)
        assert opened.read() == b"b" * 1000, "what is open can be read to its end"
    for url in (a, b, c, d) * 3:
        assert Remote(url, cache).open().read() == url[-5].encode() * 1000
        assert sum(path.stat().st_size for path in copies(cache)) - 9000 <= 2500
    small = Cache(tmp_path / "small", max_gb=10e-9)
    assert small.local(a).exists(), "the one just asked for stays"
    assert (tmp_path / "cache/mine.tar").exists()


def together(count: int, work: Callable[[], object]) -> None:
    processes = [FORK.Process(target=work) for _ in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(10)
        assert process.exitcode == 0


def test_processes_that_ask_at_once_make_one_download(server: Server, file: str, cache: Cache) -> None:
    server.faults["/a.bin"] = [slow]
    together(3, lambda: cache.local(file).read_bytes())
    assert server.asked["/a.bin"] == 1


def test_processes_that_wait_share_a_failure(server: Server, file: str, cache: Cache) -> None:
    server.faults["/a.bin"], cache.pause = [status(500)] * 9, 0.2
    start = FORK.Barrier(3)

    def fail() -> None:
        start.wait()
        with pytest.raises(Lost, match=r"says 500 .* \(3 tries\)"):
            cache.local(file)

    together(3, fail)
    assert server.asked["/a.bin"] == 3
    server.faults.clear()
    assert cache.local(file).exists(), "who comes later asks again"


def test_a_killed_process_leaves_nothing_half(server: Server, file: str, cache: Cache) -> None:
    (server.root / "a.bin").write_bytes(bytes(1 << 20))
    server.faults["/a.bin"] = [stall]
    process = FORK.Process(target=cache.local, args=(file,))
    process.start()
    while not any(path.suffix == ".part" and path.stat().st_size for path in cache.folder.glob("*")):
        time.sleep(0.01)
        assert process.is_alive()
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    (server.root / "b.bin").write_bytes(b"b")
    cache.local(f"{server.url}/b.bin")
    assert [path.stat().st_size for path in copies(cache)] == [1]
    assert len(cache.local(file).read_bytes()) == 1 << 20


def test_other_protocols_go_the_same_way(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    files = fsspec.filesystem("memory")
    files.pipe_file("/bucket/x.tar", b"y" * 700)
    monkeypatch.setattr(remote, "_files", lambda protocol, timeout: files)
    monkeypatch.setitem(remote.NEEDS, "memory", "fsspec")
    assert cache.local("memory://bucket/x.tar").read_bytes() == b"y" * 700
    with pytest.raises(Lost, match="there is no such file"):
        cache.local("memory://bucket/z.tar")


# Pipes, and what is refused


def test_a_pipe_needs_the_flag(prepared: Path, cache: Cache, tmp_path: Path) -> None:
    command = f"pipe:cat {prepared}/train-{{000000..000002}}.tar"
    with pytest.raises(
        ValueError, match=r"^data.train=pipe:cat .*: runs a shell command: give cache.pipes=true"
    ):
        module(command, cache)
    with pytest.raises(ValueError, match="runs a shell command"):
        prepare(Img2dataset(command), tmp_path / "out", cache=cache)
    with pytest.raises(ValueError, match="runs a shell command"):
        cache.local(f"pipe:touch {tmp_path}/harm")
    assert not (tmp_path / "harm").exists()
    cache.pipes = True
    live = module(f"{prepared}/train-*.tar", cache, live=True)
    assert_equal(batches(module(command, cache)), batches(live))
    with pytest.raises(Lost, match=r"pipe:exit 3: the command ended with exit code 3 \(3 tries\)"):
        cache.local("pipe:exit 3")
    cache.timeout = 0.1
    with pytest.raises(Lost, match=r"no byte came for 0.1 s"):
        cache.local("pipe:echo half; sleep 5")
    with pytest.raises(
        ValueError, match=r"data.train=pipe:exit 3: pipe:exit 3: the command ended.*: leave it out"
    ):
        module("pipe:exit 3", cache)


@pytest.mark.parametrize("url", ["ftp://host/a.tar", "file:///a.tar", "HTTPS+x://host/pictures"])
def test_unknown_protocols_are_refused(url: str, cache: Cache, tmp_path: Path) -> None:
    known = r":// is not known: give https://, http://, s3://, gs://, hf:// or pipe:COMMAND"
    with pytest.raises(ValueError, match=rf"^data.train=.*{known}"):
        module(url, cache)
    with pytest.raises(ValueError, match=rf"^source.path=.*{known}"):
        prepare(Img2dataset(f"{url}.tar"), tmp_path / "out", cache=cache)


def test_patterns_that_no_server_can_answer(cache: Cache) -> None:
    with pytest.raises(ValueError, match=r"data.train=http://x/\*.tar: servers do not list .*: give \{00000"):
        module("http://x/*.tar", cache)
    with pytest.raises(ValueError, match="names more than 1000000 shards"):
        module("http://x/{0..99999999}.tar", cache)


@pytest.mark.parametrize(
    ("module_name", "url", "remedy"),
    [
        ("s3fs", "s3://bucket/x", r"needs s3fs: pip install 'imagen-cascade\[remote\]' s3fs"),
        ("gcsfs", "gs://bucket/x", r"needs gcsfs: pip install 'imagen-cascade\[remote\]' gcsfs"),
        ("fsspec", "https://host/x", r"needs fsspec: pip install 'imagen-cascade\[remote\]'$"),
    ],
)
def test_what_must_be_installed_is_said(
    module_name: str, url: str, remedy: str, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module_name, None)
    with pytest.raises(ValueError, match=rf"^data.train={url}: {remedy}"):
        module(url, cache)


@pytest.mark.parametrize(
    ("option", "value"),
    [("tries", 0), ("max_gb", 0), ("max_gb", float("nan")), ("timeout", 0), ("pause", -1)],
)
def test_options_of_no_meaning_are_refused(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^{option}={value}: give "):
        Cache(**{option: value})  # type: ignore[arg-type]


def test_the_settings_are_the_defaults(tmp_path: Path) -> None:
    root = Path(__file__).parents[2] / "conf"
    for path in ("data/shards.yaml", "prepare.yaml"):
        settings: Any = OmegaConf.load(root / path)
        made = build(settings.cache)
        assert vars(made) == vars(Cache())
        assert not str(made.folder).startswith("~")


def test_addresses_join_and_part() -> None:
    folder = Remote("https://host/a/?token=1", Cache())
    tar = folder / "b c.tar"
    assert str(tar) == "https://host/a/b%20c.tar?token=1"
    assert (tar.name, str(tar.parent)) == ("b%20c.tar", "https://host/a?token=1")
    assert str(Remote("s3://bucket/a", Cache()) / "b c.tar") == "s3://bucket/a/b c.tar"
    with pytest.raises(BadPair):
        raise BadPair("missing shard", str(tar))
