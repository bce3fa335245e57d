"""A design and the systems' pictures -> the folder of a study: all of it or nothing."""

import os
import random
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from imagen.data.pictures import decode, fit, png
from imagen.data.sources.source import BadPair
from imagen.evaluation.suites.suite import read_suite
from imagen.rating.study.design import Design
from imagen.rating.study.sources import Source, read_source
from imagen.rating.study.study import Control, Prompt, Study, asked, opaque, write_study

TILES = 4  # a damaged picture's are 4 x 4, shuffled
LOOKED_AT = 30  # prompts, of which the one with the fewest words in common is taken for a control item

Bytes = Callable[[], bytes]
Progress = Callable[[Iterable], Iterable]


@dataclass(frozen=True)
class Wanted:
    """A picture to be written: its name, where its bytes are, whether it is to be damaged, and what people know it by."""

    name: str
    read: Bytes
    damaged: bool
    told: str


def drawn_up(design: Design, key: str) -> tuple[Study, list[Wanted]]:
    """The study and the pictures that it needs; no picture is read yet. `key`: secret, 32 hexadecimal digits.

    Prompts that a system lacks (fewer pictures than show.pictures) or that no question is asked of are left out, and counted in
    `Study.left_out`. ValueError: none is left, or the files of a system cannot be read."""
    sources = [read_source(f"systems.{name}", Path(path)) for name, path in design.systems.items()]
    if design.real is not None:
        sources.append(read_source("real", Path(design.real)))
    prompts, left_out = _prompts(design, sources)
    wanted: list[Wanted] = []
    found = []
    for number, prompt in enumerate(prompts):
        pictures = []
        for system, source in enumerate(sources):
            reads = _chosen(design, prompt, source.pictures[prompt.text])
            names = tuple(opaque(key, "picture", system, number, k) for k in range(len(reads)))
            told = f"{design.names[system]}, {prompt.text[:60]!r}"
            wanted += [Wanted(name, read, False, told) for name, read in zip(names, reads)]
            pictures.append(names)
        found.append(replace(prompt, pictures=tuple(pictures)))
    releases = {name: source.release for name, source in zip(design.names, sources) if source.release}
    study = Study(design, key, tuple(found), (), tuple(left_out), releases)
    reads = {picture.name: picture for picture in wanted}
    controls, damaged = _controls(study, reads)
    return replace(study, controls=tuple(controls)), wanted + damaged


def make(
    folder: Path, study: Study, wanted: Sequence[Wanted], progress: Progress = lambda names: names
) -> None:
    """Write the pictures and study.json; `progress` is handed what is iterated over. A folder that is there is refused, and one
    that was begun and not finished is begun again."""
    refuse_place(folder)
    beside = folder.with_name(f".{folder.name}.begun")
    shutil.rmtree(beside, ignore_errors=True)
    (beside / "pictures").mkdir(parents=True)
    beside.chmod(0o700)  # the key, the systems' names and the answers are its owner's alone
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for picture, content in _of_one_size(_mapped(pool, study, progress(wanted))):
            (beside / "pictures" / f"{picture.name}.png").write_bytes(content)
    write_study(beside, study)
    os.replace(beside, folder)


def try_first(study: Study, wanted: Sequence[Wanted]) -> None:
    """Read one picture of each system, so that what `make` would refuse them for is known before it begins. ValueError: they
    are of more than one size."""
    first = [names[0] for names in study.prompts[0].pictures]
    ones = [picture for picture in wanted if picture.name in first]
    for _ in _of_one_size(_encoded(study, picture) for picture in ones):
        pass


def _of_one_size(encoded: Iterable[tuple[Wanted, tuple[int, int], bytes]]) -> Iterator[tuple[Wanted, bytes]]:
    size: tuple[int, int] | None = None
    first = ""
    for picture, pixels, content in encoded:
        if size is not None and pixels != size:
            raise ValueError(
                f"show.side: pictures are of {size[0]} x {size[1]} ({first}) and {pixels[0]} x {pixels[1]} ({picture.told}), "
                f"which would tell systems apart; give show: {{side: {min(*size, *pixels)}}}, to which all are resized alike"
            )
        size, first = pixels, first or picture.told
        yield picture, content


