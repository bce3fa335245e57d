"""How often a 95 % interval covers what was planted, by how many raters and prompts: a table (markdown).

Simulated studies of two systems 0.6 logits apart, every rater answering to every prompt, with ties, a preference for the left side
of 0.4, lapses of 5 %, and tastes of raters for a system and of prompts for one that differ by `taste` and 0.5 logits.
"""

import argparse

import numpy as np

from imagen.progress import bar
from imagen.rating.statistics.preference import preference
from imagen.rating.statistics.simulate import World, choices
from imagen.rating.statistics.tables import pairs

TASTES, RATERS, PROMPTS = (0.3, 0.5, 1.0), (2, 3, 4, 5, 8, 15), (3, 8, 20, 60)


def covered(taste: float, raters: int, prompts: int, times: int) -> float:
    """The share of `times` studies whose interval of "ours preferred, ties half" has the truth in it."""
    world = World({"ours": 0.6, "theirs": 0.0}, side=0.4, tie=-0.4, taste=taste, fit=0.5, lapses=0.05)
    truth, hits = world.share("ours", "theirs"), 0
    for seed in range(times):
        random = np.random.default_rng(seed)
        table = pairs(choices(world, raters, prompts, random), "alignment")
        share = preference(table, "ours", "theirs", random, resamples=200).share
        hits += share.low <= truth <= share.high
    return hits / times


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=400, help="studies a cell")
    times = parser.parse_args().times
    cells = [(raters, taste, prompts) for raters in RATERS for taste in TASTES for prompts in PROMPTS]
    found = {
        (raters, taste, prompts): covered(taste, raters, prompts, times)
        for raters, taste, prompts in bar(cells, desc="cells", unit="")
    }
    print(f"| raters | taste | {' | '.join(f'{prompts} prompts' for prompts in PROMPTS)} |")
    print("|---" * (2 + len(PROMPTS)) + "|")
    for raters in RATERS:
        for taste in TASTES:
            row = [f"{100 * found[raters, taste, prompts]:.1f}" for prompts in PROMPTS]
            print(f"| {raters} | {taste:g} | {' | '.join(row)} |")


if __name__ == "__main__":
    main()
