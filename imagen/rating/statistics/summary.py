"""Results in plain words."""

from collections.abc import Mapping, Sequence
from typing import Any

from imagen.rating.statistics.claims import LEVEL, counted, percent, ways_out
from imagen.rating.statistics.crossed import Estimate
from imagen.rating.statistics.power import Power

HOLM = (
    "Corrected for the categories of this question and these two systems; for other questions and systems too among the claims. p is "
    "1 where one rater or one prompt was alone."
)
ENDLESS = (
    "Some of these were never chosen over the others: the answers tell who is stronger (or, all ties, nothing), and how much is the "
    "word of a prior of 5 logits. Read the shares."
)
FORECAST = (
    "Forecasts from this study's own spread, which is an estimate too: of simulated studies of 10 raters and 20 prompts nine in ten "
    "foretold 0.5 to 1.5 times the half-width that four times as many then had. More prompts for the same raters means that each "
    "answers to as large a share of them as now."
)


def summary(found: Mapping[str, Any]) -> str:
    """What `results` found, as text (markdown): claims first, then the numbers behind them."""
    study = found.get("study")
    lines = [
        *((f"# {study['name']}", "") if study else ()),
        f"{counted(found['answers'], 'answer')} of {counted(found['raters'], 'rater')} to {counted(found['prompts'], 'prompt')}. "
        f"Intervals are of 95 %, {_over(found)}.",
    ]
    if found["cautions"]:
        lines += ["", "## Caution", "", *_cautions(found["cautions"])]
    lines += ["", "## Claims", ""]
    lines += _claims(found["claims"])
    lines += _preferences(found["preferences"], found["controls"])
    lines += _models(found["bradley_terry"])
    lines += _scores(found["scores"])
    for name, one in found["purposes"].items():
        weights = ", ".join(f"{question} {weight:g}" for question, weight in one["weights"].items())
        best = f"{one['best']} is best" if one["best"] else "no system is shown to be best"
        lines += ["", f"## For the purpose {name} ({weights}): {best}", ""]
        lines += [f"* {pair['a']} against {pair['b']}: {_percent(pair['share'])}" for pair in one["pairs"]]
    lines += _raters(found)
    if study:
        lines += _measured(study, found)
    return "\n".join(lines) + "\n"


def _cautions(cautions: Sequence[str]) -> list[str]:
    """What is said of several comparisons alike is said once."""
    said: dict[str, list[str]] = {}
    for one in cautions:
        of, _, words = one.partition(": ")
        said.setdefault(words, []).append(of)
    return [f"* {'; '.join(of)}: {words}" for words, of in said.items()]


def _preferences(preferences: Sequence[Mapping[str, Any]], controls: Mapping[str, Any]) -> list[str]:
    if not preferences:
        return []
    table = ["", "## Preferences", ""]
    told = any(one["by_difficulty"].get("told") for one in preferences)
    harder = "hard prompts count more " + ("(raters' word)" if told else "(item response)")
    table += _table(
        ("question", "A", "B", 'A, "same" half', "A", "same", "B", "A of those who chose", "without who failed", harder),
        [
            (
                one["question"], one["a"], one["b"], _percent(one["share"]), _percent(one["wins"]),
                _percent(one["same"]), _percent(one["losses"]), _percent(one["decided"]),
                _percent(one["without_failed"] and one["without_failed"]["share"])
                if controls["failed"] else "none failed",
                _percent(one["by_difficulty"].get("told" if told else "answered")),
            )
            for one in preferences
        ],
    )  # fmt: skip
    for one in preferences:
        if one["categories"]:
            table += ["", f"### {one['question']}: {one['a']} against {one['b']}, by category", "", HOLM, ""]
            table += _table(
                ("category", 'A, "same" half', "raters", "prompts", "p", "p by Holm", "differs from 50 %"),
                [
                    (
                        name, _percent(own["share"]), str(own["share"]["raters"]), str(own["share"]["prompts"]),
                        _p(own["p"]), _p(own["adjusted"]), "yes" if own["holds"] else "",
                    )
                    for name, own in one["categories"].items()
                ],
            )  # fmt: skip
    forecasts = [
        f"* {one['question']}, {one['a']} against {one['b']}: {_need(one)}"
        for one in preferences
        if one["power"]
    ]
    if forecasts:
        table += ["", "### How many more", "", FORECAST, "", *forecasts]
    return table


def _over(found: Mapping[str, Any]) -> str:
    """What else there could have been."""
    if found["raters"] == 1:
        return "over prompts, for this one rater alone"
    return "over raters, for this one prompt alone" if found["prompts"] == 1 else "over raters and prompts"


