"""The card of a release: what its files say of its stages, of what it was trained on, and of how it was evaluated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from imagen.card import UNKNOWN, UNSTATED, card, points, shown, table
from imagen.checkpoint import Description, StageRecord, sha256
from imagen.data.prepare.card import Facts, facts_at, licence_of
from imagen.evaluation.outside import number
from imagen.files import read_json

USE = (
    "Research on text-to-image cascades: training, sampling and judging them with this package, as far as the licences of the "
    "training data and of the text encoder allow."
)
OUT_OF_SCOPE = (
    "pictures that are to pass for photographs, above all of people and of events",
    "pictures that insult, threaten or sexualise, and any decision about people",
    "products for a public: nobody has examined this model for harm, bias or memorised training pictures",
)
LIMITS = (
    "Bias, memorised training pictures and harmful output were not measured.",
    "A seed and a prompt give the same picture again only with the same release, settings and arithmetic.",
    "No safety filter is part of a release; imagen-sample has one to be configured (`safety=`).",
)
MARKS = (
    "imagen-sample writes the prompt, the seed, this release's hash, and the name and version of the package into each PNG's text "
    "(`imagen.provenance.read` reads it back), unless `mark=false`. Whatever saves a picture anew may drop that. An invisible "
    "watermark is in the pixels only where `watermark=` was given."
)


@dataclass(frozen=True)
class Trained:
    """What a stage was trained on: the folders of its run's settings, as they stand there, with the facts of those that have a
    card; pairs a step, None where the settings do not say."""

    sets: dict[str, Facts | None]
    batch: int | None


@dataclass(frozen=True)
class Judged:
    """An evaluation's folder and its result.json."""

    folder: Path
    result: dict[str, Any]


@dataclass(frozen=True)
class Rated:
    """The folder that imagen-rate results wrote, and its results.json."""

    folder: Path
    result: dict[str, Any]


def trained_on(data: Mapping[str, Any]) -> Trained:
    """Of the settings `data` of a run."""
    train, batch = data["train"], data.get("batch_size")
    sets = [str(one) for one in (train if isinstance(train, list) else [train])]
    return Trained({one: facts_at(one) for one in sets}, batch if type(batch) is int else None)


def read_evaluation(folder: Path) -> Judged | Rated:
    """ValueError when the folder has no numbers, or others than imagen-evaluate and imagen-rate results write."""
    option = f"evaluations=[{folder}]"
    remedy = "give folders that imagen-evaluate or imagen-rate results has finished"
    if (folder / "results.json").is_file():
        result = read_json(folder / "results.json", remedy)
        if not _rated(result):
            raise ValueError(f"{option}: results.json is damaged, or not a rating study's; {remedy}")
        return Rated(folder, result)
    if (folder / "fronts.json").is_file():
        raise ValueError(f"{option}: is a sweep; give its cells, such as {folder}/cells/NAME")
    if not (folder / "result.json").is_file():
        raise ValueError(f"{option}: no result.json there; {remedy}")
    result = read_json(folder / "result.json", remedy)
    parts = {"metrics": dict, "protocol": dict, "source": dict, "pictures": dict, "code": dict}
    sound = all(isinstance(result.get(key), kind) for key, kind in parts.items())
    if not sound or not all(map(_metric, result["metrics"].values())):
        raise ValueError(f"{option}: result.json is damaged, or not an evaluation's; {remedy}")
    return Judged(folder, result)


def model_card(
    name: str,
    digest: str,
    stages: Sequence[tuple[StageRecord, Trained]],
    text: Description,
    sampling: Description,
    licence: str | None,
    evaluations: Sequence[Judged | Rated],
) -> str:
    """card.md of the release `name`, whose cascade.json has the sha256 `digest`."""
    rows: list[Sequence[Any]] = [
        ("stage", "pixels", "network", "predicts", "parameters", "training steps", "pairs a step")
    ]
    for record, trained in stages:
        size = f"{record.resolution} x {record.resolution}"
        below = record.lowres and f", from {record.lowres['resolution']} x {record.lowres['resolution']}"
        how = (record.network["class"], record.predict, record.parameters, record.steps, trained.batch)
        rows.append((record.name, f"{size}{below or ''}", *how))
    sets = {where: facts for _, trained in stages for where, facts in trained.sets.items()}
    sections = {
        "Model": [
            "A text-to-image cascade after Imagen (arXiv 2205.11487): diffusion models in pixel space, weights averaged over training.",
            table(rows),
            table(
                [
                    ("", ""),
                    ("licence of the weights", licence or UNSTATED),
                    ("cascade.json, sha256", digest),
                    ("text encoder, frozen", text["class"]),
                    *[(f"text encoder: {key}", value) for key, value in text["key"].items()],
                    ("recommended sampling", sampling or "none"),
                    ("written by", f"imagen-export of imagen-cascade {version('imagen-cascade')}"),
                ]
            ),
        ],
        "Training data": [part for where, facts in sets.items() for part in _data(where, facts)],
        "Intended use": [USE],
        "Out of scope": [points(OUT_OF_SCOPE)],
        "Evaluations": [
            part
            for one in evaluations
            for part in (_ratings(one, digest) if isinstance(one, Rated) else _numbers(one, digest))
        ]
        or [f"Quality: {UNKNOWN}. No evaluation was given (`evaluations=[FOLDER]` of imagen-export)."],
        "Limits": [points(LIMITS)],
        "How samples are marked": [MARKS],
    }
    lead = f"Written by imagen-export from the runs' files; what they do not say is “{UNKNOWN}”."
    return card(f"Model card: {name}", lead, sections)


