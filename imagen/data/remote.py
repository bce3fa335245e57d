"""Files that lie elsewhere, read from copies in a folder of this machine.

https://, http://, s3://, gs://, hf:// by fsspec, which is imported when the first one is fetched; its own configuration
(~/.config/fsspec, FSSPEC_S3_ANON=true, ...) says who one is there. pipe:COMMAND is what a shell command writes.

FOLDER/HASH.tar, .json, ...   copies, whole; HASH is of the address, so that nothing from outside picks a path
       HASH.tar.part          a download under way, or what a kill left of one
       locks/                 held while a file is fetched; so many at most, whatever is fetched
"""

import errno
import fcntl
import hashlib
import importlib
import json
import logging
import os
import random
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar
from urllib.parse import quote, urlsplit

from imagen.data.address import is_address

log = logging.getLogger(__name__)
Result = TypeVar("Result")
NEEDS = {"https": "aiohttp", "http": "aiohttp", "s3": "s3fs", "gs": "gcsfs", "hf": "huggingface_hub"}
EXTRA = ("aiohttp",)  # those that come with imagen-cascade[remote]
SPARED = 60.0  # seconds in which a process does not ask again for what it could not get
LONGEST_PAUSE = 60.0  # seconds between two tries
OURS = re.compile(r"[0-9a-f]{40}(\.[a-z0-9]{1,12})?(\.part)?")  # the only names that are ever deleted
SLACK = 1 << 20  # bytes beyond what a file should have, before it is given up unread
LATER = (408, 425, 429)  # of the 4xx, those that another try may change


class Lost(OSError):
    """A remote file that cannot be had; in words, with its address. `gone`: the server says that there is none, or none
    for us (403, 404, 410)."""

    def __init__(self, words: str, gone: bool = False) -> None:
        super().__init__(words)
        self.gone = gone


