"""imagen-sample: prompts x seeds -> a picture of each, in every stage's size, with a captioned grid and a
record."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from tqdm import tqdm

from imagen.cascade import Cascade, Progress
from imagen.checkpoint import INDEX, read_release, sha256
from imagen.data.pictures import decode, fit
from imagen.data.sources.source import plain
from imagen.grid import to_uint8
from imagen.programs.allocation import keep_large_blocks
from imagen.programs.build import build, program
from imagen.programs.samples import Record
from imagen.safety import Safety, checked
from imagen.sampling import Settings, read_settings
from imagen.watermark import LEAST, library

REFUSED = 3
"""The exit code when something was refused by `safety`; the rest is drawn."""


@program("sample")
def main(cfg: DictConfig) -> None:
    """Make what the folder does not have yet; then the grid and samples.json."""
    given: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # pyright: ignore[reportAssignmentType]
    all_prompts, all_seeds = prompts_of(given), seeds_of(given["seeds"])
    safety: Safety | None = build(cfg.get("safety"))
    record = Record(Path(given["out"]), request(given, safety), given["mark"])
    refuse_watermark(given)
    refused = {} if safety is None else refused_of(safety, all_prompts)
    record.refuse(refused)
    if allowed := [prompt for prompt in all_prompts if prompt not in refused]:
        draw(cfg, given, record, safety, allowed, all_seeds)
    tell_refused(record, all_prompts, all_seeds)


def draw(
    cfg: DictConfig,
    given: dict[str, Any],
    record: Record,
    safety: Safety | None,
    all_prompts: list[str],
    all_seeds: list[int],
) -> None:
    """What `record` does not have yet, and the grid of all."""
    wanted = [(prompt, seed) for prompt in all_prompts for seed in all_seeds]
    device, size = given["device"] or ("cuda" if torch.cuda.is_available() else "cpu"), given["batch_size"]
    if device == "cpu":
        keep_large_blocks()
    cascade = Cascade.load(given["release"], device=device)
    parts = {"sampler": build(cfg.get("sampler")), "threshold": build(cfg.get("threshold"))}
    plain = {f.name: given.get(f.name) for f in fields(Settings) if f.name not in parts}
    settings = {**read_settings(plain, "settings"), **parts}
    picture = None if given["picture"] is None else read_picture(Path(given["picture"]))
    record.content["used"] = used = stages_of(cascade, picture, settings)
    print(told(all_prompts, all_seeds, picture, used))

    before = [pair for pair in wanted if pair in record.refused]
    missing = [pair for pair in wanted if not record.has(*pair) and pair not in before]
    names = [stage.name for stage in cascade.stages]
    with bars(len(missing), names, given["progress"]) as progress:
        for start in range(0, len(missing), size):
            prompts, seeds = zip(*missing[start : start + size])
            how = {"batch_size": size, "progress": progress(start), **settings}
            if picture is None:
                made = cascade.sample(prompts, seeds, **how)
            else:
                made = cascade.upscale(picture.expand(len(seeds), -1, -1, -1), prompts, seeds, **how)
            pictures = {name: to_uint8(one) for name, one in zip(names[-len(made) :], made)}
            last, reasons = pictures[names[-1]], None
            if safety is not None:
                reasons = checked(safety.pictures(last.copy()), len(last), "pictures")
            record.add(prompts, seeds, pictures, reasons)
    made = sum(record.has(*pair) for pair in missing)
    there = len(wanted) - len(missing) - len(before)
    sheet = f"; all in {record.grid(all_prompts, all_seeds, picture)}" if made + there else ""
    print(f"{made} pictures made, {there} were there: {record.folder}{sheet}")


def refused_of(safety: Safety, prompts: list[str]) -> dict[str, str]:
    """The prompts that are refused, and why."""
    reasons = checked(safety.prompts(list(prompts)), len(prompts), "prompts")
    return {prompt: reason for prompt, reason in zip(prompts, reasons) if reason is not None}


def tell_refused(record: Record, prompts: Sequence[str], seeds: Sequence[int]) -> None:
    """Name what of this request was refused, and leave with `REFUSED`, if anything was."""
    asked = {(prompt, seed) for prompt in prompts for seed in (None, *seeds)}
    refused = {pair: reason for pair, reason in record.refused.items() if pair in asked}
    for (prompt, seed), reason in refused.items():
        which = "" if seed is None else f", seed {seed}"
        sys.stderr.write(f"refused: {plain(repr(prompt))}{which}: {plain(reason)}\n")
    if refused:
        words = sum(seed is None for _, seed in refused)
        sys.stderr.write(
            f"safety: {words} prompts and {len(refused) - words} pictures were refused; {record.path} says why\n"
        )
        raise SystemExit(REFUSED)


def refuse_watermark(given: dict[str, Any]) -> None:
    """ValueError when the watermark that is asked for cannot be had: no library, or too small a picture."""
    if (text := given["watermark"]) is None:
        return
    last = read_release(given["release"]).stages[-1]
    if last.resolution < LEAST:
        raise ValueError(
            f"watermark={text}: stage {last.name} of release={given['release']} draws {last.resolution} x "
            f"{last.resolution}, which has no room for it ({LEAST} x {LEAST}); leave it out"
        )
    library()


def prompts_of(given: dict[str, Any]) -> list[str]:
    """The prompts of the command line and of the file, each once, in order. ValueError when there is none, or
    an empty one."""
    listed = given["prompts"] if isinstance(given["prompts"], list) else [given["prompts"]]
    if any(not isinstance(prompt, str | int | float) or isinstance(prompt, bool) for prompt in listed):
        raise ValueError(
            f"prompts={given['prompts']!s:.80}: give texts, such as \"prompts=['a red circle']\""
        )
    prompts = [str(prompt).strip() for prompt in listed]
    if "" in prompts:
        raise ValueError(f"prompts: number {prompts.index('')} is empty; every picture needs a description")
    if given["prompts_file"] is not None:
        path = Path(given["prompts_file"])
        if not path.is_file():
            raise ValueError(f"prompts_file={path}: no such file; give a text file with one prompt a line")
        try:
            prompts += [
                line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
            ]
        except UnicodeDecodeError:
            raise ValueError(f"prompts_file={path}: not a text file in UTF-8") from None
    if not prompts:
        raise ValueError('no prompts: give "prompts=[a red circle]" or prompts_file=FILE with one a line')
    return list(dict.fromkeys(prompts))


def seeds_of(given: Any) -> list[int]:
    """Whole numbers in [0, 2**63), each once."""
    seeds = given if isinstance(given, list) else [given]
    if not seeds or any(type(seed) is not int or not 0 <= seed < 2**63 for seed in seeds):
        raise ValueError(
            f"seeds={given!s:.80}: give whole numbers from 0 to 2**63 - 1, such as seeds=[0,1,2]"
        )
    return list(dict.fromkeys(seeds))


def stages_of(
    cascade: Cascade, picture: Tensor | None, settings: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Name of each stage that will be at work -> the settings that it uses, those of the release included. Plain."""
    stages = cascade.stages
    if picture is not None:
        stages = [stage for stage in stages if stage.lowres and stage.resolution > picture.shape[-1]]
    return cascade.described(stages, **settings)


