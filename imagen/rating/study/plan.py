"""Who sees what, in which order and on which side: balanced, and a function of the study's seed and the rater's number alone.

Items are dealt from decks, one a category. A deck has every prompt with every block of systems once, in an order in which any
beginning has prompts and blocks equally often (a Latin square of prompts and blocks, cut into turns); a new one is shuffled when
it is used up. So over raters the times that items are shown differ by 1 at most, and a rater sees an item once.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import gcd

from imagen.rating.study.study import Item, Study


@dataclass(frozen=True)
class Entry:
    """One place in a session. `order`: the sets of the item from left to right, by their canonical places; `control`: the number
    of the control item, else None; `repeat`: 1 when the rater sees the item again."""

    prompt: int
    block: int
    order: tuple[int, ...]
    repeat: int = 0
    control: int | None = None

    def item(self, study: Study) -> Item:
        """What is shown."""
        return study.item(self.prompt, self.block) if self.control is None else study.control(self.control)

    def plain(self) -> list[object]:
        """As JSON has it; `entry_of` reads it again."""
        return [self.prompt, self.block, list(self.order), self.repeat, self.control]


def entry_of(row: Sequence) -> Entry:
    """An entry from `Entry.plain`."""
    prompt, block, order, repeat, control = row
    return Entry(prompt, block, tuple(order), repeat, control)


class Plans:
    """The sessions of a study's raters, numbered from 0; those asked for are kept."""

    def __init__(self, study: Study) -> None:
        self.study = study
        random_ = _random(study, "categories")
        names = list(study.categories)
        random_.shuffle(names)
        self._decks = [_Deck(study, name) for name in names]

    def session(self, number: int) -> list[Entry]:
        """Of rater `number`: categories in turn, the next items of the deck, some of them again, control items between."""
        turn, deck = divmod(number, len(self._decks))
        return _session(self.study, self._decks[deck], turn, number)


class _Deck:
    """The items of a category. `dealt`: for each turn, a list of (prompt, block, rotation)."""

    def __init__(self, study: Study, category: str) -> None:
        self.study, self.category = study, category
        self.prompts = study.categories[category]
        self.size = min(study.design.session.items, len(self.prompts) * len(study.blocks))
        self.dealt: list[list[tuple[int, int, int]]] = []
        self.controls = self._controls()
        self._round, self._left, self._at = 0, [], 0
        self._turned: Counter[tuple] = Counter()
        self._sets = len(study.item(0, 0).sets)

    def _controls(self) -> list[int]:
        """Of this category, or of any where it has none."""
        controls, prompts = self.study.controls, set(self.prompts)
        own = [n for n, control in enumerate(controls) if control.prompt in prompts]
        return own or list(range(len(controls)))

    def deal(self, turn: int) -> list[tuple[int, int, int]]:
        """The items of a turn; those of the turns before are dealt first."""
        while len(self.dealt) <= turn:
            taken: list[tuple[int, int]] = []
            for _ in range(self.size):
                taken.append(self._next(taken))
            self.dealt.append(self._rotated(taken, len(self.dealt)))
        return self.dealt[turn]

    def _next(self, taken: Sequence[tuple[int, int]]) -> tuple[int, int]:
        if self._at == len(self._left):
            self._left, self._at = list(_round(self.study, self.category, self._round)), 0
            self._round += 1
        left, at = self._left, self._at
        prompts, block = {prompt for prompt, _ in taken}, left[at][1]
        # where one deck ends and the next begins, the item may be among those taken already: another comes before it
        for fits in (
            lambda item: item[0] not in prompts and item[1] == block,
            lambda item: item[0] not in prompts and item not in taken,
            lambda item: item not in taken,
        ):
            found = next((place for place in range(at, len(left)) if fits(left[place])), None)
            if found is not None:
                break
        assert found is not None  # a session has no more items than a deck
        left[at], left[found] = left[found], left[at]
        self._at += 1
        return left[at]

    def _rotated(self, taken: Sequence[tuple[int, int]], turn: int) -> list[tuple[int, int, int]]:
        """With the side of each: the one that this item, then its block, then this session had least."""
        random_, own, dealt = _random(self.study, "sides", self.category, turn), Counter(), []
        for prompt, block in taken:
            ways = list(range(self._sets))
            random_.shuffle(ways)
            way = min(ways, key=lambda w: (self._turned[prompt, block, w], self._turned[block, w], own[w]))
            self._turned.update([(prompt, block, way), (block, way)])
            own[way] += 1
            dealt.append((prompt, block, way))
        return dealt


def _round(study: Study, category: str, number: int) -> Iterator[tuple[int, int]]:
    """Every prompt with every block once. In turn j the i-th prompt meets block i + jP + floor(j / (B / gcd)) of B: no block
    twice over the turns, and along the whole the blocks follow each other in a circle."""
    random_ = _random(study, "deck", category, number)
    prompts, blocks = list(study.categories[category]), list(range(len(study.blocks)))
    random_.shuffle(prompts)
    random_.shuffle(blocks)
    many, cycle = len(prompts), len(blocks) // gcd(len(prompts), len(blocks))
    for turn in range(len(blocks)):
        for place, prompt in enumerate(prompts):
            yield prompt, blocks[(place + turn * many + turn // cycle) % len(blocks)]


def _session(study: Study, deck: _Deck, turn: int, number: int) -> list[Entry]:
    random_, session = _random(study, "session", number), study.design.session
    entries = [Entry(p, b, _order(study, p, b, way)) for p, b, way in deck.deal(turn)]
    random_.shuffle(entries)
    half = len(entries) // 2
    again = sorted(random_.sample(range(half), min(session.repeats, half)), reverse=True)
    placed: list[tuple[float, Entry]] = [(float(place), entry) for place, entry in enumerate(entries)]
    for place in again:
        first = entries[place]
        # turned, so that a rater who always chooses one side is not taken for a consistent one
        other = Entry(first.prompt, first.block, (*first.order[1:], first.order[0]), repeat=1)
        placed.append((random_.uniform(place + half, len(entries)), other))
    for j in range(min(session.controls, len(deck.controls))):
        control = deck.controls[(turn * session.controls + j) % len(deck.controls)]
        places = list(range(len(study.controls[control].sets)))
        random_.shuffle(places)
        shown = Entry(study.controls[control].prompt, 0, tuple(places), control=control)
        placed.append((random_.uniform(-1, len(entries)), shown))
    return [entry for _, entry in sorted(placed, key=lambda pair: pair[0])]


def _order(study: Study, prompt: int, block: int, way: int) -> tuple[int, ...]:
    """The canonical order of the sets, shuffled as the item has it, begun at `way`."""
    places = list(range(len(study.item(prompt, block).sets)))
    if len(places) > 2:
        _random(study, "order", prompt, block).shuffle(places)
    return (*places[way:], *places[:way])


def _random(study: Study, *parts: object) -> random.Random:
    """Of the study's seed and what it is for; the same in every process."""
    return random.Random("\x1f".join(map(str, (study.design.seed, *parts))))
