"""The parts of a report that are numbers: tables that a screen reader can follow, and dots with whiskers. HTML without script;
everything out of a result folder is escaped."""

import html
import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from imagen.evaluation.report.matching import lower_is_better, signed, whole_first
from imagen.evaluation.report.published import published, why_not
from imagen.evaluation.report.read import Evaluated, Metric

DRAWN = 24  # metrics with dots and whiskers
SPREAD = 2.5  # one's own FID beyond so many times the largest published one is drawn at the edge
SAID = 6  # names in a line of notes
OWN = 8  # of one's own numbers beside the published ones
MARK = "†"


class Cell(NamedTuple):
    """Of a table: text, and what is said beneath it, smaller."""

    text: str
    below: str = ""


class Dot(NamedTuple):
    """A line of a drawing: a name, a number with its interval; `kind` is its class; `told`: after the number."""

    name: str
    metric: Metric
    kind: str = ""
    told: str = ""


def escaped(text: object) -> str:
    """Text, in a page."""
    return html.escape(str(text), quote=True)


def named(name: object) -> str:
    """A name in a page, which may be broken where its parts end."""
    broken = re.sub(r"([,=_/](?=.)|\.(?=[a-z]))", r"\1<wbr>", escaped(name))
    return f"<bdi>{broken}</bdi>"


def figure(value: float | None) -> str:
    """A number for people: four digits, more when it is large."""
    if value is None:
        return "–"
    size = abs(value)
    if size >= 1e7 or 0 < size < 1e-4:
        return f"{value:.3g}"
    return f"{value:,.0f}" if size >= 1e4 else f"{value:.4g}"


def table(caption: str, rows: Sequence[Sequence[str | Cell]]) -> str:
    """Rows, the first being the head, the first of each row being its head."""
    head = "".join(f'<th scope="col">{named(_text(c))}</th>' for c in rows[0])
    body = "".join(
        f'<tr><th scope="row">{named(_text(first))}</th>' + "".join(map(_cell, rest)) + "</tr>"
        for first, *rest in rows[1:]
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escaped(caption)}"><table><caption>{escaped(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def metrics_table(caption: str, names: Sequence[str], systems: Sequence[Evaluated]) -> str:
    """A row a metric and a column a system; the other way round when there are many systems."""
    if not names:
        return ""
    rows: list[list[str | Cell]] = [["metric", *(made.name for made in systems)]]
    for name in names:
        rows.append([name, *(_shown(made.metrics.get(name), made) for made in systems)])
    if len(systems) > 4:
        rows = [list(column) for column in zip(*rows)]
        rows[0][0] = "system"
    return table(caption, rows)


def notes(systems: Sequence[Evaluated], names: Sequence[str]) -> str:
    """What is said of numbers marked as being of fewer pictures than the protocol's, or otherwise."""
    alike: dict[tuple[str, str], list[str]] = {}
    for made in systems:
        told: dict[str, list[str]] = {}
        for name in names:
            if (metric := made.metrics.get(name)) and (note := note_of(metric, made)):
                told.setdefault(note, []).append(name)
        having = sum(name in made.metrics for name in names)
        for note, of in told.items():
            which = "all" if len(of) == having else ", ".join(of[:8]) + (" ..." if len(of) > 8 else "")
            alike.setdefault((which, note), []).append(made.name)
    said = [
        f"<li>{', '.join(map(named, whose[:SAID]))}{' ...' if len(whose) > SAID else ''}; <bdi>{escaped(which)}: {escaped(note)}</bdi></li>"
        for (which, note), whose in alike.items()
    ]
    return f'<p class="quiet">{MARK} is said of:</p><ul class="notes">{"".join(said)}</ul>' if said else ""


def note_of(metric: Metric, made: Evaluated) -> str:
    """What to know before a number is compared; empty when there is nothing."""
    if "the protocol's" in metric.note:  # the evaluation says it itself
        return metric.note
    return "; ".join(filter(None, (made.fewer, metric.note)))


def whiskers(systems: Sequence[Evaluated], names: Sequence[str]) -> str:
    """A small drawing a metric, with a dot and its interval for each of two or more systems."""
    drawn = []
    for name in names:
        dots = [
            Dot(
                made.name,
                metric,
                "fewer" if note_of(metric, made) else "",
                MARK if note_of(metric, made) else "",
            )
            for made in systems
            if (metric := made.metrics.get(name)) and metric.value is not None
        ]
        if len(dots) >= 2:
            left, right = _axis(dots)
            said = f"drawn from {figure(left)} to {figure(right)}" + (
                "; less is better" if lower_is_better(name) else "; 0 is best" if signed(name) else ""
            )
            drawn.append(
                f'<figure><h3 dir="auto">{escaped(name)}</h3>{dotted(dots, name)}<figcaption>{said}</figcaption></figure>'
            )
    more = (
        f'<p class="quiet">Drawn are the first {DRAWN} of {len(drawn)}; the table has all.</p>'
        if len(drawn) > DRAWN
        else ""
    )
    return f'<div class="panels">{"".join(drawn[:DRAWN])}</div>{more}' if drawn else ""


