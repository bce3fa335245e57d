"""What img2dataset leaves (CC3M, CC12M, LAION, ...): WebDataset tars, used where they lie."""

import glob
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from imagen.data.address import is_address
from imagen.data.members import half_character, picture_of, said_of
from imagen.data.pictures import size_of
from imagen.data.remote import names_tars
from imagen.data.shards import addresses
from imagen.data.sources.files import told
from imagen.data.sources.source import BadPair, Pair


class Img2dataset:
    """The tars of `path`, a folder ("00000.tar", "00001.tar", ... as `img2dataset --output_format webdataset` writes
    them; folders below it too) or a pattern ("BUCKET/*.tar", with * or []), in the order of their names; or addresses
    ("https://HOST/BUCKET/{00000..00999}.tar"; s3://, gs://, hf:// likewise), in the order given.

    `split`: what their pairs are. A pair's fields, on which filters may ask, are those of its json: width, height,
    original_width, similarity, aesthetic, pwatermark, punsafe, url, ..., whatever the download kept.

    Each tar is read through once, for its index; pictures' headers are read, their pixels are not. ValueError: no tars."""

    def __init__(self, path: str | Path, split: str = "train") -> None:
        if is_address(path):
            if not names_tars(str(path)):
                raise ValueError(f"source.path={path}: name its tars, such as {path}/{{00000..00999}}.tar")
            tars = addresses(str(path), "source.path")
            self._are(
                split, tars, [[tar, None] for tar in tars]
            )  # what they hold is known once they are fetched
            return
        folder = os.path.isdir(path)
        found = sorted(
            glob.glob(
                os.path.join(glob.escape(str(path)), "**/*.tar") if folder else str(path), recursive=True
            )
        )
        tars = [os.path.abspath(tar) for tar in found if os.path.isfile(tar)]
        if not tars:
            raise ValueError(
                f"source.path={path}: no tars; give the folder that `img2dataset --output_format webdataset` wrote, or a "
                "pattern such as FOLDER/*.tar"
            )
        self._are(split, tars, [[Path(tar).name, os.path.getsize(tar)] for tar in tars])

    def _are(self, split: str, tars: list[str], names: list[list[Any]]) -> None:
        self.splits = {split: tars}
        listed = hashlib.sha256(json.dumps(names).encode()).hexdigest()
        self.identity: dict[str, Any] = {"source": "img2dataset", "tars_sha256": listed, "split": split}

    def pair(self, sample: dict[str, Any]) -> Pair:
        """See `Tars`."""
        image, captions = picture_of(sample), said_of(sample)
        if not any(caption.strip() for caption in captions):
            raise BadPair("empty caption", sample["__key__"])
        if any(map(half_character, captions)):
            raise BadPair("unreadable text", f"{sample['__key__']}: half a character")
        try:
            fields = json.loads(sample.get("json") or b"{}")
        except (ValueError, RecursionError):
            raise BadPair("unreadable text", f"{sample['__key__']}: its json is none") from None
        fields = fields if isinstance(fields, dict) else {}
        return Pair(image, "", size_of(image), captions, fields, told(sample["__key__"]))
