"""The report as one HTML file that fetches nothing: numbers, fronts, and pictures that are held in it and decoded when they
come into view."""

import base64
import importlib.resources
from collections.abc import Mapping, Sequence
from typing import Any

from imagen.evaluation.document import digest, document, plain_json, script
from imagen.evaluation.report import numbers
from imagen.evaluation.report.cells import sweeps
from imagen.evaluation.report.matching import Matched, Pair, in_words, lower_is_better, score_names
from imagen.evaluation.report.numbers import escaped
from imagen.evaluation.report.read import Evaluated
from imagen.evaluation.report.thumbnails import Thumbnail
from imagen.evaluation.report.verdicts import differences_part

BLOCK = 50  # thumbnails in a piece of the page that is taken apart at once
SCRIPTS = ("pieces.js", "gallery.js", "sweeps.js")
# Inline handlers and styles do not run, nothing is fetched: pictures are in the page.
POLICY = "default-src 'none'; img-src data:; script-src SCRIPT; style-src STYLES; base-uri 'none'; form-action 'none'"


def page(
    systems: Sequence[Evaluated],
    match: Matched,
    pairs: Sequence[Pair],
    pictures: Sequence[Mapping[str, Thumbnail]],
    problems: Sequence[str],
    hard: str = "",
) -> str:
    """The whole page. `pairs`: those of `match` that are shown; `pictures`: system by system, key -> thumbnail; `hard`: HTML of
    scores that are weighted by difficulty."""
    code = script("imagen.evaluation.report", *SCRIPTS)
    style = (importlib.resources.files("imagen.evaluation.report") / "page.css").read_text(encoding="utf-8")
    names = [made.name for made in systems]
    blocks = Blocks()
    content = shown(systems, match, pairs, pictures, blocks)
    parts = [part for part in _parts(systems, match, pairs, content, hard) if part[2]]
    title = f"Report: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
    count = f"{len(systems)} evaluation{'' if len(systems) == 1 else 's'}"
    links = "".join(f'<li><a href="#{key}">{escaped(head)}</a></li>' for key, head, _ in parts)
    told = "".join(f'<li dir="auto">{escaped(problem)}</li>' for problem in problems)
    body = [
        '<a class="skip" href="#main">Skip to the numbers</a><a class="skip" href="#pictures">Skip to the pictures</a>',
        f'<header><h1>Evaluation report</h1><p class="lead">{count}: {_names(names)}</p>',
        f'<section class="problems" aria-label="problems"><h2>Problems</h2><ul>{told}</ul></section>'
        if told
        else "",
        f'<nav aria-label="parts of the report"><ul>{links}</ul></nav></header><main id="main">',
        *(f'<section id="{key}"><h2>{escaped(head)}</h2>{inner}</section>' for key, head, inner in parts),
        '</main><dialog id="large" aria-labelledby="large-title"></dialog>',
        f'<script type="application/json" id="data">{plain_json(content)}</script>',
        *(f'<script type="text/plain" class="thumbs">{block}</script>' for block in blocks.joined()),
        f"<script>{code}</script>",
    ]
    return document(title, body, style, POLICY.replace("SCRIPT", digest(code)))


class Blocks:
    """Thumbnails in base64, by their numbers, in pieces of `BLOCK`."""

    def __init__(self) -> None:
        self.held: list[str] = []

    def add(self, data: bytes) -> int:
        """Its number."""
        self.held.append(base64.b64encode(data).decode())
        return len(self.held) - 1

    def joined(self) -> list[str]:
        """Pieces, with blanks between the thumbnails."""
        return [" ".join(self.held[at : at + BLOCK]) for at in range(0, len(self.held), BLOCK)]


