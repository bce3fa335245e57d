"""Suites of templated compositional prompts in DrawBench's categories: any number, seeded, each with its ground truth."""

from collections.abc import Iterator, Sequence
from itertools import islice

from imagen.data.shapes.splits import SPLITS
from imagen.evaluation.suites import drawn_prompts, open_prompts
from imagen.evaluation.suites.streams import Space, in_turn, shuffled
from imagen.evaluation.suites.suite import Card, Prompt, Suite

WORLDS = {"shapes": drawn_prompts, "open": open_prompts}
CHECKED = {
    "shapes": "imagen/evaluation/shapes_judge.py checks the truth exactly",
    "open": "the truth is in GenEval's form, for a detector of COCO's classes",
}


def compose(
    world: str,
    n: int,
    seed: int,
    categories: Sequence[str] | None = None,
    split: str | None = None,
    name: str | None = None,
) -> Suite:
    """`n` different prompts of a world, "shapes" (the drawn one) or "open" (common things), categories in turn, and of
    those that have run out none. The same arguments are the same suite, and its first prompts are those of any
    smaller `n`.

    `categories`: those wanted, all by default. `split`: of "shapes", prompts alone whose scenes belong to this split
    of imagen.data.shapes ("train", "test", "unseen", "unseen_relation"). ValueError for what there is not, and for more
    prompts than there are."""
    if world not in WORLDS:
        raise ValueError(f"world={world}: there is no such world; choose from {', '.join(WORLDS)}")
    if n < 1 or seed < 0:
        raise ValueError(f"n={n}, seed={seed}: give at least 1 prompt and a seed of at least 0")
    spaces = WORLDS[world].spaces()
    wanted = list(spaces) if categories is None else list(dict.fromkeys(categories))
    for category in wanted:
        if category not in spaces:
            raise ValueError(
                f"categories: world={world} has no {category!r}; choose from {', '.join(spaces)}"
            )
    if not wanted:
        raise ValueError(f"categories=[]: choose from {', '.join(spaces)}, or leave it out for all")
    if split is not None and (world != "shapes" or split not in SPLITS):
        raise ValueError(f"split={split}: only world=shapes has splits: {', '.join(SPLITS)}; or leave it out")
    stream = in_turn([_category(spaces[category], seed, split) for category in wanted])
    prompts = tuple(islice(stream, n))
    if len(prompts) < n:
        raise ValueError(
            f"n={n}: world={world} has {len(prompts):,} different prompts "
            f"{f'of split={split} ' if split else ''}in {', '.join(wanted)}; ask for at most so many"
        )
    given = [f"world={world}", f"seed={seed}"]
    given += [f"categories={'+'.join(wanted)}"] if categories is not None else []
    given += [f"split={split}"] if split else []
    card = Card(
        name or f"composed {world}",
        "1.0",
        "Apache-2.0, like the code that made it",
        f"imagen-suite compose {' '.join(given)}; {CHECKED[world]}",
        WORLDS[world].LEAVES_OUT,
    )
    return Suite(prompts, card)


def size_of(world: str) -> dict[str, int]:
    """Category -> how many different prompts a world has of it."""
    return {name: sum(space.size for space in kinds) for name, kinds in WORLDS[world].spaces().items()}


def _category(kinds: Sequence[Space], seed: int, split: str | None) -> Iterator[Prompt]:
    stream = in_turn([shuffled(space, seed) for space in kinds])
    return stream if split is None else (prompt for prompt in stream if f"split:{split}" in prompt.tags)
