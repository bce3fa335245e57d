"""The page of a data set that was inspected: what is wrong with it, its numbers, some of its pairs; and a sheet of
these."""

import base64
import errno
import html
import io
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imagen.data.inspect.inspection import Inspection
from imagen.data.inspect.problems import Problem, percent, summary
from imagen.data.members import captions_of, picture_of
from imagen.data.pictures import decode
from imagen.data.sources.source import BadPair
from imagen.evaluation.document import document, table
from imagen.files import printable, size_in_words
from imagen.grid import contact_sheet

SHOWN = 48  # pairs
SIDE = 320  # pixels of the long side of a picture on the page
LONGEST = 1000  # characters of a caption on the page
MOST = 12  # captions of a picture
FIELDS = 3000  # characters
STYLE = """
.problem { margin: .6rem 0; padding: .6rem .9rem; background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--quiet);
  border-radius: .4rem; overflow-wrap: anywhere; } .problem p { margin: 0; } .problem p + p { color: var(--quiet); font-size: .92rem; }
.problem.serious { border-left-color: var(--bad); } .problem.minor { border-left-color: light-dark(#c07a00, #e8b04a); }
.problem b { font-size: .78rem; text-transform: uppercase; letter-spacing: .04em; margin-right: .5rem; } .problem.serious b { color: var(--bad); }
.numbers { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1rem; } h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
.bars { display: grid; grid-template-columns: auto 1fr auto; gap: 1px .5rem; font-size: .78rem; align-items: center; font-variant-numeric: tabular-nums; }
.bars span:nth-child(3n + 1) { text-align: right; color: var(--quiet); overflow-wrap: anywhere; max-width: 11rem; } .bars i { display: block; height: .8em; 
  background: light-dark(#7a92ab, #6f8aa5); border-radius: 2px; } .numbers figure > b { display: block; margin-bottom: .4rem; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(15.5rem, 1fr)); gap: 1rem; } .pairs figure { overflow: hidden; }
.pairs img { image-rendering: auto; width: 100%; height: 14rem; object-fit: contain; background: light-dark(#eee, #131416); }
.pairs ul { margin: .5rem 0; padding: 0; list-style: none; color: var(--ink); } .pairs li { overflow-wrap: anywhere; unicode-bidi: isolate;
  max-height: 16rem; overflow-y: auto; margin: .25rem 0; padding-left: .5rem; border-left: 2px solid var(--line); }
.pairs small { color: var(--quiet); overflow-wrap: anywhere; } .pairs pre { margin: .4rem 0 0; font-size: .75rem; white-space: pre-wrap; overflow-wrap: anywhere; }
th, td { white-space: nowrap; } .told td { white-space: normal; text-align: left; overflow-wrap: anywhere; } .told th { text-align: left; }
.told td:nth-child(2) { white-space: nowrap; } .words { line-height: 1.9; overflow-wrap: anywhere; } .words span { margin-right: .7rem; white-space: nowrap; display: inline-block; max-width: 100%; overflow: hidden; text-overflow: ellipsis; vertical-align: bottom; }
.words small { color: var(--quiet); }
"""


@dataclass(frozen=True)
class Shown:
    """A pair as the page shows it. `picture`: (H, W, 3) uint8, whole, at most `SIDE` long; `size`: of the file, (width,
    height) in pixels; `fields`: what else is stored with it, as JSON."""

    split: str
    shard: str
    key: str
    size: tuple[int, int]
    picture: np.ndarray
    captions: tuple[str, ...]
    fields: str


