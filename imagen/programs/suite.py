"""imagen-suite: what a suite of prompts is made of, composed ones, the next version, and how hard each prompt is."""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from imagen.data.sources.source import plain
from imagen.evaluation.suites.answers import means, read_answers
from imagen.evaluation.suites.compose import compose
from imagen.evaluation.suites.describe import changed, describe, report
from imagen.evaluation.suites.difficulty import fit, shift_to, weighted
from imagen.evaluation.suites.readers import captions_of
from imagen.evaluation.suites.suite import Change, Suite, read_suite, write_suite
from imagen.evaluation.suites.versions import extend, newer, next_version, read_edits
from imagen.files import printable, read_json, write_text
from imagen.programs.build import program
from imagen.programs.settings import SETTINGS
from imagen.programs.words import positional, quoted

TAKES = {
    "describe": ("path", "out", "captions"),
    "compose": ("out", "categories", "split", "name"),
    "extend": ("path", "out", "with", "version", "note"),
    "difficulty": ("path", "out", "results", "version", "anchors"),
}
NEEDS = {
    "describe": ("path",),
    "compose": ("out",),
    "extend": ("path", "out", "with", "version"),
    "difficulty": ("path", "out", "results"),
}


@program("suite")
def suite(cfg: DictConfig) -> None:
    """Do what the action says."""
    action = cfg.action
    for key in sorted({key for keys in TAKES.values() for key in keys}):
        if cfg[key] is not None and key not in TAKES[action]:
            raise ValueError(f"{key}={cfg[key]}: {action} does not take it; leave it out")
    if missing := [key for key in NEEDS[action] if cfg[key] is None]:
        raise ValueError(
            f"{action} needs {' '.join(f'{key}=...' for key in missing)}; see imagen-suite --help"
        )
    {"describe": _describe, "compose": _compose, "extend": _extend, "difficulty": _difficulty}[action](cfg)


def main() -> None:
    """`describe PATH` is short for action=describe path=PATH, and so are the other actions."""
    sys.argv[1:] = spelled_out(sys.argv[1:])
    suite()


def spelled_out(words: Sequence[str]) -> list[str]:
    """The first two of the words that are no option and no key=value of this program, as action= and path=; and what is
    text is quoted, since 1.10 would be the number 1.1, and a comma a sweep."""
    texts = [re.fullmatch(r"(version|note|name)=(?!null$)([^'\"].*)", word, re.DOTALL) for word in words]
    told = [f"{text[1]}={quoted(text[2])}" if text else word for text, word in zip(texts, words)]
    return positional(told, ["action", "path"], "|".join(SETTINGS["suite"].__annotations__))


def _describe(cfg: DictConfig) -> None:
    of, out = read_suite(cfg.path), None if cfg.out is None else Path(cfg.out)
    captions = None if cfg.captions is None else captions_of(Path(cfg.captions))
    found = describe(of, captions, cfg.near, cfg.examples)
    print(report(found))
    if out is not None:
        file = out if out.suffix == ".json" else out / "suite.json"
        if file.exists() and "near_duplicates" not in read_json(file, "give another out="):
            raise ValueError(
                f"out={file}: is there already and is no description of a suite; give another out="
            )
        write_text(file, json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        print(f"\nwrote {file}")


def _compose(cfg: DictConfig) -> None:
    categories = None if cfg.categories is None else list(cfg.categories)
    _write(compose(cfg.world, cfg.n, cfg.seed, categories, cfg.split, cfg.name), cfg.out)


def _extend(cfg: DictConfig) -> None:
    before = read_suite(cfg.path)
    newer(before, cfg.version)
    after = extend(before, read_edits(cfg["with"]), cfg.version, cfg.note or "")
    print(
        f"version {after.card.version}, since {before.card.version}: {changed(after.card.row()['changelog'][-1])}"
    )
    _write(after, cfg.out)


def _difficulty(cfg: DictConfig) -> None:
    before = read_suite(cfg.path)
    version = cfg.version or next_version(before.card.version)
    newer(before, version)
    folders = [cfg.results] if isinstance(cfg.results, str) else list(cfg.results)
    same = [
        a for i, a in enumerate(folders) if any(Path(a).resolve() == Path(b).resolve() for b in folders[:i])
    ]
    if same:
        raise ValueError(f"results={same[0]}: is there twice; each system counts once")
    answers = read_answers(folders, cfg.metric, [prompt.prompt for prompt in before.prompts])
    scale = fit(answers)
    how = f"Rasch model, {len(scale.abilities)} systems, metric {cfg.metric}; logits, 0 is the mean of this suite"
    if cfg.anchors is not None:
        others = {p.prompt: p.difficulty for p in read_suite(cfg.anchors).prompts if p.difficulty is not None}
        if not others:
            raise ValueError(
                f"anchors={cfg.anchors}: has no difficulties; estimate them first, or leave it out"
            )
        shift, error, shared = shift_to(others, scale)
        scale = scale.moved(shift)
        how = how.partition("; ")[0] + f"; logits on the scale of {Path(cfg.anchors).name}"
        print(
            f"moved by {shift:+.2f} +- {error:.2f} logits onto the scale of the anchors: {shared} prompts in both"
        )
    prompts = tuple(replace(p, difficulty=_rounded(scale.difficulties.get(p.prompt))) for p in before.prompts)
    note = f"difficulties from {len(scale.abilities)} systems by {cfg.metric}"
    entry = Change(version, before.card.version, note)
    card = replace(before.card, version=version, difficulty=how, changelog=(*before.card.changelog, entry))
    after = Suite(prompts, card)
    print(f"{'system':40}  ability (logits)   mean  weighted by difficulty")
    for system, able in scale.abilities.items():
        scores = means(answers, system)
        hard, error = weighted(scores, scale.difficulties)
        mean = sum(scores.values()) / len(scores)
        spread = f"{able:+5.2f} +- {scale.ability_errors[system]:4.2f}"
        print(f"{_line(system):40}  {spread}    {mean:6.3f}  {hard:.3f} +- {error:.3f}")
    ordered = sorted(scale.difficulties.items(), key=lambda pair: pair[1])
    print(
        f"difficulties of {len(ordered)} of {len(prompts)} prompts, spread {scale.spread:.2f} logits; each +- ",
        end="",
    )
    print(f"{sorted(scale.errors.values())[len(scale.errors) // 2]:.2f} (median)")
    for label, (prompt, value) in (("easiest", ordered[0]), ("hardest", ordered[-1])):
        print(f"{label}  {value:+.2f} +- {scale.errors[prompt]:.2f}  {_line(prompt)}")
    _write(after, cfg.out)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _write(suite: Suite, out: str) -> None:
    write_suite(suite, out)
    counts = ", ".join(f"{_line(name)} {n}" for name, n in list(suite.categories.items())[:20])
    print(
        f"wrote {out}: {_line(suite.card.name)} {suite.card.version}, {len(suite.prompts)} prompts ({counts})"
    )
    print(f"sha256 {suite.sha256}")


def _line(text: str) -> str:
    return plain(printable(" ".join(text.split()), 100))


if __name__ == "__main__":
    main()
