"""What a folder of shards is, for people and programs: card.md, and the same facts as card.json.

Values come from the index, the source and the person who prepared it; what none of them says is not stated."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from imagen.card import UNSTATED, card, points, shown, table
from imagen.data.address import is_address
from imagen.data.index import Index
from imagen.data.prepare.claim import alone
from imagen.data.prepare.disk import room
from imagen.files import read_json, size_in_words, write_text

FACTS, CARD = "card.json", "card.md"
FORMAT = 1
Facts = dict[str, Any]
KINDS = {
    "shapes": ("scenes drawn by this package", "a grammar of this package; true by construction"),
    "coco": ("photographs of COCO", "people, several a picture"),
}  # what the others hold is the affair of whoever made them
READ = "every picture can be read to its end"
HEADS = "every picture begins as one (tars that are used where they lie are not decoded)"
CHECKED = ("no caption is empty", "each shard keeps its sha256")
NOT_CHECKED = (
    "faces and other things that tell who somebody is",
    "nudity, violence and other content that may harm (NSFW)",
    "consent of the people shown, and of those who made the pictures",
    "copyright of each picture: the licence above is what was said, and nobody compared it with the pictures",
    "whether captions say what pictures show, or insult or stereotype",
    "who and what is shown more often than others, and less",
    "pictures that are nearly alike, and pictures that are in two splits: the exact duplicates left out are within one split",
    "visible watermarks and text in pictures",
)
DRAWN = (
    "pictures that are nearly alike: two scenes may differ by a pixel",
    "pictures that are in two splits, byte for byte (their scenes are apart by construction)",
)
USE = (
    "Training and judging text-to-image models with this package, as far as the licence of the pictures and of their captions "
    "allows. Nobody has examined it for any other use."
)


def facts_of(folder: Path, index: Index, source: Any, path: str | None, licence: str | None) -> Facts:
    """The facts of a finished folder. `path`: where the source was, as it was given. `licence`: as the person who prepares it
    states it; None: as it was stated before, else as the source says."""
    settings = dict(index["settings"])
    kind = str(settings.get("source", ""))
    if licence is None and (folder / FACTS).is_file():
        licence = read_facts(folder).get("licence", {}).get("given")
    what, captions = KINDS.get(kind, (None, None))
    sums = ("samples", "captions", "captions_left_out", "bytes")
    return {
        "format": FORMAT,
        "source": {"kind": kind, "path": path, "what": what, "captions_by": captions},
        "licence": {"given": licence, "source": getattr(source, "licence", None)},
        "splits": {
            split: {key: content.get(key, 0) for key in sums} | {"shards": len(content["shards"])}
            for split, content in index["splits"].items()
        },
        "filters": settings.get("filters", {}),
        "duplicates": bool(settings.get("duplicates", False)),
        "left_out": index["left_out"],
        "checked": [HEADS if kind == "img2dataset" else READ, *CHECKED],
        "not_checked": list(DRAWN if kind == "shapes" else NOT_CHECKED),
        "intended_use": USE,
        "settings": settings,
        "index_sha256": hashlib.sha256((folder / "index.json").read_bytes()).hexdigest(),
        "version": version("imagen-cascade"),
    }


def write_card(folder: Path, facts: Facts) -> Path:
    """card.json and card.md of `folder`; files that say the same already stay untouched."""
    written = {FACTS: json.dumps(facts, indent=1, ensure_ascii=False) + "\n", CARD: in_words(folder, facts)}
    with room(folder, "out"), alone(folder):
        for name, text in written.items():
            path = folder / name
            text = text.encode("utf-8", "backslashreplace").decode()
            if path.is_symlink() or not path.is_file() or path.read_bytes() != text.encode():
                write_text(path, text)
    return folder / CARD


def read_facts(folder: Path) -> Facts:
    """card.json of a folder. ValueError when it is damaged, or none of ours."""
    remedy = "delete it, and the same imagen-prepare writes it again"
    facts = read_json(folder / FACTS, remedy)
    kinds = {"source": dict, "licence": dict, "splits": dict, "left_out": dict, "not_checked": list}
    if facts.get("format") != FORMAT or any(not isinstance(facts.get(k), t) for k, t in kinds.items()):
        raise ValueError(f"{folder / FACTS} is damaged (not a card's facts); {remedy}")
    if any(not isinstance(content, dict) for content in facts["splits"].values()):
        raise ValueError(f"{folder / FACTS} is damaged (splits are no counts); {remedy}")
    return facts


def facts_at(train: str) -> Facts | None:
    """The facts of what a run was trained on (data.train=): a folder, or a pattern of tars in one. None where there is no card,
    or where it lies elsewhere: nothing is fetched for it."""
    if is_address(train):
        return None
    path = Path(train)
    folder = path if path.is_dir() else path.parent
    return read_facts(folder) if (folder / FACTS).is_file() else None


def licence_of(facts: Facts) -> str:
    """The licence in words."""
    given, source = facts["licence"].get("given"), facts["licence"].get("source")
    said = [f"{given} (as stated by who prepared it)"] if given else []
    return "; ".join([*said, *([f"{source} (as the source says)"] if source else [])]) or UNSTATED


def in_words(folder: Path, facts: Facts) -> str:
    """card.md"""
    source, splits = facts["source"], facts["splits"]
    rows = [("split", "pictures", "captions", "shards", "size")] + [
        (split, s["samples"], s["captions"], s["shards"], size_in_words(s["bytes"]))
        for split, s in splits.items()
    ]
    out = [
        (kind, count) for kind, count in sorted(facts["left_out"].items(), key=lambda item: (-item[1], item))
    ]
    taken = sum(s["captions_left_out"] for s in splits.values())
    sections = {
        "What it is": [
            table(
                [
                    ("", ""),
                    ("source", source["kind"]),
                    ("where it was", source["path"] or ("nowhere: drawn" if source["kind"] == "shapes" else None)),
                    ("pictures", source["what"]),
                    ("captions by", source["captions_by"]),
                    ("licence", licence_of(facts)),
                ]
            )
        ],
        "How much": [table(rows)],
        "What was left out": [
            f"Filters: {shown(facts['filters']) if facts['filters'] else 'none'}. Exact duplicates within a split "
            f"{'stay in' if facts['duplicates'] else 'are left out'}.",
            table([("why", "pairs"), *out]) if out else "No pair was left out.",
            *([f"Filters took {taken:,} captions from pairs that stay."] if taken else []),
        ],
        "What was checked": [points([shown(line) for line in facts["checked"]])],
        "What was not checked": [points([shown(line) for line in facts["not_checked"]])],
        "Intended use": [shown(facts["intended_use"])],
        "Made with": [
            f"imagen-prepare of imagen-cascade {shown(facts['version'])}; settings: {shown(facts['settings'], 2000)}; index.json "
            f"has the sha256 {facts['index_sha256']}."
        ],
    }  # fmt: skip
    lead = "Written by imagen-prepare from the index, the source and what was said to it; card.json has the same."
    return card(f"Data card: {folder.name}", lead, sections)