def _claims(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each; and which are left when all of them are taken together."""
    if not claims:
        return ["None."]
    held = [claim for claim in claims if claim["holds"]]
    left = [claim for claim in held if claim["adjusted"] < LEVEL]
    lines = []
    if len(claims) > 1:
        lines = [
            f"{len(claims)} comparisons, each at a level of 5 % by itself. Shown: {len(held)}; with Holm's correction for all "
            f"{len(claims)}: {len(left)}.",
            "",
        ]
    for claim in claims:
        lost = claim in held and claim not in left
        among = f" Holm's correction for all {len(claims)} takes it away (p = {claim['adjusted']:.2f})."
        lines.append(f"* {claim['text']}{among if lost else ''} {claim['overturned']}")
    return lines


def _need(one: Mapping[str, Any]) -> str:
    need, share = Power(**one["power"]), one["share"]
    half = (share["high"] - share["low"]) / 2
    now, wanted = f"+- {100 * half:.1f}", f"+- {100 * need.wanted:g} points"
    if need.raters == 0:
        return f"the interval is {now}, about {wanted} or less."
    if half <= need.wanted:  # a bootstrap of two or three raters is narrower than what a t of so few allows
        now += f", of so few that forecasts reckon with +- {min(50.0, 100 * need.now):.1f}"
    return f"the interval is {now}; {wanted} would take {' or '.join(ways_out(need)) or 'more than a million of either'}."


def _models(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = []
    for question, model in models.items():
        lines += ["", f"## Strengths for {question} (Bradley-Terry with ties, logits)", ""]
        if "left_out" in model:
            lines.append(f"Left out: {model['left_out']}.")
            continue
        ranked = sorted(model["strengths"].items(), key=lambda pair: -pair[1]["value"])
        lines += _table(("system", "strength"), [(name, _number(one)) for name, one in ranked])
        if not model["finite"]:
            lines += ["", ENDLESS]
        if side := model["side"]:
            shown = (
                "a preference for a side"
                if side["low"] > 0 or side["high"] < 0
                else "no preference for a side"
            )
            lines += ["", f"Side, left: {_number(side)}: {shown} is shown."]
    return lines


def _scores(scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = []
    for question, one in scores.items():
        response = one["item_response"] or {}
        lines += ["", f"## Scores for {question} ({one['kind']})", ""]
        lines += _table(
            (
                "system",
                "mean",
                "without who failed",
                "hard prompts count more (raters' word)",
                "ability (logits)",
            ),
            [
                (
                    name,
                    _number(mean),
                    _number((one["without_failed"] or {}).get(name)),
                    _number(one["by_told_difficulty"].get(name)),
                    "all scores alike"
                    if name in response.get("alike", ())
                    else _number(response.get("abilities", {}).get(name)),
                )
                for name, mean in one["means"].items()
            ],
        )
    return lines


def _raters(found: Mapping[str, Any]) -> list[str]:
    controls = found["controls"]
    lines = ["", "## Raters", ""]
    shares = controls["shares"]
    if shares:
        failed = controls["failed"]
        lines.append(
            f"{len(failed)} of {counted(len(shares), 'rater')} answered fewer than {100 * controls['rule']:.0f} % of the "
            f"control questions right{': ' + ', '.join(failed) if failed else ''}. Nothing of theirs is deleted. "
            f"Each had {controls['each']:g} (median): one who is right in 95 % of them falls below the rule with a chance of "
            f"{100 * controls['unlucky']:.0f} %."
        )
        if controls["unchecked"]:
            lines[-1] += f" Not counted, as none was answered yet: {', '.join(controls['unchecked'])}."
    else:
        lines.append("No control questions were asked.")
    lines.append("")
    for question, one in found["questions"].items():
        if one["seconds"] is not None:
            lines.append(
                f"* {question}: {counted(one['answers'], 'answer')}, {one['seconds']:.1f} s each (median)"
            )
    for question, one in found["agreement"].items():
        if one["alpha"] is not None:
            lines.append(
                f"* {question}: agreement {_bounded(one)} (Krippendorff's alpha, "
                f"{one['level']}, {counted(one['items'], 'item')})"
            )
    for question, one in found["consistency"].items():
        lines.append(
            f"* {question}: of {counted(one['items'], 'item')} seen twice, {100 * one['same']:.0f} % were answered the same"
        )
    return lines


def _measured(study: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What a reader must know to ask the same."""
    show, session = study["show"], study["session"]
    real = f", and real pictures ({study['real']})" if study["real"] else ""
    side = f" of {show['side']} x {show['side']} pixels" if show["side"] else ""
    few = [f"{name or 'none'} {count}" for name, count in study["categories"].items()]
    of = f" ({', '.join(few)})" if len(few) > 1 else ""
    lines = ["", "## How it was measured", ""]
    lines += [
        f"* protocol {study['protocol']}, as the questions below; systems: "
        f"{', '.join(f'{name} ({path})' for name, path in study['systems'].items())}{real}",
        f"* {counted(study['prompts'], 'prompt')}{of}; an item shows {counted(show['pictures'], 'picture')}{side} of "
        f"{counted(show['systems'], 'system')}, in a random order and place",
        f"* a session: up to {counted(session['items'], 'item')} of {session['category']} category, {session['repeats']} of them "
        f"twice, and {counted(session['controls'], 'control item')}",
    ]
    for question in study["questions"]:
        ends = (
            f", from 0 ({question['anchors'][0]}) to 10 ({question['anchors'][1]})"
            if question["anchors"]
            else ""
        )
        only = f", of prompts tagged {question['only']}" if question["only"] else ""
        lines.append(
            f"* {question['key']} ({question['kind']}{ends}{only}): “{' '.join(question['text'].split())}”"
        )
    lines += [f"* left out: {one}" for one in study["left_out"]]
    lines.append(
        f"* {study['software']}, `imagen-rate results` with seed={found['seed']} resamples={found['resamples']}; study.json has the "
        f"sha256 {study['sha256']}"
    )
    return lines


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def _bounded(one: Mapping[str, Any]) -> str:
    return f"{one['alpha']:z.2f}" + (
        "" if one["low"] is None else f" [{one['low']:z.2f}, {one['high']:z.2f}]"
    )


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _percent(one: Mapping[str, Any] | None) -> str:
    return percent(Estimate(**one)) if one else "-"


def _number(one: Mapping[str, Any] | None) -> str:
    return f"{one['value']:z.2f} [{one['low']:z.2f}, {one['high']:z.2f}]" if one else "-"