def _data(where: str, facts: Facts | None) -> list[str]:
    title = f"**{shown(where)}**"
    if facts is None:
        return [f"{title}: {UNKNOWN}; there was no card.json with it when this release was written."]
    splits = {split: content.get("samples") for split, content in facts["splits"].items()}
    rows = [
        ("", ""),
        ("source", facts["source"].get("kind")),
        ("pictures", facts["source"].get("what")),
        ("licence", licence_of(facts)),
        *[(f"pictures in {split}", count) for split, count in splits.items()],
        ("filters", facts.get("filters") or "none"),
        ("left out", facts["left_out"] or "none"),
        ("index.json, sha256", facts.get("index_sha256")),
    ]
    unchecked = points([shown(line) for line in facts["not_checked"]])
    return [f"{title}, by its card of when this release was written:", table(rows), "Not checked there:", unchecked]  # fmt: skip


def _calls(settings: Any) -> Any:
    """{"class": "Dynamic", "arguments": {"percentile": 0.995}} -> "Dynamic (percentile 0.995)", wherever it stands."""
    if not isinstance(settings, dict):
        return settings
    found = {}
    for key, value in settings.items():
        if isinstance(value, dict) and set(value) == {"class", "arguments"}:
            given = value["arguments"] if isinstance(value["arguments"], dict) else {}
            told = ", ".join(f"{name} {part}" for name, part in given.items())
            found[key] = f"{value['class']} ({told})" if told else value["class"]
        else:
            found[key] = value
    return found


def _numbers(judged: Judged, digest: str) -> list[str]:
    result = judged.result
    protocol, source, pictures = result["protocol"], result["source"], result["pictures"]
    same = source.get("sha256") == digest and source.get("kind") == "release"
    of = "of this release" if same else f"**not of this release**, but of {shown(_identity(source))}"
    lines = (
        f"**{shown(judged.folder.name)}**: protocol {shown(protocol.get('name'))}, {shown(pictures.get('count'))} of the protocol's "
        f"{shown(protocol.get('count'))} pictures, evaluation seed {shown(protocol.get('seed'))}; {of}. result.json has the sha256 {sha256(judged.folder / 'result.json')}."
    )
    rows: list[Sequence[Any]] = [("metric", "value", "95 % interval", "n", "note")]
    for name, metric in result["metrics"].items():
        ends = metric.get("interval")
        interval = f"{ends[0]:.4g} to {ends[1]:.4g}" if ends else UNKNOWN
        rows.append((name, f"{metric['value']:.4g}", interval, metric.get("n"), metric.get("note") or ""))
    how = result.get("sampling")
    stages = how if isinstance(how, dict) else {"sampling": how}
    sampling = points([f"{shown(stage)}: {shown(_calls(settings))}" for stage, settings in stages.items()])
    return [lines, sampling, table(rows) if len(rows) > 1 else "No metric was asked for."]


def _ratings(rated: Rated, digest: str) -> list[str]:
    result = rated.result
    study, releases = result["study"], result["study"]["releases"]
    own = [name for name, release in releases.items() if release == digest]
    of = (
        f"of this release: {shown(', '.join(own))}"
        if own
        else "**none of its systems is known to be this release**"
    )
    lines = (
        f"**{shown(rated.folder.name)}**: the rating study {shown(study['name'])}, protocol {shown(study.get('protocol'))}, "
        f"{shown(result['answers'])} answers of {shown(result['raters'])} raters to {shown(result['prompts'])} prompts; {of}. "
        f"results.json has the sha256 {sha256(rated.folder / 'results.json')}."
    )
    rows: list[Sequence[Any]] = [("question", "of", "value", "95 % interval", "answers")]
    for one in result["preferences"]:
        what = f"{one['a']} rather than {one['b']}, no difference counted half"
        rows.append((one["question"], what, *_estimate(one["share"])))
    for question, one in result["scores"].items():
        rows += [(question, f"{system}, mean", *_estimate(mean)) for system, mean in one["means"].items()]
    return [
        lines,
        *([points(list(map(shown, result["cautions"])))] if result["cautions"] else []),
        table(rows),
    ]


def _estimate(found: Mapping[str, Any]) -> tuple[str, str, Any]:
    return f"{found['value']:.4g}", f"{found['low']:.4g} to {found['high']:.4g}", found["answers"]


def _rated(result: Mapping[str, Any]) -> bool:
    """Whether all that `_ratings` reads is there."""
    parts = {
        "study": dict,
        "preferences": list,
        "scores": dict,
        "cautions": list,
        "answers": int,
        "raters": int,
        "prompts": int,
    }
    if not all(isinstance(result.get(key), kind) for key, kind in parts.items()):
        return False
    study, pairs, scores = result["study"], result["preferences"], list(result["scores"].values())
    if not isinstance(study.get("releases"), dict) or not isinstance(study.get("name"), str):
        return False
    if not all(isinstance(one, dict) and {"a", "b", "question"} <= set(one) for one in pairs):
        return False
    if not all(isinstance(one, dict) and isinstance(one.get("means"), dict) for one in scores):
        return False
    found = [one.get("share") for one in pairs] + [mean for one in scores for mean in one["means"].values()]
    ends = ("value", "low", "high", "answers")
    return all(isinstance(one, dict) and None not in (number(one.get(end)) for end in ends) for one in found)


def _identity(source: Mapping[str, Any]) -> str:
    return f"{source.get('kind', UNKNOWN)} with sha256 {source.get('sha256', UNKNOWN)}"


def _metric(metric: Any) -> bool:
    """Whether that is a metric of result.json."""
    if not isinstance(metric, dict) or number(metric.get("value")) is None:
        return False
    ends = metric.get("interval")
    return ends is None or (isinstance(ends, list) and len(ends) == 2 and None not in map(number, ends))