def dotted(dots: Sequence[Dot], caption: str, low: float | None = None, high: float | None = None) -> str:
    """Dots and whiskers on one axis, a line each, as a table that reads as numbers. `low`, `high`: the axis, else what is there."""
    left, right = _axis(dots, low, high)
    lines = []
    for dot in dots:
        value, start, end = dot.metric[:3]
        assert value is not None
        lines.append(
            f'<tr class="{dot.kind}"><th scope="row">{named(dot.name)}</th>{track(value, start, end, left, right)}'
            f"{_cell(Cell(figure(value) + (' ' + dot.told if dot.told else ''), _interval(dot.metric)))}</tr>"
        )
    head = '<tr><th scope="col">system</th><th scope="col">drawn</th><th scope="col">value, 95 %</th></tr>'
    return f'<table class="dots"><caption>{escaped(caption)}</caption><thead>{head}</thead><tbody>{"".join(lines)}</tbody></table>'


def track(
    value: float, low: float | None, high: float | None, left: float, right: float, zero: bool = False
) -> str:
    """A cell with a dot and its whisker on an axis from `left` to `right`; `zero`: with a mark at 0."""

    def at(value: float) -> str:
        share = (value - left) / (right - left) if math.isfinite(right - left) else 0.5
        return f"{100 * min(max(share, 0), 1):.2f}%"

    bar = (
        ""
        if low is None or high is None
        else f'<line class="whisker" x1="{at(low)}" x2="{at(high)}" y1="9" y2="9"></line>'
    )
    mark = f'<line class="zero" x1="{at(0)}" x2="{at(0)}" y1="0" y2="18"></line>' if zero else ""
    return (
        f'<td class="track"><svg height="18" aria-hidden="true"><line class="axis" x1="0" x2="100%" y1="9" y2="9"></line>{mark}{bar}'
        f'<circle class="dot" cx="{at(value)}" cy="9" r="4.5"></circle></svg></td>'
    )


def by_category(systems: Sequence[Evaluated]) -> str:
    """A row a category; a column a metric of one system, or a table a metric with a column a system."""
    names = whole_first(n for made in systems for found in made.by_category.values() for n in found)
    categories = list(dict.fromkeys(category for made in systems for category in made.by_category))
    if not names:
        return ""
    if len(systems) == 1:
        (made,) = systems
        rows: list[list[str | Cell]] = [["category", *names]]
        rows += [[c, *(_plain(made.by_category[c].get(name)) for name in names)] for c in categories]
        return table("Scores by category", rows)
    parts = []
    for i, name in enumerate(names[:DRAWN]):
        rows = [["category", *(made.name for made in systems)]]
        rows += [
            [c, *(_plain(made.by_category.get(c, {}).get(name)) for made in systems)] for c in categories
        ]
        opened = " open" if i == 0 else ""
        parts.append(
            f"<details{opened}><summary>{escaped(name)}</summary>{table(f'{name} by category', rows)}</details>"
        )
    return "".join(parts)


def cost_table(systems: Sequence[Evaluated]) -> str:
    """What the pictures cost: pictures a second, seconds, memory, device."""
    keys = list(dict.fromkeys(key for made in systems for key in made.cost))
    if not keys:
        return ""
    titles = {"images_per_second": "pictures a second", "memory_gb": "memory, GB"}
    order = ["images_per_second", "seconds", "memory_gb", "device"]
    keys.sort(key=lambda key: order.index(key) if key in order else len(order))

    def shown(value: Metric | str | None) -> str:
        return "–" if value is None else value if isinstance(value, str) else figure(value.value)

    rows: list[list[str | Cell]] = [["system", *(titles.get(key, key) for key in keys)]]
    for made in systems:
        rows.append([made.name, *(shown(made.cost.get(key)) for key in keys)])
    return table("Cost", rows)