def write_inspection(out: Path, found: Inspection, problems: Sequence[Problem], seed: int) -> Path:
    """inspect.json, sheet.png and index.html in `out`, all three or none; returns the page's path. The pairs on the sheet
    are drawn by `seed`: the same data and seed make the same bytes. ValueError naming out= when the disk is full."""
    pairs = _shown(found, seed)
    report = {**found.report, "problems": [asdict(problem) for problem in problems]}
    captions = [printable(f"{pair.size[0]} x {pair.size[1]}: {pair.captions[0]}", 2000) for pair in pairs]
    sheet = io.BytesIO()
    contact_sheet([pair.picture for pair in pairs], captions).save(sheet, "PNG")
    content = {
        "inspect.json": (json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode(),
        "sheet.png": sheet.getvalue(),
        "index.html": page(found.report, problems, pairs).encode(),
    }
    try:
        _write(out, content)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        there = next(path for path in (out, *out.absolute().parents) if path.exists())
        raise ValueError(
            f"out={out}: the disk is full ({size_in_words(shutil.disk_usage(there).free)} free): make room, or give another "
            "out=; what was there is as it was"
        ) from None
    return out / "index.html"


def page(report: dict[str, Any], problems: Sequence[Problem], pairs: Sequence[Shown]) -> str:
    """The whole page as HTML that fetches nothing."""
    if report["read"] == report["pairs"]:
        read = f"All {report['pairs']:,} pairs were read."
    else:
        indexed = all(split["indexed"] for split in report["splits"].values())
        rest = "those of all, by the index" if indexed else "those of the pairs read"
        read = f"Of {report['pairs']:,} pairs {report['read']:,} were read, drawn by seed {report['seed']}; sizes and duplicates are {rest}."
    lead = f"{summary(problems)}. {read}"
    parts = [f"<h1>{_text(report['data'])}</h1>", f'<p class="lead">{_text(lead)}</p>']
    parts += map(_problem, problems)
    parts += ["<h2>Numbers</h2>", table(_figures(report))]
    if report["speed"]:
        parts.append(f'<p class="quiet">{_text(speed_in_words(report))}</p>')
    for name, split in report["splits"].items():
        parts += _split(name, split)
    parts += _embeddings(report["embeddings"])
    parts += _left_out(report["left_out"])
    if pairs:
        parts += [
            f"<h2>{len(pairs)} pairs</h2>",
            '<p class="quiet"><a href="sheet.png">sheet.png</a>: the same.</p>',
        ]
        parts += ['<div class="pairs">', *map(_pair, pairs), "</div>"]
    return document(f"{report['data']}: inspected", parts, STYLE)


def speed_in_words(report: dict[str, Any]) -> str:
    """How fast one process reads."""
    speed = report["speed"]
    shares = ", ".join(f"{part} {percent(value)}" for part, value in speed["shares"].items())
    return (
        f"One process reads {speed['pairs_a_second']:,.0f} pairs a second at {report['resolution']} x {report['resolution']} "
        f"({speed['megabytes_a_second']:.1f} MB/s of picture files): {shares} of the time."
    )


def _shown(found: Inspection, seed: int) -> list[Shown]:
    pairs = []
    for split, seen in found.some(SHOWN, seed):
        shard = split.shards[seen.shard]
        try:
            sample = shard.read(seen.row)
            image = decode(picture_of(sample), SIDE)
        except BadPair:  # it was there a moment ago
            continue
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        pairs.append(
            Shown(
                split.name,
                shard.name,
                seen.key,
                seen.size,
                np.asarray(image),
                captions_of(sample),
                _fields(sample),
            )
        )
    return pairs


def _fields(sample: dict[str, Any]) -> str:
    try:
        fields = json.loads(sample.get("json") or b"{}")
        if not isinstance(fields, dict):
            return ""
        kept = {key: value for key, value in fields.items() if key not in ("captions", "caption")}
        return json.dumps(kept, indent=1, ensure_ascii=False) if kept else ""
    except (ValueError, RecursionError):
        return ""


def _text(text: object, most: int = LONGEST) -> str:
    """Anything out of the data, as text of a page."""
    return html.escape(printable(text, most), quote=True)


def _problem(problem: Problem) -> str:
    return (
        f'<div class="problem {problem.level}"><p><b>{problem.level}</b>{_text(problem.what, 3000)}</p>'
        f"<p>{_text(problem.remedy)}</p></div>"
    )


def _figures(report: dict[str, Any]) -> list[list[str]]:
    rows = [
        [
            "split",
            "pairs",
            "captions",
            "MB",
            "shards",
            "pairs read",
            "unusable",
            "duplicates",
            "below 64",
            "256",
            "1024",
        ]
    ]
    for name, split in report["splits"].items():
        bad, below = sum(part["pairs"] for part in split["bad"].values()), split["below"]
        rows.append(
            [
                printable(name),
                *(f"{n:,}" for n in (split["pairs"], split["captions"])),
                f"{split['bytes'] / 1e6:,.1f}",
                f"{split['shards']['count']:,}",
                *(f"{n:,}" for n in (split["read"], bad, split["duplicates"]["pairs"])),
                *(percent(below[side]) for side in ("64", "256", "1024")),
            ]
        )
    return rows


def _split(name: str, split: dict[str, Any]) -> list[str]:
    if not split["pairs"]:
        return []
    of_all = "all pairs" if split["indexed"] else "the pairs read"
    said, shapes = split["wording"], split["shapes"]
    turned = ", ".join(f"{shape} {percent(part)}" for shape, part in shapes.items() if part)
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in split["kinds"].items())
    parts = [
        f"<h2>{_text(name)}</h2>",
        f'<p class="quiet">{_text(f"Files: {kinds or chr(45)}. {turned}.")}</p>',
        '<div class="numbers">',
        _histogram(f"Short side in pixels, {of_all}", split["short_side"]),
        _histogram(f"Long side over short side, {of_all}", split["aspect"]),
        _histogram(f"Captions a picture, {of_all}", split["captions_a_picture"], whole=True),
        _histogram("Characters a caption", said["characters"]),
        _histogram("Words a caption", said["words"], whole=True),
        "</div>",
    ]
    if said["most_common_words"]:
        repeated = f"{said['distinct']:,} of {said['captions']:,} captions are distinct; {said['vocabulary']:,} words."
        parts += [
            f"<h3>What the captions of {_text(name)} say</h3>",
            f'<p class="quiet">{_text(repeated)}</p>',
        ]
        parts += [_words(said["most_common_words"]), _words(said["bigrams"])]
    if said["most_common"]:
        rows = [
            ["captions most often there", "times"],
            *([text, f"{n:,}"] for text, n in said["most_common"]),
        ]
        parts.append(_told(rows))
    if split["bad"]:
        rows = [["unusable, of the pairs read", "pairs", "for example"]]
        rows += [[kind, f"{b['pairs']:,}", "; ".join(b["examples"])] for kind, b in split["bad"].items()]
        parts.append(_told(rows))
    if split["duplicates"]["examples"]:
        rows = [
            ["the same picture, byte for byte"],
            *([" = ".join(keys)] for keys in split["duplicates"]["examples"]),
        ]
        parts.append(_told(rows))
    return parts


