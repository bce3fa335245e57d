"""Token embeddings on disk beside the shards: ragged, in half precision, one safetensors file a shard.

    FOLDER/text/ENCODER-HASH/key.json               the encoder's key
    FOLDER/text/ENCODER-HASH/train-000000.safetensors
        tokens    (sum of L_i, D) float16           all captions' tokens, one caption after the other
        offsets   (n + 1,) int64                    caption i has the tokens offsets[i] to offsets[i + 1]
        captions  (n,) int64                        the caption's hash: what these tokens were made of
        and, as metadata, "tar": the sha256 of the tar whose captions these are, if it was told

n captions of a shard, in the shard's order; L_i their true lengths; D text width. A T5-XL embedding of 20
tokens takes 82 kB, where the field's padded float32 pickles of 256 take 2.1 MB.
"""

import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from imagen.files import read_json, shared, write_text
from imagen.text.encoder import Key, TextEncoder, refuse_empty

CONFIGURED = (
    "encoder",
    "layer",
    "max_length",
    "dim",
    "cleaning",
)  # the entries known without weights, which name the folder
OPTIONS = {  # "encoder" of a key -> the option of text= that makes such
    "all-MiniLM-L6-v2": "minilm",
    "hashed_words": "hashed_words",
    "bert-base-uncased": "bert_base",
    "bert-large-uncased": "bert_large",
    "clip-vit-large-patch14": "clip_vit_l14",
    **{f"t5-v1_1-{size}": f"t5_v1_1_{size}" for size in ("small", "base", "large", "xl", "xxl")},
}
BATCH_TOKENS = 8192  # about so many characters a batch, padding included


def write_embeddings(
    folder: str | Path,
    shard_name: str,
    captions: Sequence[str],
    encoder: TextEncoder,
    progress: Callable[[int], object] | None = None,
    tar: str = "",
) -> Path:
    """Embeds the captions of a shard (in its order) and writes them beside it; returns the file.

    A complete file of the same encoder and captions is kept; the file is written aside and moved into place,
    so a killed run leaves nothing half. Equal captions are embedded once; batches are sorted by length.
    `progress(k)` is called when k more captions are done. `tar`: the sha256 of the shard, kept with them. ValueError:
    an empty caption, one of which the encoder makes what is no number, or a cache written with other weights under
    the same name. OSError when it cannot be written, a full disk among them.
    """
    refuse_empty(captions)
    path = _claim(Path(folder), encoder.key) / f"{Path(shard_name).stem}.safetensors"
    hashes = torch.tensor([caption_hash(caption) for caption in captions], dtype=torch.int64)
    report = progress or (lambda done: None)
    if (there := _complete(path, encoder.key, hashes)) is not None:
        if tar and there.tar != tar:
            _save(there.tensors(), path, tar)
        report(len(captions))
        return path
    copies: dict[str, int] = {}
    for caption in captions:
        copies[caption] = copies.get(caption, 0) + 1
    rows: dict[str, Tensor] = {}
    for batch in _batches(sorted(copies, key=lambda caption: (len(caption), caption))):
        emb, mask = encoder(batch)
        for caption, tokens, real in zip(batch, emb.cpu(), mask.cpu()):
            rows[caption] = _halved(tokens[real], caption, encoder)
        report(sum(copies[caption] for caption in batch))
    lengths = torch.tensor([0, *(len(rows[caption]) for caption in captions)])
    tensors = {
        "tokens": torch.cat([rows[c] for c in captions]),
        "offsets": lengths.cumsum(0),
        "captions": hashes,
    }
    _save(tensors, path, tar)
    return path


def open_embeddings(folder: str | Path, key: Key) -> "Embeddings":
    """The embeddings in `folder` of the encoder with this key: `encoder.configured`, which needs no weights,
    or the whole `encoder.key`, which holds the weights to account too. ValueError names the entries in which
    they differ."""
    there = embedding_keys(folder)
    if not there:
        raise ValueError(
            f"{folder} has no text embeddings: make them with imagen-embed data={folder} text=..."
        )
    for path, stored in there.items():
        if not differences(stored, key):
            return Embeddings(path, stored)
    nearest = min(there.values(), key=lambda stored: len(differences(stored, key)))
    raise ValueError(another(folder, nearest, key))