def settings_tables(systems: Sequence[Evaluated]) -> str:
    """A row a setting: first those in which the systems differ, the others folded away."""
    keys = list(dict.fromkeys(key for made in systems for key in made.settings))
    head: list[str | Cell] = ["setting", *(made.name for made in systems)]
    rows: dict[bool, list[list[str | Cell]]] = {True: [], False: []}
    for key in keys:
        values = [made.settings.get(key) for made in systems]
        same = len(set(values)) == 1
        rows[same].append(
            [key, values[0] or "–"]
            if same and len(systems) > 1
            else [key, *(value or "–" for value in values)]
        )
    if len(systems) == 1:
        return table("Settings", [head, *rows[True]])
    differ = (
        table("Settings that differ", [head, *rows[False]])
        if rows[False]
        else "<p>They differ in no setting.</p>"
    )
    if not rows[True]:
        return differ
    return (
        f"{differ}<details><summary>{len(rows[True])} settings that all share</summary>"
        f"{table('Settings that all share', [['setting', 'value'], *rows[True]])}</details>"
    )


def published_part(systems: Sequence[Evaluated]) -> str:
    """The published numbers, and one's own where it has an FID; the caption says what can be compared."""
    told = published()
    own: list[Dot] = []
    against: dict[str, list[str]] = {}
    for made in systems:
        fid = made.metrics.get("fid")
        if fid is None or fid.value is None:
            continue
        if reasons := "; ".join(why_not(made)):
            against.setdefault(reasons, []).append(made.name)
        own.append(
            Dot(
                made.name,
                fid,
                "fewer own" if reasons else "own",
                "not comparable" if reasons else "comparable",
            )
        )
    own.sort(key=lambda dot: (dot.kind != "own", dot.metric.value))
    left_out, own = max(0, len(own) - OWN), own[:OWN]
    dots = [
        Dot(row["name"], Metric(row["fid"]), "coco" if row["trained_on_coco"] else "", _kind(row))
        for row in told["rows"]
    ]
    largest = max(dot.metric.value or 0 for dot in dots)
    right = min(max([largest, *(dot.metric.value or 0 for dot in own)]), SPREAD * largest)
    caption = (
        f"{told['measure']}; the numbers of {told['source']}. None of them has an interval there. Those trained on COCO have seen its "
        "captions and pictures: they are not zero-shot, and stand beside the others with that in mind. A number of one's own counts here "
        "only when it is an FID of 30,000 pictures by the protocol coco30k, with the Inception network's published weights; how pictures "
        "were resized still moves an FID by tenths."
    )
    if not own:
        caption += (
            " None of these evaluations has an FID, so none stands here: other measures are other numbers."
        )
    elif any((dot.metric.value or 0) > right for dot in own):
        caption += " A dot at the right edge lies beyond it."
    if left_out:
        caption += f" Of one's own the first {OWN} are drawn, and {left_out} are not."
    lines = "".join(
        f"<li>{', '.join(map(named, whose))}: <bdi>{escaped(why)}.</bdi></li>"
        for why, whose in against.items()
    )
    list_of = f'<p>Not comparable, and drawn hollow:</p><ul class="notes">{lines}</ul>' if lines else ""
    drawn = f'<figure class="published">{dotted([*own, *dots], "FID-30K on COCO, less is better", 0.0, right)}<figcaption>{escaped(caption)}</figcaption>{list_of}</figure>'
    folded = "<details><summary>FID-30K on COCO, which none of these evaluations has</summary>"
    return drawn if own else f"{folded}{drawn}</details>"


def _axis(dots: Sequence[Dot], low: float | None = None, high: float | None = None) -> tuple[float, float]:
    """Where it begins and ends: a little beyond what is there."""
    ends = [end for dot in dots for end in dot.metric[:3] if end is not None]
    left, right = min(ends) if low is None else low, max(ends) if high is None else high
    slack = (right - left) * 0.05 or abs(right) * 0.1 or 1.0
    return left - slack * (low is None), right + slack


def _kind(row: Mapping[str, object]) -> str:
    return "; ".join(filter(None, ("trained on COCO" if row["trained_on_coco"] else "", str(row["note"]))))


def _text(cell: str | Cell) -> str:
    return cell if isinstance(cell, str) else cell.text


def _cell(cell: str | Cell) -> str:
    below = f"<small>{escaped(cell.below)}</small>" if isinstance(cell, Cell) and cell.below else ""
    return f"<td><bdi>{escaped(_text(cell))}</bdi>{below}</td>"


def _interval(metric: Metric) -> str:
    return "" if metric.low is None else f"{figure(metric.low)} to {figure(metric.high)}"


def _plain(metric: Metric | None) -> Cell:
    if metric is None:
        return Cell("–")
    count = "" if metric.n is None else f"n {metric.n:,}"
    return Cell(figure(metric.value), "; ".join(filter(None, (_interval(metric), count))))


def _shown(metric: Metric | None, made: Evaluated) -> Cell:
    if metric is None:
        return Cell("–")
    cell = _plain(metric)
    return Cell(f"{cell.text} {MARK}", cell.below) if note_of(metric, made) else cell
