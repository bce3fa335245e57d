"""Copies of what lies at addresses: whole, shared by processes, bounded in bytes, whatever a server does."""

import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from omegaconf import OmegaConf

from imagen.data import remote
from imagen.data.remote import Cache, Lost, Remote
from imagen.data.sources.source import BadPair
from imagen.programs.build import build

FORK = multiprocessing.get_context("fork")


def copies(cache: Cache) -> list[Path]:
    return [path for path in cache.folder.iterdir() if path.is_file()]


@pytest.mark.parametrize("faults", [["cut"], [500, 503], ["stall"], [429, "cut"], ["other"]])
def test_what_may_pass_is_tried_again(server: Any, file: str, cache: Cache, faults: list[str | int]) -> None:
    server.faults["/a.bin"] = list(faults)
    cache.timeout = 0.5 if "stall" in faults else 5
    assert cache.local(file, 1000).read_bytes() == (server.root / "a.bin").read_bytes()
    asked = server.asked["/a.bin"]
    assert asked == len(faults) + 1
    assert cache.local(file, 1000) == cache.local(file)
    assert server.asked["/a.bin"] == asked
    assert len(copies(cache)) == 1


@pytest.mark.parametrize(
    ("fault", "size", "words"),
    [
        (500, None, "the server says 500 Internal Server Error"),
        ("stall", None, "no byte came for 0.3 s"),
        ("cut", None, "Not enough data|payload is not completed"),
        ("whole", 999, "1000 bytes came, not 999"),
    ],
)
def test_the_last_try_says_why(
    server: Any, file: str, cache: Cache, fault: str | int, size: int | None, words: str
) -> None:
    server.faults["/a.bin"] = [fault] * 9
    cache.timeout = 0.3 if fault == "stall" else 5
    for _ in range(2):  # the second time it is not asked for again
        with pytest.raises(Lost, match=rf"^{file}: .*({words}).* \(3 tries\)$"):
            cache.local(file, size)
    assert server.asked["/a.bin"] == 3 or fault == "stall"
    assert copies(cache) == []
    assert pickle.loads(pickle.dumps(Lost("a", gone=True))).gone


@pytest.mark.parametrize("code", [403, 404, 410])
def test_what_is_not_there_is_not_asked_for_again(server: Any, file: str, cache: Cache, code: int) -> None:
    server.faults["/a.bin"] = [code]
    with pytest.raises(Lost, match=rf"{code}.* \(1 try\)") as caught:
        cache.local(file)
    assert caught.value.gone
    assert server.asked["/a.bin"] == 1


def test_nobody_is_there(cache: Cache) -> None:
    with pytest.raises(Lost, match=r"^http://127.0.0.1:9/a.tar: .*\(3 tries\)$"):
        cache.local("http://127.0.0.1:9/a.tar")


def test_the_least_recently_used_copies_go(server: Any, tmp_path: Path) -> None:
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


def test_processes_that_ask_at_once_make_one_download(server: Any, file: str, cache: Cache) -> None:
    server.faults["/a.bin"] = ["slow"]
    together(3, lambda: cache.local(file).read_bytes())
    assert server.asked["/a.bin"] == 1


def test_processes_that_wait_share_a_failure(server: Any, file: str, cache: Cache) -> None:
    server.faults["/a.bin"], cache.pause = [500] * 9, 0.2
    start = FORK.Barrier(3)

    def fail() -> None:
        start.wait()
        with pytest.raises(Lost, match=r"says 500 .* \(3 tries\)"):
            cache.local(file)

    together(3, fail)
    assert server.asked["/a.bin"] == 3
    server.faults.clear()
    assert cache.local(file).exists(), "who comes later asks again"


def test_a_killed_process_leaves_nothing_half(server: Any, file: str, cache: Cache) -> None:
    (server.root / "a.bin").write_bytes(bytes(1 << 20))
    server.faults["/a.bin"] = ["stall"]
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


@pytest.mark.parametrize(
    ("option", "value"),
    [("tries", 0), ("max_gb", 0), ("max_gb", float("nan")), ("timeout", 0), ("pause", -1)],
)
def test_options_of_no_meaning_are_refused(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^{option}={value}: give "):
        Cache(**{option: value})  # type: ignore[arg-type]


def test_the_settings_are_the_defaults() -> None:
    made = build(OmegaConf.load(Path(__file__).parents[3] / "conf/cache/copies.yaml"))
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
