"""The study that was made: study.json, pinned by its hash; what each item shows, under opaque names.

STUDY/study.json          the design, the prompts with their pictures' names, the control items
STUDY/pictures/NAME.png   named by a keyed hash: a name says neither system nor prompt nor order
STUDY/answers.sqlite      what raters said
"""

import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

from imagen.files import read_json, write_text
from imagen.rating.study.design import REAL, Design, Question, design_of

FORMAT = 1
REMEDY = "give the folder that imagen-rate new made, or make it again"


@dataclass(frozen=True)
class Prompt:
    """`pictures`: the opaque names of each system's, in the order in which they are shown."""

    text: str
    category: str
    tags: tuple[str, ...]
    pictures: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Control:
    """An item whose right answer is known: `sets` of one system, of which `good` is what it made of the prompt and the others
    are of another prompt or damaged (`kind`). `good` is None when the one set shown is wrong."""

    prompt: int
    system: int
    kind: str
    sets: tuple[tuple[str, ...], ...]
    good: int | None


@dataclass(frozen=True)
class Item:
    """What a rater is shown: of each set its system and the names of its pictures, in canonical order."""

    id: str
    prompt: int
    systems: tuple[int, ...]
    sets: tuple[tuple[str, ...], ...]
    control: Control | None = None


@dataclass(frozen=True)
class Study:
    """`key`: secret, hexadecimal; of it names, ids and forms' marks are made. `left_out`: what `new` could not use, in words.
    `releases`: system -> sha256 of the release that made its pictures, where that is known."""

    design: Design
    key: str
    prompts: tuple[Prompt, ...]
    controls: tuple[Control, ...]
    left_out: tuple[str, ...] = ()
    releases: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def blocks(self) -> tuple[tuple[int, ...], ...]:
        """The systems that are shown together: all subsets of show.systems of them, or those with the reference."""
        names, show = self.design.names, self.design.show
        every = combinations(range(len(names)), show.systems)
        return tuple(b for b in every if show.against != REAL or names.index(REAL) in b)

    @cached_property
    def categories(self) -> dict[str, tuple[int, ...]]:
        """Category -> its prompts; one "" of all where a session is of any."""
        if self.design.session.category == "any":
            return {"": tuple(range(len(self.prompts)))}
        found: dict[str, list[int]] = {}
        for number, prompt in enumerate(self.prompts):
            found.setdefault(prompt.category, []).append(number)
        return {category: tuple(numbers) for category, numbers in found.items()}

    def item(self, prompt: int, block: int) -> Item:
        """The item of a prompt and a block of systems. Where the best is chosen, each picture is a set of its own."""
        shown = [(system, self.prompts[prompt].pictures[system]) for system in self.blocks[block]]
        if self.design.best:
            shown = [(system, (name,)) for system, names in shown for name in names]
        return Item(
            id=opaque(self.key, "item", prompt, block),
            prompt=prompt,
            systems=tuple(system for system, _ in shown),
            sets=tuple(names for _, names in shown),
        )

    def control(self, number: int) -> Item:
        """The control item of that number; from outside nothing tells it from another."""
        found = self.controls[number]
        systems = (found.system,) * len(found.sets)
        return Item(opaque(self.key, "control", number), found.prompt, systems, found.sets, found)

    def questions(self, prompt: int) -> tuple[Question, ...]:
        """Those that are asked of a prompt."""
        return asked(self.design.questions, self.prompts[prompt].tags)

    @cached_property
    def pictures(self) -> frozenset[str]:
        """Every name that may be served."""
        shown = (name for prompt in self.prompts for names in prompt.pictures for name in names)
        wrong = (name for control in self.controls for names in control.sets for name in names)
        return frozenset(shown) | frozenset(wrong)


def asked(questions: Iterable[Question], tags: Sequence[str]) -> tuple[Question, ...]:
    """Those of the questions that a prompt with these tags calls for."""
    return tuple(question for question in questions if question.only is None or question.only in tags)


def opaque(key: str, *parts: object) -> str:
    """A name that says nothing of `parts` to whoever has no `key`: 32 hexadecimal digits."""
    return hmac.new(bytes.fromhex(key), "\x1f".join(map(str, parts)).encode(), hashlib.sha256).hexdigest()[
        :32
    ]


def write_study(folder: Path, study: Study) -> None:
    """study.json, with the hash of what it says."""
    content = _content(study)
    write_text(
        folder / "study.json", json.dumps({**content, "sha256": _hash(content)}, ensure_ascii=False) + "\n"
    )


def facts(study: Study) -> dict[str, Any]:
    """What a report of its answers says of a study: nothing secret, all that others need to ask the same."""
    design = study.design.plain()
    kept = ("name", "protocol", "systems", "real", "questions", "show", "session")
    return {
        **{key: design[key] for key in kept},
        "prompts": len(study.prompts),
        "categories": dict(Counter(prompt.category for prompt in study.prompts)),
        "left_out": list(study.left_out),
        "releases": dict(study.releases),
        "sha256": _hash(_content(study)),
    }


def read_study(folder: Path) -> Study:
    """ValueError in one line: no such study, or one that is damaged or was changed."""
    path = folder / "study.json"
    found = read_json(path, REMEDY)
    hashed = found.pop("sha256", None)
    if found.get("format") != FORMAT:
        raise ValueError(f"{path}: format {found.get('format')!r:.40}, and this reads {FORMAT}; {REMEDY}")
    if hashed != _hash(found):
        raise ValueError(
            f"{path}: was changed since it was made, and answers would be of another study; {REMEDY}"
        )
    return Study(
        design=design_of(found["design"]),
        key=found["key"],
        prompts=tuple(_prompt(row) for row in found["prompts"]),
        controls=tuple(
            Control(**{**row, "sets": tuple(tuple(names) for names in row["sets"])})
            for row in found["controls"]
        ),
        left_out=tuple(found["left_out"]),
        releases=found.get("releases", {}),
    )


def _content(study: Study) -> dict[str, Any]:
    content = {
        "format": FORMAT,
        "key": study.key,
        "design": study.design.plain(),
        "prompts": [asdict(prompt) for prompt in study.prompts],
        "controls": [asdict(control) for control in study.controls],
        "left_out": list(study.left_out),
        **({"releases": dict(study.releases)} if study.releases else {}),
    }
    return json.loads(json.dumps(content))  # tuples as lists, as the file has them


def _prompt(row: Mapping[str, Any]) -> Prompt:
    pictures = tuple(tuple(names) for names in row["pictures"])
    return Prompt(row["text"], row["category"], tuple(row["tags"]), pictures)


def _hash(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