class Cache:
    """Copies of remote files in `folder`, which all processes of a machine may share; the least recently used ones go
    when they are more than `max_gb` (10^9 bytes), but never the one just asked for.

    A download is tried `tries` times, with pauses of about `pause` seconds, doubling; it has failed when no byte comes for
    `timeout` seconds, the server answers 5xx, the connection breaks, or other than the expected bytes came. `pipes`: take
    pipe:COMMAND for an address, which runs COMMAND in a shell. An object crosses to other processes; nothing is made
    before it is needed. ValueError: an option of no meaning."""

    def __init__(
        self,
        folder: str | Path = "~/.cache/imagen",
        max_gb: float = 100.0,
        tries: int = 5,
        pause: float = 1.0,
        timeout: float = 60.0,
        pipes: bool = False,
    ) -> None:
        if not tries >= 1:
            raise ValueError(f"tries={tries}: give at least 1")
        for name, value in {"max_gb": max_gb, "timeout": timeout}.items():
            if not 0 < value < float("inf"):
                raise ValueError(f"{name}={value}: give a number above 0")
        if not pause >= 0:
            raise ValueError(f"pause={pause}: give at least 0 seconds")
        if is_address(folder):
            raise ValueError(f"folder={folder}: give a path on a disk of this machine, and no address")
        self.folder, self.max_bytes = Path(folder).expanduser(), int(max_gb * 1e9)
        self.tries, self.pause, self.timeout, self.pipes = tries, pause, timeout, pipes
        self._failed: dict[str, tuple[float, str, bool]] = {}

    def check(self, url: str, option: str) -> None:
        """ValueError naming `option` when nothing can be fetched from such an address: an unknown protocol, a library that
        is not installed, a pipe that was not asked for."""
        if url.startswith("pipe:"):
            if not self.pipes:
                raise ValueError(f"{option}={url}: runs a shell command: give cache.pipes=true to allow it")
            return
        protocol = url.partition(":")[0]
        if protocol not in NEEDS:
            known = ", ".join(f"{name}://" for name in NEEDS)
            raise ValueError(f"{option}={url}: {protocol}:// is not known: give {known} or pipe:COMMAND")
        if not re.match(r"[^:]+://([\w.~%@:{},-]|\[[0-9a-fA-F:.]+\])+(/|$)", url, re.ASCII):
            raise ValueError(f"{option}={url}: no address: give {protocol}://HOST_OR_BUCKET/PATH")
        for module in ("fsspec", NEEDS[protocol]):
            try:
                importlib.import_module(module)
            except ImportError as error:
                # installed, but without something that it needs itself: pip would find nothing to do
                lacks = f" and what that needs ({error})" if error.name != module else ""
                more = "" if NEEDS[protocol] in EXTRA else f" {NEEDS[protocol]}"
                raise ValueError(
                    f"{option}={url}: needs {module}{lacks}: pip install 'imagen-cascade[remote]'{more}"
                ) from None

    def local(self, url: str, size: int | None = None, version: str = "", fresh: bool = False) -> Path:
        """The copy of the file at `url`, fetched if need be: by one process at a time, the others wait for it. `size`: its
        bytes, where known; a copy, or a download, of another size is none. `version`: of two, each has its own copy. `fresh`:
        only what is fetched from now on will do.

        Another process may evict it again before it is opened: see `Remote.read`. Lost when it cannot be had; for a
        minute after that this process does not ask again. ValueError: see `check`, and when the disk is full."""
        name = _name(url, version)
        copy, since = self.folder / name, time.time()
        if not fresh and _usable(copy, size, 0):
            return copy
        self.check(url, "address")
        failed, words, gone = self._failed.get(name, (-SPARED, "", False))
        if time.monotonic() - failed < SPARED and not fresh:
            raise Lost(words, gone)
        with self._locked(name[:3]) as lock:
            if _usable(copy, size, since if fresh else 0):
                return copy
            try:
                _refuse_failed(lock, name, since)
                self._download(url, copy, size)
            except Lost as lost:
                self._failed[name] = time.monotonic(), str(lost), lost.gone
                _tell_failed(lock, name, lost)
                raise
        return copy

    def _download(self, url: str, copy: Path, size: int | None) -> None:
        part, number, reason, gone = copy.with_name(f"{copy.name}.part"), 0, "", False
        while number < self.tries and not gone:
            if number:
                # some of many processes that were turned away together come a little later than others; a generator of
                # its own, as training has its own randomness
                time.sleep(
                    min(self.pause * 2 ** (number - 1), LONGEST_PAUSE) * random.Random().uniform(0.5, 1.5)
                )
            number += 1
            try:
                if size is not None:
                    self._evict(size)
                for wanted in (self._fetch(url, part, (size or self.max_bytes) + SLACK), size):
                    if wanted is not None and part.stat().st_size != wanted:
                        raise ValueError(f"{part.stat().st_size} bytes came, not {wanted}")
                self._evict(part.stat().st_size, part)
                return
            except Exception as error:  # every library has its own kinds; what they mean is asked below
                part.unlink(missing_ok=True)
                if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise ValueError(
                        f"cache.folder={self.folder}: the disk is full: give a smaller cache.max_gb, or another folder"
                    ) from None
                reason, gone = self._explained(error)
                log.info("%s: %s (try %d of %d)", url, reason, number, self.tries)
        raise Lost(f"{url}: {reason} ({number} {'try' if number == 1 else 'tries'})", gone)

    def _fetch(self, url: str, part: Path, most: int) -> int | None:
        """All of the file into `part`; its size by the server, where the library does not hold it against that itself.
        ValueError once more than `most` bytes have come."""
        if url.startswith("pipe:"):
            _run(url.removeprefix("pipe:"), part, self.timeout)
            return None
        files = _files(url.partition("://")[0], self.timeout)
        files.get_file(url, str(part), callback=_bound(most))
        return None if url.startswith("http") else files.size(url)

    def _explained(self, error: Exception) -> tuple[str, bool]:
        """In words, and whether another try is in vain."""
        status = getattr(error, "status", None) or getattr(error, "code", None)
        status = status or getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, FileNotFoundError):
            return "there is no such file (404)", True
        if isinstance(error, PermissionError):
            return "no permission to read it (403)", True
        if isinstance(status, int):
            words = " ".join(str(getattr(error, "message", "")).split())[:100]
            return f"the server says {status} {words}".strip(), 400 <= status < 500 and status not in LATER
        if isinstance(error, TimeoutError):
            return f"no byte came for {self.timeout:g} s", False
        return " ".join(str(error).split())[:200] or type(error).__name__, False

    def _evict(self, room: int, part: Path | None = None) -> None:
        """Make room for so many bytes; `part`, if given, then becomes a copy. What other processes have open they keep."""
        with self._locked("evict"):  # or two of them would count on the same room
            copies: list[tuple[int, int, Path]] = []
            for entry in os.scandir(self.folder):
                if OURS.fullmatch(entry.name) and entry.name.endswith(".part"):
                    self._sweep(Path(entry.path))
                elif OURS.fullmatch(entry.name):
                    with suppress(FileNotFoundError):
                        state = entry.stat()
                        copies.append((state.st_atime_ns, state.st_size, Path(entry.path)))
            used = sum(size for _, size, _ in copies)
            for _, size, path in sorted(copies):
                if used + room <= self.max_bytes:
                    break
                path.unlink(missing_ok=True)
                used -= size
            if part is not None:
                os.replace(part, part.with_name(part.name.removesuffix(".part")))

    def _sweep(self, part: Path) -> None:
        """Delete what a killed process left of a download; while one is under way, its lock is held."""
        with suppress(BlockingIOError), self._locked(part.name[:3], fcntl.LOCK_EX | fcntl.LOCK_NB):
            part.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, name: str, how: int = fcntl.LOCK_EX) -> Iterator[int]:
        """A lock file, for this process and thread alone; its end ends the lock too, however it comes."""
        path = self.folder / "locks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, how)
            yield file
        finally:
            os.close(file)


