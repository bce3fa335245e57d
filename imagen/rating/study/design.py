"""What a study asks of whom: its questions, what one item shows, what one session has. Plain JSON in, plain JSON out.

Nothing here knows files or pictures; every part says in one line which value is wrong and what would be right.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from imagen.files import printable
from imagen.rating.answers import KINDS, LEVELS, SIDES, TOP

KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")
REAL = "real"
"""What the reference is called among the systems."""
FORM = ("csrf", "order", "key", "seconds")
"""What the pages' forms have of their own."""
LONGEST = 2000  # characters of a text that people read
EXAMPLES = {str: "NAME: FOLDER, NAME: FOLDER", list: "NAME: [WORD, WORD]", dict: "NAME: {KEY: VALUE}"}


@dataclass(frozen=True)
class Question:
    """One question of every item.

    kind      choice between two sets; scale from 0 to 10 with `anchors` in words at its ends; levels no, somewhat, yes;
              best of all pictures shown
    of        "shown": what the systems made (a scale or levels of two sets are asked of each); "prompt": the prompt alone
    only      asked of prompts with this tag; None: of all
    control   by which control items it is checked: "other" (pictures of another prompt), "damaged"; None: by none"""

    key: str
    text: str
    kind: str
    anchors: tuple[str, str] | None = None
    of: str = "shown"
    only: str | None = None
    control: str | None = None

    def __post_init__(self) -> None:
        if not KEY.fullmatch(self.key):
            raise ValueError(
                f"key={_told(self.key)}: give up to 40 small letters, digits and _, the first a letter"
            )
        _free("key", self.key)
        _one_of("kind", self.kind, KINDS)
        _one_of("of", self.of, ("shown", "prompt"))
        _one_of("control", self.control, (None, "other", "damaged"))
        if (self.kind == "scale") != (self.anchors is not None):
            raise ValueError(
                f"anchors={_told(self.anchors)}: a scale has two words, at 0 and at 10, and no other kind has any"
            )
        if self.of == "prompt" and (self.kind not in ("scale", "levels") or self.control):
            raise ValueError(
                f"of=prompt: a {self.kind} is of what is shown; give scale or levels, without control"
            )

    def value(self, given: Any, shown: int) -> str | float:
        """What a rater gave, as text or JSON, of `shown` sets. ValueError when it is no answer to this question."""
        if self.kind == "choice" and given in SIDES and isinstance(given, str):
            return given
        if self.kind != "choice" and not isinstance(given, bool):
            try:
                number = float(given)
            except (TypeError, ValueError, OverflowError):
                number = -1.0
            if self.kind == "scale" and 0 <= number <= TOP:
                return round(number, 2)
            if number in (LEVELS if self.kind == "levels" else range(shown)) and self.kind != "scale":
                return int(number)
        raise ValueError(f"{self.key}={_told(given)}: no answer to this question")


@dataclass(frozen=True)
class Show:
    """What one item shows: `pictures` of each of `systems`, all of `side` x `side` pixels (None: as they are, if all are of one
    size). `against`: "all" systems with each other, or each with the "real" pictures."""

    systems: int
    pictures: int
    side: int | None = None
    against: str = "all"

    def __post_init__(self) -> None:
        _whole("systems", self.systems, 1, 8)
        _whole("pictures", self.pictures, 1, 16)
        if self.side is not None:
            _whole("side", self.side, 16, 2048)
        _one_of("against", self.against, ("all", REAL))