def _histogram(title: str, described: dict[str, Any], whole: bool = False) -> str:
    """Bars, one a bin; empty bins before the first and after the last are left out."""
    summary, (edges, counts) = described["summary"], described["histogram"].values()
    if summary is None:
        return ""
    there = [i for i, count in enumerate(counts) if count]
    bars = ""
    for i in range(there[0], there[-1] + 1):
        last = i == len(counts) - 1
        upper = "" if last else edges[i + 1] - 1 if whole else edges[i + 1]
        label = (
            f"{edges[i]:g}+" if last else f"{edges[i]:g}" if upper == edges[i] else f"{edges[i]:g}–{upper:g}"
        )
        bars += f'<span>{label}</span><i style="width:{_width(counts[i], max(counts))}"></i><span>{counts[i]:,}</span>'
    least, median, mean, most = (f"{round(x, 1 if x >= 10 else 2):,.12g}" for x in summary.values())
    spread = f"{least} to {most}, median {median}, mean {mean}"
    return f'<figure><b>{_text(title)}</b><div class="bars">{bars}</div><figcaption>{_text(spread)}</figcaption></figure>'


def _width(count: int, most: int) -> str:
    """Of a bar: nothing is nothing, and a single one can be seen."""
    return f"max(1px, {100 * count / most:.1f}%)" if count else "0"


def _words(words: Sequence[Sequence[Any]]) -> str:
    spans = "".join(f"<span>{_text(word, 60)} <small>{count:,}</small></span> " for word, count in words)
    return f'<p class="words">{spans}</p>'


def _embeddings(caches: Sequence[dict[str, Any]]) -> list[str]:
    good = [cache for cache in caches if "error" not in cache]
    if not good:
        return []
    rows = [["text embeddings", "shards", "MB", "padded float32 would be", "width", "limit", "cut off"]]
    for cache in good:
        shards = f"{cache['shards'] - cache['missing']['shards']:,} of {cache['shards']:,}"
        times = "" if cache["padded"] is None else f"{cache['padded']:,.0f} times that"
        sizes = [f"{cache['bytes'] / 1e6:,.1f}", times, cache["encoder"].get("dim", "")]
        rows.append([cache["name"], shards, *sizes, f"{cache['max_length']} tokens", percent(cache["cut"])])
    histograms = [
        _histogram(f"Tokens of one caption of each pair read, {cache['name']}", cache["tokens"], whole=True)
        for cache in good
    ]
    return ["<h2>Text embeddings</h2>", table(rows), '<p></p><div class="numbers">', *histograms, "</div>"]


def _left_out(left_out: dict[str, Any]) -> list[str]:
    if not left_out:
        return []
    rows = [["left out by imagen-prepare", "pairs", "for example"]]
    rows += [[kind, f"{part['pairs']:,}", "; ".join(part["examples"])] for kind, part in left_out.items()]
    return ["<h2>Left out</h2>", _told(rows)]


def _told(rows: Sequence[Sequence[str]]) -> str:
    """A table of words, which wrap."""
    return f'<div class="told">{table(rows)}</div>'


def _pair(pair: Shown) -> str:
    file = io.BytesIO()
    Image.fromarray(pair.picture).save(file, "JPEG", quality=85)
    data = base64.b64encode(file.getvalue()).decode()
    captions = "".join(f'<li dir="auto">{_text(caption)}</li>' for caption in pair.captions[:MOST])
    if len(pair.captions) > MOST:
        captions += f"<li>and {len(pair.captions) - MOST:,} more</li>"
    fields = (
        f"<details><summary>fields</summary><pre>{_text(pair.fields, FIELDS)}</pre></details>"
        if pair.fields
        else ""
    )
    where = f"{pair.split} · {pair.size[0]} x {pair.size[1]} · {pair.shard} · {pair.key}"
    alt = _text(pair.captions[0], 200)
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" alt="{alt}" loading="lazy"><figcaption><ul>{captions}</ul>'
        f"<small>{_text(where)}</small>{fields}</figcaption></figure>"
    )


def _write(out: Path, content: dict[str, bytes]) -> None:
    """Files of `out`, by their names: all are written aside before the first is moved, so that none is of another time
    than the others."""
    out.mkdir(parents=True, exist_ok=True)
    beside = {name: out / f".{name}.{os.getpid()}" for name in content}
    try:
        for name, data in content.items():
            beside[name].write_bytes(data)
        for name, path in beside.items():
            os.replace(path, out / name)
    finally:
        for path in beside.values():
            path.unlink(missing_ok=True)
