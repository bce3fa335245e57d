"""imagen-prepare: a source of pictures and captions -> a folder of shards, with the captions' embeddings
beside them."""

import shutil
import sys
from pathlib import Path

from omegaconf import DictConfig

from imagen.data.index import read_index
from imagen.data.prepare.card import facts_of, write_card
from imagen.data.prepare.embedding import embed
from imagen.data.prepare.estimate import estimate
from imagen.data.prepare.preparing import described, prepare
from imagen.files import printable, size_in_words
from imagen.programs.build import build, program


@program("prepare")
def main(cfg: DictConfig) -> None:
    """Say what it will take, write what is not yet written, say what is there."""
    if cfg.get("source") is None:
        raise ValueError(
            "no source: give source=table source.path=TABLE, or source=folder, coco, img2dataset, huggingface or shapes"
        )
    out, devices = Path(cfg.out), devices_of(cfg.device)
    source, filters, cache = build(cfg.source), build(cfg.filters), build(cfg.cache)
    encoders = [build(cfg.text) for _ in devices] if cfg.embed else []
    if not (out / "index.json").exists():
        needed = estimate(source, encoders[0].dim if encoders else 0, filters)
        free = shutil.disk_usage(next(p for p in (out, *out.absolute().parents) if p.exists())).free
        sys.stderr.write(f"{needed}; {size_in_words(free)} are free at {out}\n")
        if cfg.dry_run:
            return
        there = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
        if needed.bytes > free + there:
            raise ValueError(
                f"out={out}: {size_in_words(needed.bytes)} are needed and {size_in_words(free)} free: choose a larger disk"
            )
    elif cfg.dry_run:
        _say(described(out, read_index(out)))
        return
    index = prepare(source, out, cfg.shard_size, cfg.max_bad, filters, cfg.duplicates, cfg.workers, cache)
    write_card(out, facts_of(out, index, source, cfg.source.get("path"), cfg.licence))
    if encoders:
        there = [encoder.to(device) for encoder, device in zip(encoders, devices)]
        embed(out, there, "out", cache)
    _say(described(out, index))


def devices_of(given: str | list[str]) -> list[str]:
    """One device or several; ValueError for none."""
    if not given:
        raise ValueError("device=[]: give cpu, cuda, or a list of those")
    return [given] if isinstance(given, str) else list(given)


def _say(text: str) -> None:
    """What has words of the data in it, with nothing that a terminal obeys."""
    print(printable(text, len(text)))


if __name__ == "__main__":
    main()
