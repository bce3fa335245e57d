"""What a WebDataset tar has in it: the members of a pair follow one another and share a key."""

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from webdataset.tariterators import base_plus_ext

from imagen.data.pictures import EXTENSIONS
from imagen.data.sources.source import BadPair

WORDS = ("txt", "json")


@dataclass(frozen=True)
class Entry:
    """A pair of a tar: its members lie in the bytes [start, end) of the file. `sample`: those that were read,
    extension -> bytes, and "__key__". `twice`: a member that is there twice, if there is one."""

    start: int
    end: int
    sample: dict[str, Any]
    twice: str | None = None

    @property
    def captions(self) -> tuple[str, ...]:
        """See `captions_of`."""
        return captions_of(self.sample)

    def whole(self) -> dict[str, Any]:
        """Its sample. BadPair when a member is there twice, as then reading it for training is refused."""
        if self.twice is not None:
            raise BadPair("broken tar", f"{self.twice} is there twice")
        return self.sample


def scan(path: Path, damage: Callable[[str], object], pictures: bool = False) -> Iterator[Entry]:
    """The pairs of a tar, in order; txt and json are read, and the other members if `pictures`. Extensions are in lower
    case, whatever they are in the tar.

    Where bytes are no part of a tar, or the file was cut short, `damage` is told in words, and the next whole member
    looked for: a pair that lost members comes without them. ValueError when there is not one member."""
    key, start, end, found = "", 0, 0, False
    sample: dict[str, Any] = {}
    seen: set[str] = set()
    twice: str | None = None
    with path.open("rb") as file:
        for member, begin in _members(file, damage):
            found = True
            name, extension = base_plus_ext(member.name)
            if not member.isreg() or member.issparse() or name is None or extension is None:
                continue
            if name != key:
                if key:
                    yield Entry(start, end, sample, twice)
                key, start, sample, seen, twice = name, begin, {"__key__": name}, {"__key__"}, None
            extension = extension.lower()
            if extension in seen:
                twice = twice or member.name
            seen.add(extension)
            end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            if extension != "__key__" and (pictures or extension in WORDS):
                file.seek(member.offset_data)
                sample[extension] = file.read(member.size)
    if key:
        yield Entry(start, end, sample, twice)
    if not found:
        raise ValueError(
            f"{path} is no tar: give tars of pictures and captions that are not compressed, or copy it again"
        )


def _members(file: BinaryIO, damage: Callable[[str], object]) -> Iterator[tuple[tarfile.TarInfo, int]]:
    """Each whole member of a tar, and the byte at which its header begins; what lies between them is `damage`.

    The library's own iteration ends in silence at the first block that is no header."""
    size, offset, lost = file.seek(0, 2), 0, None
    tar = tarfile.TarFile(fileobj=io.BytesIO(), mode="w")  # what the library reads a header with
    tar.fileobj = file  # type: ignore[assignment]
    while offset < size:
        member = _member(tar, file, offset, size)
        if member is None:
            lost = offset if lost is None else lost
            offset += tarfile.BLOCKSIZE
            continue
        if lost is not None and _holds_anything(file, lost, offset):
            damage(f"its bytes {lost} to {offset} are no part of a tar")
        lost = None
        begin, offset = offset, max(tar.offset, offset + tarfile.BLOCKSIZE)
        yield member, begin
    if lost is not None and _holds_anything(file, lost, size):
        damage(f"its bytes from {lost} on are no part of a tar: it may have been cut short")


def _member(tar: tarfile.TarFile, file: BinaryIO, offset: int, size: int) -> tarfile.TarInfo | None:
    """The member whose header, or the header's own header, begins at `offset`; None when there is no whole one."""
    file.seek(offset)
    head = file.read(tarfile.BLOCKSIZE)
    if not head.strip(b"\0"):
        return None
    try:
        # asked before the library asks for as much memory as a damaged header says
        if not 0 <= tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape").size <= size - offset:
            return None
        file.seek(offset)
        tar.offset, tar.pax_headers = offset, {}
        member = tarfile.TarInfo.fromtarfile(tar)
    except (tarfile.TarError, ValueError, OverflowError, RecursionError):
        return None
    return member if 0 <= member.size <= size - member.offset_data else None


def _holds_anything(file: BinaryIO, start: int, end: int) -> bool:
    file.seek(start)
    return any(file.read(min(1 << 20, end - at)).strip(b"\0") for at in range(start, end, 1 << 20))


def plain_pair(data: bytes) -> dict[str, Any] | None:
    """The bytes of one pair of a tar -> {"__key__": ..., "png": bytes, ...}, if all its members are of the plain kind that
    nearly all tars have: regular files, names of up to 100 characters, each extension once. None if anything is out of
    the ordinary, for the library to judge, which takes three times as long."""
    sample: dict[str, Any] = {}
    at = 0
    while at < len(data):
        head = data[at : at + tarfile.BLOCKSIZE]
        # the sum of a header is that with blanks in the place of the sum
        if len(head) < tarfile.BLOCKSIZE or head[156] not in b"0\0" or head[345] or head[124] & 0x80:
            return None
        try:
            if sum(head) - sum(head[148:156]) + 8 * 32 != int(head[148:156].strip(b" \0"), 8):
                return None
            size = int(head[124:136].strip(b" \0"), 8)
            name = head[:100].rstrip(b"\0").decode()
        except ValueError:
            return None
        key, extension = base_plus_ext(name)
        start = at + tarfile.BLOCKSIZE
        at = start + -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        if not key or not extension or at > len(data):
            return None
        if sample.setdefault("__key__", key) != key or extension.lower() in sample:
            return None
        sample[extension.lower()] = data[start : start + size]
    return sample or None


def captions_of(sample: dict[str, Any]) -> tuple[str, ...]:
    """All captions of a pair: "captions" of its json when there is such a list, else its txt, else "caption"
    of its json. Blank ones count too, as embeddings are found by their number; what is there in the place of a text (null,
    a number, a list) is a blank one. () when it has none or they cannot be read."""
    try:
        fields = json.loads(sample.get("json") or b"{}")
        if isinstance(fields, dict) and isinstance(fields.get("captions"), list):
            return tuple(map(_text, fields["captions"]))
        if "txt" in sample:
            return (sample["txt"].decode(),)
        return (_text(fields["caption"]),) if isinstance(fields, dict) and fields.get("caption") else ()
    except (ValueError, RecursionError):  # not JSON, not UTF-8, brackets without end
        return ()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def said_of(sample: dict[str, Any]) -> tuple[str, ...]:
    """As `captions_of`, one at least. BadPair when there is none ("missing caption") or none can be read ("unreadable
    text": not UTF-8, not JSON)."""
    if captions := captions_of(sample):
        return captions
    key = str(sample.get("__key__"))
    try:
        json.loads(sample.get("json") or b"{}")
        sample.get("txt", b"").decode()
    except (ValueError, RecursionError) as error:
        raise BadPair("unreadable text", f"{key}: {type(error).__name__}") from None
    raise BadPair("missing caption", f"{key} has neither a txt nor a caption in a json")


def half_character(caption: str) -> bool:
    """Whether a caption has half of a character, which JSON can spell, and encoders and UTF-8 cannot."""
    return re.search("[\ud800-\udfff]", caption) is not None


def picture_of(sample: dict[str, Any]) -> bytes:
    """The bytes of a pair's picture; BadPair when it has none."""
    for extension in EXTENSIONS:
        if extension in sample:
            return sample[extension]
    raise BadPair(
        "missing image",
        f"{sample['__key__']} has only {', '.join(k for k in sample if not k.startswith('_'))}",
    )