def _bound(most: int) -> Any:
    """What fsspec tells of each piece that came: a server may send without end."""
    from fsspec.callbacks import Callback

    class Bound(Callback):
        def relative_update(self, inc: int = 1) -> None:
            super().relative_update(inc)
            if self.value > most:
                raise ValueError(
                    f"more than {most} bytes came, which is more than it has, or than cache.max_gb"
                )

    return Bound()


@dataclass(frozen=True)
class Remote:
    """A remote file or folder, with what the house asks of a `Path`: name, parent, /, open, stat. `size`, `version`: see
    `Cache.local`."""

    url: str
    cache: Cache = field(repr=False)
    size: int | None = None
    version: str = ""

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "Remote":
        head, mark, query = self.url.partition("?")  # a token may stand there
        name = quote(name) if self.url.startswith("http") else name
        return Remote(f"{head.rstrip('/')}/{name}{mark}{query}", self.cache)

    @property
    def name(self) -> str:
        if self.url.startswith("pipe:"):
            return f"{_name(self.url, '')[:16]}.tar"
        return PurePosixPath(urlsplit(self.url).path).name

    @property
    def parent(self) -> "Remote":
        if self.url.startswith("pipe:"):
            return self
        head, mark, query = self.url.partition("?")
        return Remote(f"{head.rpartition('/')[0]}{mark}{query}", self.cache)

    def at(self, size: int | None, version: str = "") -> "Remote":
        """The same file, of which this is known."""
        return replace(self, size=size, version=version)

    def read(self, use: Callable[[Path], Result], fresh: bool = False) -> Result:
        """use(the local copy): again when another process evicted it in between. Lost: see `Cache.local`. A ValueError of
        `use`, which says that the file is damaged, names the address; the copy is dropped."""
        for attempt in range(3):
            path = self.cache.local(self.url, self.size, self.version, fresh)
            try:
                return use(path)
            except (OSError, ValueError) as error:
                if not path.exists() and attempt < 2:
                    continue
                if isinstance(error, ValueError):
                    path.unlink(missing_ok=True)
                    words = str(error).replace(str(path), self.url).replace(str(path.parent), self.parent.url)
                    raise ValueError(words) from None
                raise
        raise AssertionError

    def open(self, mode: str = "rb", buffering: int = -1) -> IO[Any]:
        """The copy, opened: it can be read to its end even if it is evicted."""
        return self.read(lambda path: path.open(mode, buffering))

    def stat(self) -> os.stat_result:
        """Of the copy: st_size is the file's."""
        return self.read(Path.stat)


