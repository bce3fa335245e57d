"""Which pictures a protocol wants: a prompt and a seed each, in an order of its own, and what would be right."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from imagen.diffusion.randomness import mix


@dataclass(frozen=True)
class Wanted:
    """One picture. `index`: its place, from 0; `number`: which picture of its prompt, from 0; `seed` in [0, 2**32): what the
    picture depends on beside prompt and settings; `truth`: what would be right, plain JSON, where that is known."""

    index: int
    prompt: str
    category: str
    seed: int
    number: int = 0
    truth: dict[str, Any] | None = None

    @property
    def key(self) -> str:
        """Its name in shards and tables."""
        return f"{self.index:08d}"


def seed_of(seed: int, prompt: str, number: int) -> int:
    """The seed of picture `number` of `prompt` in an evaluation of `seed`: the same whatever else is asked for, so that two
    evaluations, of two systems or sizes, share the pictures that both want."""
    return mix("evaluate", seed, prompt, number) % 2**32


def wanted_of(
    rows: Sequence[tuple[str, str, dict[str, Any] | None]], seed: int, per_prompt: int = 1
) -> list[Wanted]:
    """(prompt, category, truth) of each prompt -> its pictures, `per_prompt` each, prompt after prompt."""
    if per_prompt < 1:
        raise ValueError(f"protocol.per_prompt={per_prompt}: must be at least 1")
    pairs = [(row, number) for row in rows for number in range(per_prompt)]
    return [
        Wanted(index, prompt, category, seed_of(seed, prompt, number), number, truth)
        for index, ((prompt, category, truth), number) in enumerate(pairs)
    ]


def digest(wanted: Sequence[Wanted]) -> str:
    """sha256 of all that is wanted."""
    lines = (json.dumps(asdict(w), sort_keys=True, ensure_ascii=False) for w in wanted)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()