@dataclass(frozen=True)
class Session:
    """What one rater sees: `items`, fewer where there are no more; of one category or any; so many of them twice, so many
    control items beside; a break after every `break_every` (0: none)."""

    items: int
    category: str = "any"
    repeats: int = 0
    controls: int = 0
    break_every: int = 0

    def __post_init__(self) -> None:
        _whole("items", self.items, 1, 1000)
        _one_of("category", self.category, ("one", "any"))
        _whole("repeats", self.repeats, 0, max(0, self.items // 2))
        _whole("controls", self.controls, 0, 100)
        _whole("break_every", self.break_every, 0, 1000)


@dataclass(frozen=True)
class Design:
    """The whole of STUDY.yaml over its protocol.

    systems   name -> folder, table or evaluation; `real`: that of the reference. `prompts`: a suite with categories and tags
    tags      tag -> words of a prompt that give it, beside the suite's own; a word with "-" before it takes the tag away
    purposes  name of an application -> {question: weight}
    asks      what the consent page asks, key -> {"text": ..., "choices": [...]}; never required"""

    name: str
    seed: int
    protocol: str
    systems: dict[str, str]
    real: str | None
    prompts: str | None
    questions: tuple[Question, ...]
    show: Show
    session: Session
    raters: int
    expires: float
    consent: str
    tags: dict[str, list[str]] = field(default_factory=dict)
    purposes: dict[str, dict[str, float]] = field(default_factory=dict)
    asks: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the systems, the reference last."""
        return (*self.systems, *([REAL] if self.real else []))

    @property
    def best(self) -> bool:
        """Whether the pictures of an item stand alone, to choose one."""
        return any(question.kind == "best" for question in self.questions)

    def plain(self) -> dict[str, Any]:
        """As JSON has it; `design_of` reads it again."""
        return asdict(self)


def design_of(given: Mapping[str, Any]) -> Design:
    """A whole mapping -> the design. ValueError naming the key, the value and what would be right."""
    required = (
        "name",
        "seed",
        "protocol",
        "systems",
        "questions",
        "show",
        "session",
        "raters",
        "expires",
        "consent",
    )
    optional = ("real", "prompts", "tags", "purposes", "asks")
    values = _keys("", given, required, optional)
    systems = _mapping("systems", values["systems"], str)
    name = values["name"]
    _line("name", name, 200)
    _whole("seed", values["seed"], 0, 2**63)
    _text("protocol", values["protocol"], 100)
    _text("consent", values["consent"], 20_000)
    _whole("raters", values["raters"], 1, 100_000)
    _number("expires", values["expires"], "days")
    for key in ("real", "prompts"):
        if values.get(key) is not None:
            _text(key, values[key], 4096)
    for system, path in systems.items():
        _line("systems", system, 100)
        _text(f"systems.{system}", path, 4096)
    if REAL in systems:
        raise ValueError(f"systems.{REAL}: is what the reference is called; give it as real: FOLDER")
    questions = values["questions"]
    if not isinstance(questions, Sequence) or isinstance(questions, str) or not questions:
        raise ValueError("questions: give a list of at least one")
    asked = tuple(_question(f"questions.{i}", question) for i, question in enumerate(questions, 1))
    tags = _mapping("tags", values.get("tags") or {}, list)
    for tag, words in tags.items():
        for word in words:
            _text(f"tags.{tag}", word, 100)
    found = Design(
        name=name,
        seed=values["seed"],
        protocol=values["protocol"],
        systems=systems,
        real=values.get("real"),
        prompts=values.get("prompts"),
        questions=asked,
        show=_part("show", values["show"], Show, ("systems", "pictures"), ("side", "against")),
        session=_part(
            "session",
            values["session"],
            Session,
            ("items",),
            ("category", "repeats", "controls", "break_every"),
        ),
        raters=values["raters"],
        expires=float(values["expires"]),
        consent=values["consent"],
        tags=tags,
        purposes=_purposes(values.get("purposes") or {}, asked),
        asks=_asks(values.get("asks") or {}),
    )
    _together(found)
    return found


def _together(design: Design) -> None:
    """ValueError where parts that are right do not fit."""
    keys = [question.key for question in design.questions]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise ValueError(f"questions: the key {twice} is there twice; give another")
    kinds = {question.kind for question in design.questions if question.of == "shown"}
    show, systems = design.show, len(design.names)
    if "choice" in kinds and show.systems != 2:
        raise ValueError(
            f"show.systems={show.systems}: a choice is between 2 systems; give 2, or other questions"
        )
    if "best" in kinds and (len(kinds) > 1 or show.systems * show.pictures < 2):
        raise ValueError("questions: best is of at least 2 pictures, and the only question of what is shown")
    if kinds & {"scale", "levels"} and show.systems > 2:
        raise ValueError(f"show.systems={show.systems}: a scale or levels are of 1 or 2 systems; give 1 or 2")
    if not kinds:
        raise ValueError("questions: none is of what is shown; add one")
    if show.systems > systems:
        raise ValueError(
            f"show.systems={show.systems}: there {'is 1 system' if systems == 1 else f'are {systems} systems'}; name more, or show fewer"
        )
    if show.against == REAL and not design.real:
        raise ValueError("show.against=real: needs the reference; give real: FOLDER")
    if show.against == REAL and show.systems < 2:
        raise ValueError("show.against=real: shows 2 systems at least; give show.systems=2")
    if design.session.controls and not any(question.control for question in design.questions):
        raise ValueError(
            f"session.controls={design.session.controls}: no question says control: other or damaged; say it, or give 0"
        )


def _question(where: str, given: Any) -> Question:
    return _part(where, given, Question, ("key", "text", "kind"), ("anchors", "of", "only", "control"))


def _part(
    where: str, given: Any, made: Callable[..., Any], required: Sequence[str], optional: Sequence[str]
) -> Any:
    values = _keys(f"{where}.", given, required, optional)
    for key in ("text", "only", "key", "kind"):
        if values.get(key) is not None:
            _text(f"{where}.{key}", values[key], LONGEST)
    if (anchors := values.get("anchors")) is not None:
        if not isinstance(anchors, Sequence) or isinstance(anchors, str) or len(anchors) != 2:
            raise ValueError(f"{where}.anchors={_told(anchors)}: give two texts, of 0 and of 10")
        for anchor in anchors:
            _text(f"{where}.anchors", anchor, 200)
        values["anchors"] = tuple(anchors)
    try:
        return made(**values)
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from None


def _purposes(given: Any, questions: Sequence[Question]) -> dict[str, dict[str, float]]:
    known = [question.key for question in questions if question.kind == "choice"]
    found = _mapping("purposes", given, dict)
    for name, weights in found.items():
        _line("purposes", name, 100)
        for key, weight in weights.items():
            if key not in known:
                raise ValueError(
                    f"purposes.{name}.{_told(key)}: no choice is called that; choose from: {', '.join(known) or 'nothing'}"
                )
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < 1e9:
                raise ValueError(f"purposes.{name}.{key}={_told(weight)}: give a number from 0")
        if not sum(weights.values()) > 0:
            raise ValueError(f"purposes.{name}: give at least one weight above 0")
    return found


def _asks(given: Any) -> dict[str, dict[str, Any]]:
    found = _mapping("asks", given, dict)
    for key, ask in found.items():
        if not KEY.fullmatch(key):
            raise ValueError(f"asks.{_told(key)}: give a key of small letters, digits and _")
        _free("asks", key)
        values = _keys(f"asks.{key}.", ask, ("text", "choices"), ())
        _text(f"asks.{key}.text", values["text"], LONGEST)
        if not isinstance(values["choices"], list) or not values["choices"]:
            raise ValueError(f"asks.{key}.choices: give a list of texts")
        for choice in values["choices"]:
            _text(f"asks.{key}.choices", choice, 200)
    return found


def _keys(where: str, given: Any, required: Sequence[str], optional: Sequence[str]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ValueError(
            f"{where.rstrip('.') or 'the study'}: give keys and values, not {type(given).__name__}"
        )
    for key in given:
        if key not in (*required, *optional):
            known = ", ".join((*required, *optional))
            raise ValueError(f"{where}{_told(key)}: no such key; choose from: {known}")
    if missing := [key for key in required if given.get(key) is None]:
        raise ValueError(
            f"{where}{f', {where}'.join(missing)}: not there; give {'it' if len(missing) == 1 else 'them'}"
        )
    return dict(given)


def _mapping(where: str, given: Any, of: type) -> dict[str, Any]:
    if not isinstance(given, Mapping) or not all(
        isinstance(k, str) and isinstance(v, of) for k, v in given.items()
    ):
        raise ValueError(
            f"{where}={_told(given)}: give names, each with its own: {where}: {{{EXAMPLES[of]}}}"
        )
    return dict(given)


def _text(where: str, given: Any, most: int) -> None:
    if not isinstance(given, str) or not given.strip() or len(given) > most or "\0" in given:
        raise ValueError(f"{where}={_told(given)}: give a text of 1 to {most} characters")
    if any("\ud800" <= letter <= "\udfff" for letter in given):
        raise ValueError(f"{where}={_told(given)}: holds half characters, which no file can")


def _free(where: str, key: str) -> None:
    if key in FORM:
        raise ValueError(f"{where}={key}: the pages' forms have a field of that name; give another")


def _line(where: str, given: Any, most: int) -> None:
    """As it stands in tables, on terminals and in pictures."""
    _text(where, given, most)
    if printable(given, most) != given or "\n" in given or "\t" in given:
        raise ValueError(f"{where}={_told(given)}: give one line, without control characters")


def _whole(where: str, given: Any, low: int, high: int) -> None:
    if isinstance(given, bool) or not isinstance(given, int) or not low <= given <= high:
        raise ValueError(f"{where}={_told(given)}: give a whole number from {low} to {high}")


def _number(where: str, given: Any, what: str) -> None:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= 36_500:
        raise ValueError(f"{where}={_told(given)}: give a number of {what} above 0")


def _one_of(where: str, given: Any, known: Sequence[Any]) -> None:
    if not any(given is choice or (isinstance(given, str) and given == choice) for choice in known):
        raise ValueError(
            f"{where}={_told(given)}: choose from: {', '.join('null' if k is None else k for k in known)}"
        )


def _told(value: Any) -> str:
    return printable(" ".join(str(value).split()), 60)
