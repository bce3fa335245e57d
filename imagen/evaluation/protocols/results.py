"""result.json: the numbers of an evaluation with their intervals, and all that they depend on; fronts.json of a sweep."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from imagen.evaluation.metrics.bootstrap import bootstrap
from imagen.evaluation.metrics.sample_size import fewer
from imagen.evaluation.protocols.evaluation import Evaluation, write_table
from imagen.evaluation.protocols.fronts import draw_fronts
from imagen.evaluation.protocols.makers import Maker, natural
from imagen.evaluation.protocols.measures import Measures
from imagen.evaluation.protocols.protocol import Evaluated
from imagen.evaluation.protocols.wanted import Wanted, digest
from imagen.evaluation.suites.sizes import wilson
from imagen.files import printable, read_json, write_text

FORMAT = 1
EVALUATED = (
    "request.json",
    "result.json",
    "per_prompt.jsonl",
    "pictures",
    "scores",
    "features",
    "cost",
    "reference",
)
SWEPT = ("cells", "reference", "fronts.json", "fronts.png", "fronts.svg")


def refuse_foreign(out: Path, swept: bool) -> None:
    """ValueError when `out` is no folder, or one of other files than an evaluation's, or a sweep's if `swept`."""
    if not out.exists():
        return
    if not out.is_dir():
        raise ValueError(f"out={out}: is a file; give a folder")
    ours = SWEPT if swept else EVALUATED
    if others := sorted(p.name for p in out.iterdir() if not p.name.startswith(".") and p.name not in ours):
        raise ValueError(
            f"out={out}: holds other files ({printable(', '.join(others), 60)}); give a new folder"
        )


def pinned(folder: Path, request: Mapping[str, Any], cells: bool = False) -> None:
    """Write what the pictures of `folder` are of; ValueError naming what differs when they are of something else. A folder lies
    where it lies: its path is no part of it, its content's hash is. `cells`: of the folder of a sweep's cells, whose own
    requests say the rest."""
    path, plain = folder / "request.json", json.loads(json.dumps(request))
    # looked at before the request is: another process may begin here meanwhile, and writes the request before anything else
    others = [p.name for p in folder.iterdir() if not p.name.startswith(".")] if folder.is_dir() else []
    if path.is_file():
        there = read_json(path, "give a new folder as out=")
        differing = [
            key for key in {**plain, **there} if comparable(there.get(key)) != comparable(plain.get(key))
        ]
        if differing:
            raise ValueError(
                f"out={folder}: its pictures are of another {' and '.join(differing)}; give a new folder, or the same settings"
            )
        return
    if set(others) - {"reference"} and not cells:
        raise ValueError(f"out={folder}: holds other files; give a new folder")
    write_text(path, json.dumps(plain, indent=1, ensure_ascii=False) + "\n")


def comparable(value: Any) -> Any:
    """A part of a request without its paths."""
    if isinstance(value, dict):
        return {
            key: comparable(part)
            for key, part in value.items()
            if not (key == "folder" and "sha256" in value)
        }
    return value


def write_result(
    made: Evaluation,
    protocol: Evaluated,
    wanted: Sequence[Wanted],
    measures: Measures,
    maker: Maker,
    cell: Mapping[str, Any],
    code: Mapping[str, str],
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    """per_prompt.jsonl and result.json of one evaluation, whose parts are all there."""
    all_of_it = made.collected(measures.parts)
    pictures, scores, features = all_of_it.pictures, all_of_it.scores, all_of_it.features
    if not pictures["count"]:
        raise ValueError(f"{made.folder}: none of the pictures could be read; nothing can be scored")
    missing = set(all_of_it.missing)
    rows = [row for row in wanted if row.key not in missing]
    for key, more in measures.of_pairs(rows, features).items():
        scores[key] |= more
    asked = protocol.count
    by_category = {
        category: means([row for row in rows if row.category == category], scores, 0, seed, resamples)
        for category in sorted({row.category for row in rows if row.category})
    }
    found = means(rows, scores, asked, seed, resamples)
    found |= measures.of_sets(features, asked, seed)
    suite = protocol.told.get("suite") or {
        "name": protocol.name,
        "version": "",
        "sha256": "",
        "count": len(wanted),
    }
    result = {
        "format": FORMAT,
        "name": made.folder.name,
        "protocol": {**protocol.told, "count": protocol.count, "asked": len(wanted), "seed": seed},
        "source": maker.source,
        "sampling": maker.sampling,
        "cell": dict(cell),
        "suite": {**suite, "wanted_sha256": digest(wanted)},
        "reference": made.reference and {**made.reference.identity, "count": len(made.reference)},
        "pictures": pictures | {"seeds": f"of evaluation seed {seed}"},
        "missing": all_of_it.missing,
        "extractors": measures.keys(),
        "code": dict(code),
        "metrics": found,
        "by_category": by_category,
        "cost": made.cost(),
    }
    result["code"] = _code(made.folder, result)
    write_table(made.folder / "per_prompt.jsonl", wanted, scores)
    write_text(made.folder / "result.json", json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return result


def _code(folder: Path, result: Mapping[str, Any]) -> Any:
    """That of the result which is there, when all else of it is the same: other code that finds the same has made nothing."""
    try:
        known = read_json(folder / "result.json", "")
    except ValueError:
        return result["code"]
    as_kept = json.loads(json.dumps(dict(result)))
    return known.get("code") if {**known, "code": None} == {**as_kept, "code": None} else result["code"]


SHARES = ("shapes.", "geneval.")  # scores that are right or wrong, whatever comes out


def means(
    rows: Sequence[Wanted],
    scores: Mapping[str, Mapping[str, float | None]],
    asked: int,
    seed: int,
    resamples: int,
) -> dict[str, dict[str, Any]]:
    """Score -> {"value": its mean over the pictures of `rows` that it applies to, "interval": 95 %, over prompts, "n", "note"}."""
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(name for row in rows for name in scores[row.key]):
        there = [(row.prompt, scores[row.key][name]) for row in rows if scores[row.key].get(name) is not None]
        if not there:
            continue
        prompts, values = zip(*there)
        spread = None
        if name.startswith(SHARES) and set(values) <= {0.0, 1.0} and len(set(prompts)) == len(prompts):
            low, high = wilson(fmean(values), len(values))  # where all are right a bootstrap would be sure
            spread = [min(low, fmean(values)), max(high, fmean(values))]
        elif len(set(prompts)) > 1:
            sure = bootstrap(values, groups=prompts, resamples=resamples, seed=seed)
            spread = [sure.low, sure.high]
        note = fewer(name, len(rows), asked) or ""
        found[name] = {"value": fmean(values), "interval": spread, "n": len(values), "note": note}
    return found


def write_fronts(out: Path) -> None:
    """fronts.json: every cell that the folder of a sweep has, with its metrics; fronts.png and fronts.svg where matplotlib is."""
    cells = []
    for file in sorted((out / "cells").glob("*/result.json"), key=lambda file: natural(file.parent.name)):
        result = read_json(file, "evaluate again")
        where = str(file.parent.relative_to(out))
        cells.append({"folder": where, "cell": result["cell"], "metrics": result["metrics"]})
    write_text(out / "fronts.json", json.dumps({"format": FORMAT, "cells": cells}, indent=1) + "\n")
    draw_fronts(cells, [out / "fronts.png", out / "fronts.svg"])
