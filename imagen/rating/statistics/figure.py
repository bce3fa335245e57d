"""The paper's bar charts from one's own answers: shares of A, same and B (figure 3), and by category (DrawBench's).

Needs matplotlib, an extra."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLORS = {"wins": "#0072B2", "same": "#BBBBBB", "losses": "#E69F00"}  # Okabe and Ito's; far apart in grey too
WIDE = 11  # inches, of panels abreast
LONG = 28  # letters of a name, beyond which it is cut
HATCHES = {"wins": "", "same": "", "losses": "///"}


def draw_preferences(preferences: Sequence[Mapping[str, Any]], files: Sequence[Path]) -> bool:
    """Write to `files` (png, svg) a panel for each pair of systems of results()["preferences"]: for each question the shares
    of A, "same" and B with their intervals. False when there is nothing to draw, or no matplotlib."""
    couples: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in preferences:
        couples.setdefault((one["a"], one["b"]), []).append(one)
    most = max(map(len, couples.values()), default=0)
    width = max(3.2, 0.6 * most + 0.8)
    across = max(1, min(len(couples), int(WIDE // width)))
    rows = -(-len(couples) // across)
    if not couples or (figure := _figure(width * across + 0.6, 3.8 * rows + 0.3)) is None:
        return False
    panels = figure.subplots(rows, across, sharey=True, squeeze=False).ravel()
    for panel, ((a, b), ones) in zip(panels, couples.items()):
        for place, key in enumerate(COLORS):
            at = [number + 0.27 * (place - 1) for number in range(len(ones))]
            heights = [100 * one[key]["value"] for one in ones]
            reach = [_reach(one[key]) for one in ones]
            panel.bar(
                at, heights, 0.25, yerr=list(zip(*reach)), capsize=3, color=COLORS[key], hatch=HATCHES[key],
                edgecolor="black", linewidth=0.5,
            )  # fmt: skip
        slant = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if most > 2 else {}
        panel.set_xticks(range(len(ones)), [_short(one["question"]) for one in ones], **slant)
        panel.set(ylim=(0, 100), ylabel="% of judgements")
        panel.yaxis.set_tick_params(labelleft=True)
        panel.spines[["top", "right"]].set_visible(False)
        _legend(panel, a, b)
    for panel in panels[len(couples) :]:
        panel.set_axis_off()
    alone = [
        f"of one {kind} alone"
        for kind in ("rater", "prompt")
        if any(one["share"][f"{kind}s"] == 1 for one in preferences)
    ]
    told = f"Preferences; 95 % intervals {' or '.join(alone) or 'over raters and prompts'}"
    figure.suptitle(told, fontsize=9)
    return _written(figure, files)


def draw_categories(one: Mapping[str, Any], files: Sequence[Path]) -> bool:
    """Write to `files` a bar for each category of one of results()["preferences"], divided into A, "same" and B; above it the
    share of A, "same" counting half, with its interval, filled where it differs from 50 % after Holm's correction. False
    when there is nothing to draw, or no matplotlib."""
    names = list(one["categories"])
    if not names or (figure := _figure(7.2, 0.36 * (len(names) + 1) + 1.4)) is None:
        return False
    plot = figure.subplots()
    rows = [*((name, one["categories"][name]) for name in names), ("all", one)]
    for place, (_, row) in enumerate(rows):
        left = 0.0
        for key in COLORS:
            width = 100 * row[key]["value"]
            plot.barh(
                place,
                width,
                0.72,
                left,
                color=COLORS[key],
                hatch=HATCHES[key],
                edgecolor="white",
                linewidth=0.5,
            )
            left += width
        share = row["share"]
        holds = row["shown"] if row is one else row["holds"]
        plot.errorbar(
            100 * share["value"], place, xerr=[[one] for one in _reach(share)], fmt="o", color="black",
            markerfacecolor="black" if holds else "white", markersize=5, capsize=3, linewidth=1.6,
            path_effects=_halo(),
        )  # fmt: skip
    plot.axvline(50, color="black", linewidth=0.8, linestyle=":")
    plot.set_yticks(range(len(rows)), [_short(name) for name, _ in rows])
    plot.axhline(len(names) - 0.5, color="black", linewidth=0.8)
    plot.invert_yaxis()
    plot.set(xlim=(0, 100))
    plot.spines[["top", "right"]].set_visible(False)
    _legend(plot, one["a"], one["b"])
    figure.suptitle(f"{_short(one['question'])}: {_short(one['a'])} against {_short(one['b'])}", fontsize=9)
    dot = f"% of judgements\nDot: {_short(one['a'])}, same counted half, 95 %; filled: not 50 % (Holm)"
    plot.set_xlabel(dot, fontsize=8)
    return _written(figure, files)


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    return Figure(figsize=(width, height), layout="constrained")


def _halo() -> list[Any]:
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=3.5, foreground="white")]


def _legend(plot: Any, a: str, b: str) -> None:
    """Above the plot; one below the other where the names are long."""
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=COLORS[key], hatch=HATCHES[key], edgecolor="black", linewidth=0.5) for key in COLORS
    ]
    names = [_short(name) for name in (a, "same", b)]
    columns = 3 if len(a + b) < LONG else 1
    plot.legend(
        handles, names, ncols=columns, fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1)
    )


def _reach(one: Mapping[str, float]) -> tuple[float, float]:
    """Percentage points below and above."""
    return 100 * max(0.0, one["value"] - one["low"]), 100 * max(0.0, one["high"] - one["value"])


def _plain(text: str) -> str:
    """As it is: a name with two dollars is no formula."""
    return text.replace("$", r"\$")


def _short(text: str) -> str:
    return _plain(text if len(text) <= LONG else f"{text[: LONG - 1]}…")


def _written(figure: Any, files: Sequence[Path]) -> bool:
    for file in files:
        beside = file.with_name(f".{file.name}")
        figure.savefig(beside, dpi=130, format=file.suffix[1:])
        beside.replace(file)
    return True
