"""imagen-evaluate: a protocol's pictures made and measured, by any number of processes; result.json has the numbers and all that
they depend on."""

import itertools
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from imagen.evaluation.protocols.evaluation import Evaluation, Tell, refused_size
from imagen.evaluation.protocols.makers import Diffusers, Enlarged, Images, Maker, Real, Release
from imagen.evaluation.protocols.measures import Measures
from imagen.evaluation.protocols.protocol import Evaluated
from imagen.evaluation.protocols.ranks import Rank, run_on
from imagen.evaluation.protocols.results import pinned, refuse_foreign, write_fronts, write_result
from imagen.evaluation.protocols.weights import Weights
from imagen.files import locked
from imagen.programs.allocation import keep_large_blocks
from imagen.programs.build import CONF, build, program, reported
from imagen.programs.version import code_version
from imagen.progress import bar
from imagen.sampling import Settings, read_settings
from imagen.text.remembered import Remembered

PARTS = ("threshold", "sampler")


@program("evaluate")
def main(cfg: DictConfig) -> None:
    """Check what was asked for, then let each process do its share."""
    given: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # pyright: ignore[reportAssignmentType]
    devices = given["devices"] or _devices()
    if given.get("protocol") is None:
        raise ValueError("no protocol: give protocol=coco30k, coco10k, prompts or shapes")
    who = [name for name in ("release", "images", "pipeline") if given[name] is not None]
    real = given["generator"] == "real"
    if len(who) != (0 if real else 1):
        raise ValueError(
            f"{' and '.join(f'{name}={given[name]}' for name in who) or 'no pictures'}: give one of release=FOLDER, images=FOLDER, "
            "pipeline=FOLDER generator=diffusers, and generator=real"
        )
    goes = {"release": ["release", "images"], "enlarge": ["release"], "diffusers": ["pipeline"], "real": []}
    if not real and who[0] not in goes[given["generator"]]:
        raise ValueError(f"generator={given['generator']} and {who[0]}={given[who[0]]} do not go together")
    sampled = [name for name in (*(f.name for f in fields(Settings)), *PARTS) if given.get(name) is not None]
    kept = {"release": sampled, "pipeline": ["guidance", "steps"]}.get(who[0] if who else "", [])
    if ignored := [name for name in sampled if name not in kept]:
        raise ValueError(
            f"{ignored[0]}={given[ignored[0]]}: {'generator=real' if real else f'{who[0]}='} is not sampled with that; leave "
            f"{', '.join(ignored)} out"
        )
    out = Path(given["out"])
    if who and out.resolve().is_relative_to(Path(given[who[0]]).resolve()):
        raise ValueError(f"out={out}: lies within {who[0]}={given[who[0]]}; give a folder outside")
    refuse_foreign(out, cells_of(given) != [{}])
    try:
        run_on(devices, _work, given, devices)
    except RuntimeError as error:
        if "ended with an error" not in str(error):
            raise
        raise ValueError(f"devices={devices}: {error}") from None


def _devices() -> list[str]:
    return [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cpu"]


def _work(rank: Rank, given: dict[str, Any], devices: Sequence[str]) -> None:
    """One process' share; the first one also waits for the others and writes the numbers."""
    if len(devices) > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // len(devices)))
        with reported():
            return _share(rank, given)
    return _share(rank, given)


def _share(rank: Rank, given: dict[str, Any]) -> None:
    cfg, began = OmegaConf.create(given), time.perf_counter()
    protocol = build(cfg.protocol)
    count = given["count"] or protocol.count
    wanted = protocol.wanted(count, given["seed"])
    names = protocol.metrics if given["metrics"] is None else given["metrics"]
    weights = Weights(**{name: path and Path(path) for name, path in given["weights"].items()})
    measures = Measures.of(names, weights, rank.device)
    measures.check(wanted)
    out = Path(given["out"])
    if rank.device == "cpu":
        keep_large_blocks()
    makers = list(makers_of(given, protocol, rank.device))
    for _, maker in makers:
        maker.check(wanted)
        side = maker.cascade.stages[-1].resolution if isinstance(maker, Release | Enlarged) else None
        if "drift" in names and isinstance(maker, Release) and len(maker.cascade.stages) < 2:
            raise ValueError(
                f"metrics=[drift]: {given['release']} has no super-resolution stage; leave it out"
            )
        if side and protocol.resolution and side != protocol.resolution:
            raise ValueError(refused_size(side, protocol.resolution))
    reference = protocol.reference() if measures.parts.extractors else None
    measures.refuse_without(reference)
    if given["dry_run"]:
        if rank.number == 0:
            print(told(protocol.name, count, protocol.count, makers, names, out))
        return
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / f".lock-{rank.number}", f"out={out}: another imagen-evaluate is at work there"):
        evaluations = []
        shares = {
            "protocol": {**protocol.told, "seed": given["seed"], "asked": count},
            "block": given["block"],
        }
        swept = bool(makers[0][0])
        if swept:  # the cells of a folder are of one sweep, or of several that differ in what is swept alone
            pinned(out / "cells", {**shares, "source": makers[0][1].source}, cells=True)
        for cell, maker in makers:
            folder = out / "cells" / name_of(cell) if cell else out
            shared = Path(given["reference_features"] or out / "reference")
            made = Evaluation(
                folder, wanted, given["block"], reference, protocol.resolution, shared, maker.partial
            )
            pinned(folder, {**shares, "source": maker.source, "sampling": maker.sampling})
            evaluations.append((cell, maker, made))
        with _telling(given["progress"] and rank.number == 0) as tell:
            # cell after cell within a block: its prompts are read once for all of them
            for block in rank.share(len(evaluations[0][2].blocks)):
                for _, maker, made in evaluations:
                    made.make_block(rank, block, maker, tell)
            for _, _, made in evaluations:
                made.measure(rank, measures.parts, tell)
            if rank.number:
                return
            for _, _, made in evaluations:
                made.wait(measures.parts, tell)
        pictures = 0
        code, seed, times = code_version(), given["seed"], given["bootstrap"]
        for cell, maker, made in evaluations:
            found = write_result(made, protocol, wanted, measures, maker, cell, code, seed, times)
            if names or cell:
                print(in_words(name_of(cell), found["metrics"]))
            if found["missing"]:
                print(f"{len(found['missing'])} of {len(wanted)} pictures are missing and left out")
            pictures += found["pictures"]["count"]
        if swept:
            write_fronts(out)
    if not names:
        print("nothing was measured: give metrics=[...] with the same out= (--help names them)")
    where = "fronts.json" if swept else "result.json"
    print(f"{pictures} pictures, {time.perf_counter() - began:.0f} s: {out / where}")