def another(folder: object, stored: Key, wanted: Key) -> str:
    """What is said of embeddings in `folder` that another encoder made."""
    return (
        f"the text embeddings in {folder} are of another encoder than the one configured: "
        + "; ".join(differences(stored, wanted))
        + f": choose that encoder (text={option_of(stored, wanted)}), or embed with this one too: imagen-embed data={folder} text=..."
    )


def option_of(stored: Key, wanted: Key) -> str:
    """What text= chooses the encoder of a key, with the settings in which it differs from `wanted`: "minilm_2
    text.max_length=64"; "..." if that is unknown."""
    name = OPTIONS.get(str(stored.get("encoder")))
    if name is None:
        return "..."
    own = {"minilm": (), "hashed_words": ("dim",)}.get(name, ("layer",))
    if name == "minilm" and (layer := stored.get("layer")) != 6:
        name = f"minilm_{layer}" if layer in (1, 2, 4) else f"minilm text.layers={layer}"
    unlike = [k for k in (*own, "max_length", "cleaning") if k in stored and stored[k] != wanted.get(k)]
    return " ".join([name, *(f"text.{k}={stored[k]}" for k in unlike)])


def embedding_keys(folder: str | Path) -> dict[Path, Key]:
    """Folder of each cache beside the shards in `folder` -> the key of the encoder that wrote it; empty when
    none did."""
    return {path.parent: read_key(path) for path in sorted(Path(folder).glob("text/*/key.json"))}


def differences(stored: Key, wanted: Key) -> list[str]:
    """One line for each entry of `wanted` that `stored` has otherwise."""
    return [f"{k} is {stored.get(k)} there, {v} here" for k, v in wanted.items() if stored.get(k) != v]


class Embeddings:
    """The embeddings of one encoder in a folder of shards: `embeddings("train-000000.tar")[i]`."""

    def __init__(self, folder: Path, key: Key):
        self.folder, self.key = folder, key

    def path(self, shard_name: str) -> Path:
        """Where those of a shard lie; ValueError when it has none yet."""
        path = self.folder / f"{Path(shard_name).stem}.safetensors"
        if not path.exists():
            raise ValueError(
                f"{path} is missing: run the same imagen-prepare again, it embeds what is not there yet"
            )
        return path

    def __call__(self, shard_name: str) -> "ShardEmbeddings":
        """The embeddings of a shard; ValueError when it has none yet, or they are damaged."""
        return ShardEmbeddings(self.path(shard_name), self.key)


class ShardEmbeddings:
    """The n embeddings of a shard by the encoder with this key, memory-mapped: only the tokens asked for are
    read. `tar`: the sha256 of the shard that they are of, "" if it was not given. ValueError when the file is not what
    `write_embeddings` wrote."""

    def __init__(self, path: Path, key: Key):
        self.path: object = path  # in words: where a copy came from is another place
        try:
            file = safe_open(path, "pt")
            offsets, captions = file.get_tensor("offsets"), file.get_tensor("captions")
            self._tokens = file.get_slice("tokens")
            self.tar: str = (file.metadata() or {}).get("tar", "")
            wrong = _misfit(offsets, captions, self._tokens, key.get("dim"))
        except (SafetensorError, OSError) as error:
            wrong = str(error)
        if wrong:
            raise ValueError(f"{path} is damaged ({wrong}): delete it and prepare again")
        self._offsets: list[int] = offsets.tolist()
        self.hashes: list[int] = captions.tolist()

    def __len__(self) -> int:
        return len(self.hashes)

    def __getitem__(self, index: int) -> Tensor:
        """Caption `index` of the shard -> (L, D) float32, of true length."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._tokens[self._offsets[index] : self._offsets[index + 1]].float()

    def of(self, index: int, caption: str) -> Tensor:
        """As `self[index]`, (L, D); ValueError when that embedding was made of another caption than
        `caption`."""
        if index >= len(self) or self.hashes[index] != caption_hash(caption):
            raise ValueError(
                f"{self.path} was made of other captions than its shard has now (sample {index}): delete it and run "
                "imagen-prepare again"
            )
        return self[index]

    def tensors(self) -> dict[str, Tensor]:
        """All that is in the file."""
        offsets, captions = torch.tensor(self._offsets), torch.tensor(self.hashes, dtype=torch.int64)
        return {"tokens": self._tokens[:], "offsets": offsets, "captions": captions}


def _misfit(offsets: Tensor, captions: Tensor, tokens: Any, dim: Any) -> str:
    """What keeps a shard's tensors from being n embeddings of width `dim`, one token long at least; "" when
    nothing does."""
    shape = tokens.get_shape()
    if tokens.get_dtype() != "F16" or len(shape) != 2 or shape[1] != dim:
        return f"tokens {tokens.get_dtype()} {shape}, not F16 of width {dim}"
    if captions.dtype != torch.int64 or offsets.dtype != torch.int64 or captions.ndim != 1:
        return "captions and offsets are not lists of int64"
    if offsets.shape != (len(captions) + 1,):
        return f"{len(captions)} captions, but offsets {list(offsets.shape)}"
    if offsets[0] != 0 or offsets[-1] != shape[0] or not (offsets.diff() > 0).all():
        return f"offsets that do not cut its {shape[0]} tokens into captions"
    return ""


def read_key(path: Path) -> Key:
    """key.json of a cache; ValueError naming it when it is damaged."""
    return read_json(path, f"delete the folder {path.parent} and prepare again")


def caption_hash(caption: str) -> int:
    """The first 8 bytes of the caption's sha256, as a signed integer."""
    return int.from_bytes(hashlib.sha256(caption.encode()).digest()[:8], "little", signed=True)