def told(
    prompts: Sequence[str], seeds: Sequence[int], picture: Tensor | None, used: dict[str, dict[str, Any]]
) -> str:
    """What is about to be made, in words: an unquoted comma makes two prompts of one."""
    listed = "; ".join([*map(repr, prompts[:5]), *(["..."] if len(prompts) > 5 else [])])
    given = (
        ""
        if picture is None
        else f", from the picture's middle square of {picture.shape[-1]} x {picture.shape[-1]}"
    )
    stages = [
        f"{name} {how['resolution']} x {how['resolution']} (guidance {how['guidance']:g}, {how['steps']} steps)"
        for name, how in used.items()
    ]
    return f"{len(prompts)} prompts x {len(seeds)} seeds{given}, by {', '.join(stages)}: {listed}"


def request(given: dict[str, Any], safety: Safety | None) -> dict[str, Any]:
    """All that a picture depends on besides its prompt and seed; plain JSON. Two requests must not share a
    folder."""
    read_release(given["release"])
    release = {"folder": given["release"], "sha256": sha256(Path(given["release"]) / INDEX)}
    settings = {f.name: given.get(f.name) for f in fields(Settings)}
    picture = given["picture"]
    if picture is not None:
        if not Path(picture).is_file():
            raise ValueError(f"picture={picture}: no such file")
        picture = {"file": picture, "sha256": sha256(Path(picture))}
    found = {"release": release, "settings": settings, "picture": picture, "watermark": given["watermark"]}
    return {**found, "safety": None if safety is None else safety.identity}


def read_picture(path: Path) -> Tensor:
    """A picture file, cut to its middle square -> (1, 3, r, r) in [-1, 1]."""
    try:
        image = decode(path.read_bytes())
    except Exception as error:
        raise ValueError(f"picture={path}: cannot be read as a picture: {error}") from None
    array = torch.from_numpy(fit(image, min(image.size)).copy())
    return array.permute(2, 0, 1)[None].float() / 127.5 - 1


@contextmanager
def bars(total: int, stages: Sequence[str], shown: bool) -> Iterator[Callable[[int], Progress]]:
    """A bar over `total` pictures that names the stage at work; `hook(pictures done before)` is for one
    batch."""
    form = "{desc} {percentage:3.0f}%|{bar}| {n:.1f}/{total} [{elapsed}<{remaining}]"
    with tqdm(total=total, bar_format=form, disable=None if shown else True) as bar:

        def hook(before: int) -> Progress:
            def at(stage: str, done: float, size: int) -> None:
                bar.set_description(stage, refresh=False)
                bar.n = before + (stages.index(stage) * size + done) / len(stages)
                bar.refresh()

            return at

        yield hook


if __name__ == "__main__":
    main()