def cells_of(given: dict[str, Any]) -> list[dict[str, Any]]:
    """Every combination of what is swept; [{}] when nothing is."""
    swept = {name: values for name, values in given["sweep"].items() if values is not None}
    for name, values in swept.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"sweep.{name}={values!s:.80}: give a list, such as sweep.guidance=[1,2,4]")
        if None in values or any(value in values[:i] for i, value in enumerate(values)):
            raise ValueError(f"sweep.{name}={values!s:.80}: give each value once, and no null")
        if given.get(name) is not None:
            raise ValueError(f"{name} and sweep.{name} are both given: leave one out")
    if swept and given["release"] is None:
        raise ValueError("sweep: only a release is sampled with other settings; give release=FOLDER")
    return [dict(zip(swept, values)) for values in itertools.product(*swept.values())]


def makers_of(
    given: dict[str, Any], protocol: Evaluated, device: str
) -> Iterator[tuple[dict[str, Any], Maker]]:
    """(what is swept, who makes the pictures) of each cell."""
    if given["images"] is not None:
        yield {}, Images(Path(given["images"]), skip=given["missing"] == "skip")
        return
    if given["pipeline"] is not None:
        how = {"guidance": given["guidance"], "steps": given["steps"], "batch_size": given["batch_size"]}
        yield {}, Diffusers(Path(given["pipeline"]), device, **how)
        return
    if given["generator"] == "real":
        yield {}, Real(protocol.originals, protocol.resolution)
        return
    cascade = None
    for cell in cells_of(given):
        plain = {f.name: given.get(f.name) for f in fields(Settings) if f.name not in PARTS}
        plain |= {name: value for name, value in cell.items() if name not in PARTS}
        parts = {name: _part(name, cell.get(name), given.get(name)) for name in PARTS}
        settings = {**read_settings(plain, "settings"), **parts}
        maker = Release(Path(given["release"]), settings, device, given["batch_size"], cascade)
        if cascade is None:
            cascade = maker.cascade
            cascade.encoder = Remembered(cascade.encoder)  # pyright: ignore[reportAttributeAccessIssue]
        yield cell, Enlarged(maker, protocol.originals) if given["generator"] == "enlarge" else maker


def _part(name: str, swept: str | None, given: Any) -> Any:
    """A threshold or sampler: by the name of its file in conf/ where it is swept."""
    if swept is None:
        return build(OmegaConf.create({name: given})[name]) if given else None
    file = CONF / name / f"{swept}.yaml"
    known = sorted(path.stem for path in (CONF / name).glob("*.yaml"))
    if str(swept) not in known:
        raise ValueError(f"sweep.{name}: {swept!s:.40} is none; choose from {', '.join(known)}")
    return build(OmegaConf.create({name: OmegaConf.load(file)})[name])


def name_of(cell: dict[str, Any]) -> str:
    """A folder's name: guidance=2,threshold=dynamic."""
    return ",".join(
        f"{key}={json.dumps(value).replace(' ', '').strip(chr(34))}" for key, value in cell.items()
    )


def in_words(cell: str, metrics: dict[str, Any]) -> str:
    """Each metric in a line, with its interval."""
    width = max(map(len, metrics), default=0)
    lines = [cell] if cell else []
    for name, found in metrics.items():
        ends = found["interval"]
        spread = f"  [{ends[0]:.4g}, {ends[1]:.4g}]" if ends else ""
        lines.append(f"{name:{width}}  {found['value']:.4g}{spread}  n={found['n']}")
    if note := next((found["note"] for found in metrics.values() if "protocol" in found["note"]), ""):
        lines.append(note.partition(";")[0])
    return "\n".join(lines)


def told(
    name: str, count: int, whole: int, makers: Sequence[tuple[Any, Maker]], metrics: Sequence[str], out: Path
) -> str:
    """What would be made, in words."""
    cells = f" in {len(makers)} cells" if len(makers) > 1 else ""
    fewer = f" (the protocol asks for {whole})" if count != whole else ""
    source = makers[0][1].source
    return (
        f"would make {count * len(makers)} pictures{cells}: {name}, {count} each{fewer}, by {source['kind']} {source.get('folder', '')}; "
        f"measured: {', '.join(metrics) or 'nothing'}; into {out}"
    )


@contextmanager
def _telling(shown: bool) -> Iterator[Tell]:
    """A bar for what is being done."""
    bars: dict[str, Any] = {}

    def tell(what: str, done: int, total: int) -> None:
        if shown and what not in bars:
            for earlier in bars.values():
                earlier.close()
            bars[what] = bar(total=total, desc=what, unit="picture")
        if shown:
            bars[what].update(min(done, total) - bars[what].n)

    try:
        yield tell
    finally:
        for one in bars.values():
            one.close()


if __name__ == "__main__":
    main()