def refuse_place(folder: Path) -> None:
    """ValueError when there is a study, or anything, already."""
    if folder.is_symlink():
        raise ValueError(
            f"out={folder}: is a link, which a new folder cannot replace; give the folder itself"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"out={folder}: is there already; give a new folder")


def _mapped(
    pool: ThreadPoolExecutor, study: Study, wanted: Iterable[Wanted]
) -> Iterator[tuple[Wanted, tuple[int, int], bytes]]:
    """In order, a few at a time: all of them at once would fill the memory."""
    rest = iter(wanted)
    while some := list(islice(rest, 64)):
        yield from pool.map(lambda picture: _encoded(study, picture), some)


def _encoded(study: Study, picture: Wanted) -> tuple[Wanted, tuple[int, int], bytes]:
    """Decoded and encoded anew: of the file nothing is kept but its pixels."""
    side = study.design.show.side
    try:
        image = decode(picture.read(), side)
    except (BadPair, OSError) as error:
        raise ValueError(
            f"{picture.told}: cannot be read ({str(error)[:200]}); make it again, or leave it out"
        ) from None
    pixels = np.asarray(image) if side is None else fit(image, side)
    if picture.damaged:
        pixels = damaged(pixels, random.Random(picture.name))
    return picture, (pixels.shape[1], pixels.shape[0]), png(np.ascontiguousarray(pixels))


