"""Self-contained HTML pages: what all have, and the demo's, with prompts, each stage's picture, a guidance sweep and loss
curves."""

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from torch import Tensor

from imagen.grid import to_uint8

STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#1c1e21, #e8e6e3); --quiet: light-dark(#60666d, #a0a6ad);
  --paper: light-dark(#fbfaf8, #17181a); --card: light-dark(#fff, #212327); --line: light-dark(#e3e0da, #35383d);
  --good: light-dark(#157347, #5fce93); --bad: light-dark(#b02a37, #ff8a94); }
body { margin: 0 auto; max-width: 74rem; padding: 2rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
p.lead, figcaption, .quiet { color: var(--quiet); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } .scroll { overflow-x: auto; }
th, td { text-align: right; padding: .25rem .8rem; border-bottom: 1px solid var(--line); } th:first-child, td:first-child { text-align: left; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(15.5rem, 1fr)); gap: 1rem; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .75rem; }
figure .row { display: flex; gap: .5rem; align-items: flex-end; } img { image-rendering: pixelated; border-radius: 3px; display: block; }
figcaption { margin-top: .5rem; font-size: .88rem; line-height: 1.35; } .good { color: var(--good); } .bad { color: var(--bad); }
.sweep img { width: 80px; height: 80px; } pre { background: var(--card); border: 1px solid var(--line); padding: .75rem; overflow-x: auto; font-size: .85rem; }
svg { max-width: 100%; height: auto; } svg text { fill: var(--quiet); font: 11px system-ui, sans-serif; }
"""


@dataclass(frozen=True)
class Card:
    """One prompt: `stages`, a picture (3, R, R) in [-1, 1] for each stage, smallest first; `verdict` names
    what the judge found wrong, empty when everything is right, None when nothing was judged."""

    prompt: str
    stages: Sequence[Tensor]
    verdict: Sequence[str] | None = None


@dataclass(frozen=True)
class Page:
    """What the page shows. `figures`: rows of a table, the first being its head; `sweep`: guidance weight ->
    picture a prompt; `curves`: stage -> [(step, loss)]; `commands`: what was run, in order."""

    title: str
    lead: str
    figures: Sequence[Sequence[str]]
    sections: Mapping[str, Sequence[Card]] = field(default_factory=dict)
    sweep: Mapping[float, Sequence[tuple[str, Tensor]]] = field(default_factory=dict)
    curves: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    commands: Sequence[str] = ()
    notes: Sequence[str] = ()


def to_pil(picture: Tensor) -> Image.Image:
    """(3, R, R) in [-1, 1] -> an 8-bit RGB picture."""
    return Image.fromarray(to_uint8(picture))


def _img(picture: Tensor, alt: str, shown: int) -> str:
    buffer = io.BytesIO()
    to_pil(picture).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt, quote=True)}" width="{shown}" height="{shown}">'


def _card(card: Card) -> str:
    sizes = [48, 64, 128][-len(card.stages) :]
    row = "".join(
        _img(p, f"{card.prompt} ({p.shape[-1]} pixels)", s) for p, s in zip(card.stages, sizes, strict=True)
    )
    if card.verdict is None:
        verdict = ""
    elif card.verdict:
        verdict = f' <span class="bad">✗ {html.escape(", ".join(card.verdict))}</span>'
    else:
        verdict = ' <span class="good">✓</span>'
    return f'<figure><div class="row">{row}</div><figcaption>{html.escape(card.prompt)}{verdict}</figcaption></figure>'


def table(rows: Sequence[Sequence[Any]]) -> str:
    """Rows, the first being the head -> an HTML table; their text is escaped."""
    head = "".join(f"<th>{html.escape(str(c))}</th>" for c in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(c))}</td>" for c in r) + "</tr>" for r in rows[1:])
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _curve(name: str, points: Sequence[tuple[float, float]], width: int = 354, height: int = 190) -> str:
    """Loss over steps, loss axis logarithmic."""
    points = [(s, v) for s, v in points if v > 0 and math.isfinite(v)]
    if len(points) < 2:
        return ""
    steps, logs = [s for s, _ in points], [math.log10(v) for _, v in points]
    low, high = min(logs), max(logs) + 1e-9
    left, bottom = 58, 24

    def place(step: float, log: float) -> tuple[float, float]:
        return (
            left + (width - left - 8) * (step - steps[0]) / max(steps[-1] - steps[0], 1),
            8 + (height - bottom - 8) * (high - log) / (high - low),
        )

    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, steps, logs))
    ticks = "".join(
        f'<text x="{left - 6}" y="{place(steps[0], g)[1] + 4:.1f}" text-anchor="end">{10**g:.2g}</text>'
        for g in (low, (low + high) / 2, high)
    )
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="training loss of {name}">'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.3"/>{ticks}'
        f'<text x="{width - 8}" y="{height - 6}" text-anchor="end">step {steps[-1]:g}</text></svg>'
        f"<figcaption>{html.escape(name)}: training loss</figcaption></figure>"
    )


def _sweep(sweep: Mapping[float, Sequence[tuple[str, Tensor]]]) -> str:
    weights = list(sweep)
    head = "<tr><th>prompt</th>" + "".join(f"<th>w = {w:g}</th>" for w in weights) + "</tr>"
    rows = ""
    for i, (prompt, _) in enumerate(sweep[weights[0]]):
        cells = "".join(f"<td>{_img(sweep[w][i][1], f'{prompt}, guidance {w:g}', 80)}</td>" for w in weights)
        rows += f"<tr><td>{html.escape(prompt)}</td>{cells}</tr>"
    return (
        f'<div class="scroll"><table class="sweep"><thead>{head}</thead><tbody>{rows}</tbody></table></div>'
    )


def render(page: Page) -> str:
    """The whole page as one string of HTML; nothing in it is fetched from elsewhere."""
    parts = [
        f"<h1>{html.escape(page.title)}</h1>",
        f'<p class="lead">{html.escape(page.lead)}</p>',
        table(page.figures),
    ]
    for title, cards in page.sections.items():
        parts += [f"<h2>{html.escape(title)}</h2>", '<div class="cards">', *map(_card, cards), "</div>"]
    if page.sweep:
        parts += ["<h2>Guidance weight</h2>", _sweep(page.sweep)]
    if page.curves:
        parts += [
            "<h2>Training</h2>",
            '<div class="cards">',
            *(_curve(n, p) for n, p in page.curves.items()),
            "</div>",
        ]
    if page.commands:
        parts += ["<h2>What was run</h2>", "<pre>" + html.escape("\n".join(page.commands)) + "</pre>"]
    parts += [f'<p class="quiet">{html.escape(note)}</p>' for note in page.notes]
    return document(page.title, parts)


def document(title: str, parts: Sequence[str], style: str = "") -> str:
    """A whole page of HTML `parts`; `style`: CSS beyond what all pages have."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{STYLE}{style}</style></head><body>{''.join(parts)}</body></html>\n"
    )
