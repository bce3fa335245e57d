"""Scores of systems on prompts, read from the folders of evaluations: per_prompt.jsonl, a line a picture."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from imagen.evaluation.suites.difficulty import Answer
from imagen.evaluation.suites.readers import text_of
from imagen.files import printable, read_json

REMEDY = "give the folder that imagen-evaluate wrote"


def read_answers(folders: Sequence[str | Path], metric: str, prompts: Iterable[str]) -> list[Answer]:
    """(system, prompt, score) of every picture that `metric` scored and whose prompt is in `prompts`. A system is called
    as its result.json says, or its folder; by its path where two would be called the same. A picture without a score (null)
    is left out; true and false are 1 and 0.

    ValueError in one line naming folder and line: no such file, not that JSON, a metric that no picture has, a score outside
    [0, 1], no picture of any of the prompts."""
    wanted = set(prompts)
    names = _names([Path(folder) for folder in folders])
    answers: list[Answer] = []
    for folder, name in names.items():
        file = folder / "per_prompt.jsonl"
        found, known, foreign = 0, Counter[str](), 0
        for number, line in enumerate(text_of(file, REMEDY).split("\n"), 1):
            if not line.strip():
                continue
            try:
                row: Any = json.loads(line)
                prompt, scores = row["prompt"], row["scores"]
                if not isinstance(prompt, str) or not isinstance(scores, dict):
                    raise TypeError("no text, or no scores")
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise ValueError(
                    f"{file}: line {number} is no picture of an evaluation ({printable(error, 60)}); {REMEDY}"
                ) from None
            known.update(map(str, scores))
            score = scores.get(metric)
            if score is None:
                continue
            if isinstance(score, str | list | dict) or not 0 <= score <= 1:
                raise ValueError(
                    f"{file}: line {number}: {metric}={printable(score, 40)} is no score from 0 to 1; choose another metric="
                )
            if prompt not in wanted:
                foreign += 1
                continue
            answers.append((name, prompt, float(score)))
            found += 1
        if metric not in known:
            there = ", ".join(printable(key, 40) for key in sorted(known)[:20]) or "no metric at all"
            raise ValueError(f"{file}: no picture has metric={metric}; it has {there}")
        if not found:
            raise ValueError(
                f"{file}: of {foreign} scored pictures none is of a prompt of this suite; give evaluations of it"
            )
    return answers


def means(answers: Iterable[Answer], system: str) -> dict[str, float]:
    """Prompt -> a system's mean score over its pictures: what `difficulty.ability` and `weighted` take."""
    scores: dict[str, list[float]] = {}
    for name, prompt, score in answers:
        if name == system:
            scores.setdefault(prompt, []).append(score)
    return {prompt: sum(values) / len(values) for prompt, values in scores.items()}


def _names(folders: list[Path]) -> dict[Path, str]:
    names: dict[Path, str] = {}
    for folder in folders:
        if folder in names:
            raise ValueError(f"results: {folder} is there twice; give each evaluation once")
        result = folder / "result.json"
        told = read_json(result, REMEDY).get("name") if result.is_file() else None
        names[folder] = told if isinstance(told, str) and told.strip() else folder.name or str(folder)
    times = Counter(names.values())
    return {folder: name if times[name] == 1 else str(folder) for folder, name in names.items()}