def damaged(pixels: np.ndarray, random_: random.Random) -> np.ndarray:
    """(H, W, 3) uint8 -> the same with its tiles in another order and noise over it: nobody takes it for a good picture."""
    height, width = (length // TILES for length in pixels.shape[:2])
    places = [(row, column) for row in range(TILES) for column in range(TILES)]
    moved = random_.sample(places, len(places))
    found = pixels.astype(np.int16)
    for (to, across), (row, column) in zip(places, moved):
        tile = pixels[row * height : (row + 1) * height, column * width : (column + 1) * width]
        found[to * height : (to + 1) * height, across * width : (across + 1) * width] = tile
    noise = np.random.default_rng(random_.randrange(2**32)).normal(0, 40, found.shape)
    return (found + noise).clip(0, 255).astype(np.uint8)


def _prompts(design: Design, sources: Sequence[Source]) -> tuple[list[Prompt], list[str]]:
    suite = None
    if design.prompts is not None:
        suite = {" ".join(p.prompt.split()): p for p in read_suite(Path(design.prompts)).prompts}
    every = dict.fromkeys(prompt for source in sources for prompt in source.pictures)
    wanted = list(suite) if suite is not None else list(every)
    names = design.names
    few = dict.fromkeys(names, 0)
    kept, unasked = [], 0
    for text in wanted:
        lacking = [n for n, s in zip(names, sources) if len(s.pictures.get(text, ())) < design.show.pictures]
        if lacking:
            for name in lacking:
                few[name] += 1
            continue
        row = suite[text] if suite is not None else None
        category = row.category if row else next((c for s in sources if (c := s.categories[text])), "")
        tags = tagged(text, row.tags if row else (), design.tags)
        if any(question.of == "shown" for question in asked(design.questions, tags)):
            kept.append(Prompt(text, category, tags, ()))
        else:
            unasked += 1
    told = [
        f"{count} of {len(wanted)} prompts of which {name} has "
        + (f"fewer than {design.show.pictures} pictures" if design.show.pictures > 1 else "no picture")
        for name, count in few.items()
        if count
    ]
    if unasked:
        told.append(f"{unasked} of {len(wanted)} prompts of which no question is asked (only: ...)")
    told += [
        f"{s.unread} pictures of {name} without prompt or file" for name, s in zip(names, sources) if s.unread
    ]
    if not kept:
        if not any(all(text in source.pictures for source in sources) for text in wanted):
            lists = [*zip(names, (s.pictures for s in sources)), *([("prompts", suite)] if suite else [])]
            first = "; ".join(f"{name}: {next(iter(texts))[:60]!r}, ..." for name, texts in lists)
            raise ValueError(f"no prompt is in all of these: {first}; give pictures of the same prompts")
        raise ValueError(
            f"no prompt is left: left out are {'; '.join(told)}; show fewer pictures, or other systems"
        )
    return kept, told


def tagged(text: str, own: Sequence[str], rules: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The tags of a prompt: its own, and those whose words it has ("*": any prompt) unless it has one that takes it away."""
    found = list(own)
    for tag, words in rules.items():
        gives = any(word == "*" or _has(text, word) for word in words if not word.startswith("-"))
        takes = any(_has(text, word[1:]) for word in words if word.startswith("-"))
        if takes:
            found = [name for name in found if name != tag]
        elif gives:
            found.append(tag)
    return tuple(dict.fromkeys(found))


def _has(text: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None


def _chosen(design: Design, prompt: Prompt, reads: Sequence[Bytes]) -> list[Bytes]:
    """show.pictures of them, at random; systems with equally many are asked for the same places, and so the same seeds."""
    random_ = random.Random(f"{design.seed}\x1fpictures\x1f{prompt.text}\x1f{len(reads)}")
    return [reads[place] for place in random_.sample(range(len(reads)), design.show.pictures)]


def _controls(study: Study, pictures: Mapping[str, Wanted]) -> tuple[list[Control], list[Wanted]]:
    """For each category, or for all, five times as many as a session has, in turn of each kind that checks a question."""
    design, random_ = study.design, random.Random(f"{study.design.seed}\x1fcontrols")
    controls: list[Control] = []
    wanted: list[Wanted] = []
    for prompts in study.categories.values() if design.session.controls else ():
        places = [
            (kind, number)
            for kind in ("other", "damaged")
            for number in random_.sample(prompts, len(prompts))
            if any(q.control == kind for q in study.questions(number))
            and (kind != "other" or len(study.prompts) > 1)
        ]
        kinds = [[place for place in places if place[0] == kind] for kind in ("other", "damaged")]
        turns = [group[i] for i in range(len(prompts)) for group in kinds if i < len(group)]
        for kind, number in turns[: 5 * design.session.controls]:
            system = random_.randrange(len(design.names))
            control, damaged_ = _control(study, pictures, (kind, number, system, len(controls)), random_)
            controls.append(control)
            wanted += damaged_
    return controls, wanted


def _control(
    study: Study, pictures: Mapping[str, Wanted], what: tuple[str, int, int, int], random_: random.Random
) -> tuple[Control, list[Wanted]]:
    """The control item of (kind, prompt, system, number), and the pictures that are made for it."""
    kind, prompt, system, number = what
    show, shown = study.design.show, study.prompts[prompt].pictures
    good = shown[system]
    # where the best is chosen, one that is good is among others that each stand alone
    count = show.systems * show.pictures - 1 if study.design.best else 1
    sets: list[tuple[str, ...]] = [
        study.prompts[other].pictures[system] for other in _unlike(study, prompt, count, random_)
    ]
    made: list[Wanted] = []
    if kind == "damaged":
        if study.design.best:
            rest = [name for names in shown for name in names if name != good[0]] or [good[0]]
            sets = [(rest[k % len(rest)],) for k in range(count)]
        else:
            sets = [good]
        for k, names in enumerate(sets):
            new = tuple(opaque(study.key, "damaged", number, k, j) for j in range(len(names)))
            made += [replace(pictures[old], name=name, damaged=True) for old, name in zip(names, new)]
            sets[k] = new
    if study.design.best:
        sets, good = [names[:1] for names in sets], good[:1]
    if not study.design.best and show.systems == 1:
        return Control(prompt, system, kind, (sets[0],), None), made
    return Control(prompt, system, kind, (good, *sets), 0), made


def _unlike(study: Study, number: int, count: int, random_: random.Random) -> list[int]:
    """`count` other prompts that have as few words as possible in common with this one."""
    own = set(study.prompts[number].text.casefold().split())
    others = [n for n in range(len(study.prompts)) if n != number]
    some = random_.sample(others, min(LOOKED_AT, len(others)))
    some.sort(key=lambda n: len(own & set(study.prompts[n].text.casefold().split())))
    return [some[k % len(some)] for k in range(count)] if some else []