def cache_name(key: Key) -> str:
    """Name of the folder of an encoder's embeddings: of the entries of its key that are known without weights."""
    known = {k: key[k] for k in CONFIGURED if k in key}
    short = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:8]
    return f"{key['encoder']}-{short}"


def _claim(folder: Path, key: Key) -> Path:
    """The cache's folder for `key`, made if need be; ValueError when other weights wrote there."""
    path = folder / "text" / cache_name(key)
    if (path / "key.json").exists():
        if unlike := differences(read_key(path / "key.json"), key):
            raise ValueError(
                f"{path} was embedded by another encoder of that name: {'; '.join(unlike)}: delete it first"
            )
        return path
    path.mkdir(parents=True, exist_ok=True)
    write_text(path / "key.json", json.dumps(key, indent=2, sort_keys=True) + "\n")
    return path


def _complete(path: Path, key: Key, hashes: Tensor) -> ShardEmbeddings | None:
    """What `path` holds, if it is the embeddings of exactly these captions, and numbers all of them."""
    try:
        there = ShardEmbeddings(path, key) if path.exists() else None
    except ValueError:
        return None
    whole = there is not None and there.hashes == hashes.tolist()
    return there if there is not None and whole and there.tensors()["tokens"].isfinite().all() else None


def _halved(tokens: Tensor, caption: str, encoder: TextEncoder) -> Tensor:
    """The embedding of a caption (L, D) in half precision; ValueError when it cannot be had so."""
    half = tokens.half()
    if half.isfinite().all():
        return half
    wrong = (
        "does not fit half precision" if tokens.isfinite().all() else "has values that are NaN or infinite"
    )
    raise ValueError(
        f"{encoder.key['encoder']}: the embedding of {caption[:80]!r} {wrong}: leave that caption out, or choose another "
        "text=... or device=..."
    )


def _save(tensors: dict[str, Tensor], path: Path, tar: str) -> None:
    """All of the file or nothing; OSError when it cannot be written."""
    aside = path.with_suffix(f".{os.getpid()}.part")
    try:
        # one entry alone: the library puts several in any order, and the same captions make the same bytes
        save_file(tensors, aside, metadata={"tar": tar})
        shared(aside)
        os.replace(aside, path)
    except SafetensorError as error:  # which is no OSError, and has the number of one in its words
        number = re.search(r"os error (\d+)", str(error))
        code = int(number[1]) if number else errno.EIO
        raise OSError(code, os.strerror(code) if number else str(error), str(aside)) from None
    finally:
        aside.unlink(missing_ok=True)


def _batches(captions: Sequence[str]) -> Iterator[list[str]]:
    """Captions sorted by length -> batches of at most `BATCH_TOKENS` characters, padding included, at least
    one caption."""
    batch: list[str] = []
    for caption in captions:
        if batch and len(caption) * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(caption)
    if batch:
        yield batch