def shown(
    systems: Sequence[Evaluated],
    match: Matched,
    pairs: Sequence[Pair],
    pictures: Sequence[Mapping[str, Thumbnail]],
    blocks: Blocks,
) -> dict[str, Any]:
    """What the page's script draws, as plain values."""
    scores = score_names(match)
    categories = list(dict.fromkeys(map(match.category, pairs)))
    place = {category: i for i, category in enumerate(categories)}
    found: list[list[list[Any]]] = [[] for _ in systems]
    for number, pair in enumerate(pairs):  # those that are seen together lie together
        for i, rows in enumerate(match.of):
            if (row := rows.get(pair)) is None:
                continue
            small = pictures[i].get(row.key)
            values = [_short(row.scores.get(name)) for name in scores]
            held = [number, row.key, values]
            if small is not None:
                stages = [[name, blocks.add(stage.data), *stage.size] for name, stage in small.stages.items()]
                held += [blocks.add(small.data), *small.size, *([stages] if stages else [])]
            found[i].append(held)
    return {
        "block": BLOCK,
        "systems": [made.name for made in systems],
        "scores": [[name, lower_is_better(name)] for name in scores],
        "categories": categories,
        "pairs": [[pair.prompt, place[match.category(pair)], pair.seed] for pair in pairs],
        "pictures": found,
        "sweeps": sweeps(systems),
        "lower": sorted({name for made in systems for name in made.metrics if lower_is_better(name)}),
    }


def _parts(
    systems: Sequence[Evaluated], match: Matched, pairs: Sequence[Pair], content: Mapping[str, Any], hard: str
) -> list[tuple[str, str, str]]:
    """(id, heading, HTML) of each part; one that there is nothing of is empty."""
    names = list(dict.fromkeys(name for made in systems for name in made.metrics))
    drift = [name for name in names if name.startswith("drift.") or name == "drift"]
    others = [name for name in names if name not in drift]
    swept = bool(content["sweeps"])
    explained = (
        "<p>What super-resolution made of its low-resolution input, stage by stage. color: how far the mean color moved, 0 is not at "
        "all, 1 is from black to white. psnr: decibels between the input and the picture brought down to it, more is nearer.</p>"
    )
    script = "<noscript><p>Drawn by this page's own script, which is switched off here.</p></noscript>"
    return [
        (
            "metrics",
            "Metrics",
            _numbers("Value, interval of 95 %, and n, the number of pictures", "", others, systems),
        ),
        ("differences", "Differences", differences_part(match, [made.name for made in systems])),
        ("categories", "By category", numbers.by_category(systems)),
        ("difficulty", "Weighted by difficulty", hard),
        (
            "fronts",
            "Fronts",
            f'{script}<div id="fronts-here"></div>'
            if swept and any(s["metrics"] for s in content["sweeps"])
            else "",
        ),
        ("published", "Beside the published numbers", numbers.published_part(systems)),
        (
            "pictures",
            "Pictures",
            _pictures(systems, match, pairs) + f'{script}<div id="gallery"></div>' if pairs else "",
        ),
        (
            "extremes",
            "Best, middle and worst",
            f'{script}<div id="extremes-here"></div>' if pairs and content["scores"] else "",
        ),
        ("grids", "Grids of the sweep", f'{script}<div id="grids-here"></div>' if swept and pairs else ""),
        (
            "drift",
            "Drift of super-resolution",
            _numbers("Drift: value, interval of 95 %, and n", explained, drift, systems),
        ),
        ("cost", "Cost", numbers.cost_table(systems)),
        ("settings", "Settings", numbers.settings_tables(systems)),
    ]


def _numbers(caption: str, said: str, names: Sequence[str], systems: Sequence[Evaluated]) -> str:
    if not names:
        return ""
    told = numbers.metrics_table(caption, names, systems) + numbers.notes(systems, names)
    return said + told + numbers.whiskers(systems, names)


def _pictures(systems: Sequence[Evaluated], match: Matched, pairs: Sequence[Pair]) -> str:
    said = in_words(match, [made.name for made in systems])
    if len(pairs) < len(match.pairs):
        said.append(
            f"Of {len(match.pairs):,} pictures {len(pairs):,} are on this page: those that score highest, lowest and in the middle, and the "
            "first of each category; pictures= sets how many."
        )
    keys = "Keys: j and k or the arrows move from picture to picture, Enter opens a larger view, Escape closes it."
    lines = "".join(f'<p dir="auto">{escaped(line)}</p>' for line in said)
    return f'{lines}<p class="quiet">{keys}</p>'


def _names(names: Sequence[str]) -> str:
    told = ", ".join(f"<bdi>{escaped(name)}</bdi>" for name in names[:12])
    return f"{told} and {len(names) - 12} more" if len(names) > 12 else told


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")
