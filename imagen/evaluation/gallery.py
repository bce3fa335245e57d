"""The demo's page: prompts, each stage's picture, a guidance sweep and loss curves."""

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image
from torch import Tensor

from imagen.evaluation.document import document, table
from imagen.grid import to_uint8


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