def names_tars(url: str) -> bool:
    """Whether an address is of a tar, or a pattern of those; otherwise it is of a folder."""
    return url.startswith("pipe:") or "{" in url or url.partition("?")[0].endswith(".tar")


def place_of(where: str | Path, cache: Cache | None) -> Any:
    """A path, or, of an address, a `Remote`, which opens like one."""
    return Remote(str(where), cache or Cache()) if is_address(where) else Path(where)


def _name(url: str, version: str) -> str:
    found = re.search(r"\.[a-z0-9]{1,12}$", urlsplit(url).path if not url.startswith("pipe:") else "")
    return hashlib.sha256(f"{url}\n{version}".encode()).hexdigest()[:40] + (found[0] if found else "")


def _usable(copy: Path, size: int | None, since: float) -> bool:
    """Whether there is a copy of that size, made since then; it was used now, which its access time says: copies are
    told apart by the other one."""
    try:
        state = copy.stat()
    except OSError:
        return False
    if (size is not None and state.st_size != size) or state.st_mtime < since:
        return False
    with suppress(OSError):  # a cache that others fill, perhaps
        os.utime(copy, ns=(time.time_ns(), state.st_mtime_ns))
    return True


def _refuse_failed(lock: int, name: str, since: float) -> None:
    """Who waited while another process tried in vain does not do so too: fifty workers would take turns for hours."""
    if os.fstat(lock).st_mtime >= since and (said := os.pread(lock, 4096, 0)):
        with suppress(ValueError, KeyError, TypeError):
            told = json.loads(said)
            if told["name"] == name:
                raise Lost(str(told["words"]), bool(told["gone"]))


def _tell_failed(lock: int, name: str, lost: Lost) -> None:
    with suppress(OSError):
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps({"name": name, "words": str(lost)[:2000], "gone": lost.gone}).encode(), 0)


# A forked process keeps its parent's file systems and leaves them alone: to collect them would close connections that the
# parent still has.
_OPENED: dict[tuple[int, str, float], Any] = {}


def _files(protocol: str, timeout: float) -> Any:
    """fsspec's file system of this process, with its timeouts for a connection and for a byte."""
    if (found := _OPENED.get((os.getpid(), protocol, timeout))) is not None:
        return found
    import fsspec.config

    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    if protocol in ("http", "https", "gs"):
        import aiohttp

        limits = aiohttp.ClientTimeout(total=None, sock_connect=timeout, sock_read=timeout)
        # proxies, which the environment names, are the rule on clusters
        options |= (
            {"requests_timeout": limits}
            if protocol == "gs"
            else {"client_kwargs": {"timeout": limits, "trust_env": True}}
        )
    elif protocol == "s3":
        options["config_kwargs"] = {"connect_timeout": timeout, "read_timeout": timeout}
    for name in ("http", "https") if protocol.startswith("http") else (protocol,):
        configured = fsspec.config.conf.get(name, {})
        options |= {
            k: {**configured[k], **v} for k, v in options.items() if isinstance(configured.get(k), dict)
        }
    return _OPENED.setdefault((os.getpid(), protocol, timeout), fsspec.filesystem(protocol, **options))


def _run(command: str, part: Path, timeout: float) -> None:
    """What a shell command writes, into `part`. OSError when it fails; TimeoutError when it writes nothing for so long."""
    process = subprocess.Popen(command, shell=True, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout
    try:
        with part.open("wb") as file:
            while True:
                if not select.select([process.stdout], [], [], timeout)[0]:
                    raise TimeoutError
                if not (data := os.read(process.stdout.fileno(), 1 << 20)):
                    break
                file.write(data)
        if code := process.wait(timeout):
            raise OSError(f"the command ended with exit code {code}")
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()
