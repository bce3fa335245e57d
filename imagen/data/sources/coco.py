"""COCO captions: an annotations json and a folder of pictures, several captions a picture."""

import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Any

from imagen.data.sources.files import pair_of, stripped, told
from imagen.data.sources.source import Pair
from imagen.files import read_json


class Coco:
    """captions_train2017.json and the like: {"images": [{"id", "file_name", "license", ...}], "annotations":
    [{"image_id", "caption"}], "licenses": [{"id", "name", "url"}]}.

    `path`: the json. `images`: the folder of pictures; beside the annotations by default, where COCO's own archives
    put it (annotations/captions_train2017.json and train2017/). `split`: what its pairs are; by default train, val or
    test as the json's name says, else train.

    ValueError: no such file or folder, not that json, a file name that leads out of the folder."""

    def __init__(self, path: str | Path, images: str | Path | None = None, split: str | None = None) -> None:
        self.path = Path(path)
        remedy = "give COCO's captions_*.json"
        if not self.path.is_file():
            raise ValueError(f"source.path={path}: there is no such file; {remedy}")
        content = read_json(self.path, remedy)
        named = re.search(r"(train|val|test)\d*", self.path.stem)
        folder = Path(images) if images else self.path.parent.parent / (named[0] if named else "images")
        if not folder.is_dir():
            raise ValueError(
                f"source.images={folder}: there is no such folder; give the one that the pictures are in"
            )
        self.folder = folder
        self.split = split or (named[1] if named else "train")
        if not re.fullmatch(r"\w+", self.split):
            raise ValueError(f"source.split={split}: give a name of letters, such as train")
        try:
            said: dict[Any, list[str]] = {}
            for annotation in content["annotations"]:
                said.setdefault(annotation["image_id"], []).append(annotation["caption"])
            licences = {part["id"]: part.get("name") for part in content.get("licenses", [])}
            pictures = [(part["id"], part["file_name"], part) for part in content["images"]]
            self._rows = [
                (
                    name if isinstance(name, str) else "",
                    stripped(said.get(number, [])),
                    _fields(number, part, licences),
                )
                for number, name, part in sorted(pictures, key=lambda row: row[0])
            ]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"source.path={path} is no captions file of COCO ({type(error).__name__}: {error}); {remedy}"
            ) from None
        for name, _, _ in self._rows:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise ValueError(f"source.path={path}: file_name {told(name)!r} leads out of {folder}")
        self.splits = {self.split: len(self._rows)}
        stated = Counter(str(fields["licence"]) for _, _, fields in self._rows if "licence" in fields)
        told_of = [f"{name} ({count:,} pictures)" for name, count in sorted(stated.items())]
        self.licence = "; ".join(told_of) or None
        self.identity = {
            "source": "coco",
            "annotations_sha256": hashlib.sha256(self.path.read_bytes()).hexdigest(),
            "split": self.split,
        }

    def pair(self, split: str, row: int) -> Pair:
        """See `Source`. Its fields are {"path", "id", "licence", "source"}, as far as COCO gives them."""
        name, captions, fields = self._rows[row]
        return pair_of(self.folder, name, captions, fields)

    def captions(self, split: str, row: int) -> tuple[str, ...]:
        """See `Captioned`."""
        return self._rows[row][1]


def _fields(number: Any, picture: dict[str, Any], licences: dict[Any, Any]) -> dict[str, Any]:
    found = {
        "path": picture["file_name"],
        "id": number,
        "licence": licences.get(picture.get("license")),
        "source": picture.get("flickr_url") or picture.get("coco_url"),
    }
    return {key: value for key, value in found.items() if value is not None}
