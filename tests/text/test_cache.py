"""The embedding cache: ragged and in half precision, resumable, and refused when made by another encoder."""

import errno
import gc
import json
import os
import pickle
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from imagen.text import HashedWords, embedding_keys, open_embeddings, write_embeddings
from imagen.text.cache import _batches

CAPTIONS = ["a red circle", "two blue stars left of a green square", "a red circle", "snow"]


class Counting(HashedWords):
    """Hashed words that remember what they were asked for, and pretend to have weights."""

    def __init__(self, dim: int = 8, weights: str = "sha256:1"):
        super().__init__(dim)
        self.asked: list[list[str]] = []
        self.weights = weights

    @property
    def key(self):
        return {**self.configured, "weights": self.weights}

    def __call__(self, captions: Sequence[str]):
        self.asked.append(list(captions))
        return super().__call__(captions)


def test_round_trip_within_half_precision(tmp_path: Path) -> None:
    encoder = Counting()
    path = write_embeddings(tmp_path, "train-000000.tar", CAPTIONS, encoder)
    assert path.parent.parent == tmp_path / "text"
    shard = open_embeddings(tmp_path, encoder.configured)("train-000000.tar")
    gc.collect()
    assert len(shard) == 4
    for i, caption in enumerate(CAPTIONS):
        emb, _ = encoder([caption])
        assert shard[i].dtype == torch.float32
        torch.testing.assert_close(shard[i], emb[0], rtol=2**-10, atol=1e-6)
        torch.testing.assert_close(shard.of(i, caption), shard[i])
    stored = load_file(path)
    assert stored["tokens"].shape == (3 + 8 + 3 + 1, 8)
    assert stored["tokens"].dtype == torch.float16
    assert stored["offsets"].tolist() == [0, 3, 11, 14, 15]
    with pytest.raises(IndexError):
        shard[4]


def test_equal_captions_are_embedded_once_and_batches_sorted_by_length(tmp_path: Path) -> None:
    encoder, done = Counting(), []
    write_embeddings(tmp_path, "a.tar", CAPTIONS, encoder, progress=done.append)
    asked = [caption for batch in encoder.asked for caption in batch]
    assert asked == ["snow", "a red circle", "two blue stars left of a green square"]
    assert sum(done) == len(CAPTIONS)


def test_batches_are_bounded() -> None:
    batches = list(_batches(["x" * 3000] * 5 + ["y" * 10_000]))
    assert [len(batch) for batch in batches] == [2, 2, 1, 1]


def test_complete_files_are_kept_and_leftovers_of_a_kill_ignored(tmp_path: Path) -> None:
    encoder = Counting()
    path = write_embeddings(tmp_path, "a.tar", CAPTIONS, encoder)
    (path.parent / "b.123.part").write_bytes(b"half a file")
    before = path.stat().st_mtime_ns
    encoder.asked.clear()
    done: list[int] = []
    assert write_embeddings(tmp_path, "a.tar", CAPTIONS, encoder, progress=done.append) == path
    assert not encoder.asked
    assert done == [4]
    assert path.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match=r"b.safetensors is missing: run the same imagen-prepare again"):
        open_embeddings(tmp_path, encoder.key)("b.tar")
    write_embeddings(tmp_path, "b.tar", CAPTIONS, encoder)
    assert len(open_embeddings(tmp_path, encoder.key)("b.tar")) == 4


def test_a_kill_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Counting()
    path = write_embeddings(tmp_path, "a.tar", CAPTIONS, encoder)
    whole = path.read_bytes()

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write_embeddings(tmp_path, "a.tar", ["other"], encoder)
    assert path.read_bytes() == whole


def test_broken_or_outdated_files_are_written_again(tmp_path: Path) -> None:
    encoder = Counting()
    path = write_embeddings(tmp_path, "a.tar", CAPTIONS, encoder)
    path.write_bytes(path.read_bytes()[:50])
    write_embeddings(tmp_path, "a.tar", CAPTIONS, encoder)
    assert len(open_embeddings(tmp_path, encoder.key)("a.tar")) == 4
    write_embeddings(tmp_path, "a.tar", ["rain"], encoder)
    shard = open_embeddings(tmp_path, encoder.key)("a.tar")
    assert len(shard) == 1
    with pytest.raises(ValueError, match="was made of other captions than its shard has now"):
        shard.of(0, "snow")


def damaged(tensors: dict[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """Ways in which a file can be wrong and still be one."""
    tokens, offsets = tensors["tokens"], tensors["offsets"]
    return {
        "no offsets": {k: v for k, v in tensors.items() if k != "offsets"},
        "scaled offsets": {**tensors, "offsets": offsets * 1000},
        "float offsets": {**tensors, "offsets": offsets.float()},
        "falling offsets": {**tensors, "offsets": offsets[[0, 2, 1, 3, 4]]},
        "an empty caption": {**tensors, "offsets": offsets[[0, 1, 1, 3, 4]]},
        "rows cut": {**tensors, "tokens": tokens[:-2].contiguous()},
        "another width": {**tensors, "tokens": tokens[:, :6].contiguous()},
        "a caption cut": {**tensors, "captions": tensors["captions"][:-1]},
        "whole numbers": {**tensors, "tokens": tokens.long()},
    }


@pytest.mark.parametrize(
    "way",
    [
        *damaged({"tokens": torch.zeros(9, 8), "offsets": torch.arange(5), "captions": torch.zeros(4)}),
        "empty",
        "pickle",
    ],
)
def test_damaged_files_are_named_and_made_again(tmp_path: Path, way: str) -> None:
    encoder = Counting()
    path = write_embeddings(tmp_path, "a.tar", CAPTIONS, encoder)
    whole = path.read_bytes()
    if way in ("empty", "pickle"):
        path.write_bytes(b"" if way == "empty" else pickle.dumps({"tokens": [1] * 99}))
    else:
        save_file(damaged(load_file(path))[way], path)
    with pytest.raises(ValueError, match=r"a.safetensors is damaged \(.*\): delete it and prepare again"):
        open_embeddings(tmp_path, encoder.configured)("a.tar")
    write_embeddings(tmp_path, "a.tar", CAPTIONS, encoder)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("text", ["[]", "{", "", "[" * 100_000])
def test_a_damaged_key_is_named(tmp_path: Path, text: str) -> None:
    path = write_embeddings(tmp_path, "a.tar", CAPTIONS, Counting()).with_name("key.json")
    path.write_text(text)
    for use in (
        lambda: open_embeddings(tmp_path, Counting().configured),
        lambda: write_embeddings(tmp_path, "b.tar", CAPTIONS, Counting()),
    ):
        with pytest.raises(
            ValueError, match=r"key.json is damaged \(.*\); delete the folder .* prepare again"
        ):
            use()


def test_another_encoder_is_refused_by_the_entries_that_differ(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no text embeddings: make them with imagen-embed"):
        open_embeddings(tmp_path, Counting().configured)
    write_embeddings(tmp_path, "a.tar", CAPTIONS, Counting(dim=8))
    with pytest.raises(
        ValueError,
        match=r"another encoder than the one configured: dim is 8 there, 12 here: choose that encoder \(text=",
    ):
        open_embeddings(tmp_path, Counting(dim=12).configured)
    with pytest.raises(ValueError, match="weights is sha256:1 there, sha256:2 here"):
        open_embeddings(tmp_path, Counting(weights="sha256:2").key)
    with pytest.raises(
        ValueError, match=r"another encoder of that name: weights is sha256:1 there, sha256:2"
    ):
        write_embeddings(tmp_path, "a.tar", CAPTIONS, Counting(weights="sha256:2"))


def test_several_encoders_side_by_side(tmp_path: Path) -> None:
    for dim in (8, 12):
        path = write_embeddings(tmp_path, "a.tar", CAPTIONS, Counting(dim))
        assert json.loads((path.parent / "key.json").read_text()) == Counting(dim).key
    assert len(embedding_keys(tmp_path)) == 2
    assert open_embeddings(tmp_path, Counting(12).configured)("a.tar")[0].shape == (3, 12)


def test_empty_captions_and_overflow_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="caption 1 of 2 is empty"):
        write_embeddings(tmp_path, "a.tar", ["snow", ""], Counting())

    class Large(Counting):
        def __call__(self, captions: Sequence[str]):
            emb, mask = super().__call__(captions)
            return emb * 1e6, mask

    with pytest.raises(ValueError, match="hashed_words: the embedding of 'snow' does not fit half precision"):
        write_embeddings(tmp_path, "b.tar", ["snow"], Large())
    assert not list(tmp_path.glob("text/*/b.*"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused_and_not_kept(tmp_path: Path, value: float) -> None:
    class Broken(Counting):
        def __call__(self, captions: Sequence[str]):
            emb, mask = super().__call__(captions)
            emb[captions.index("snow"), 0, 0] = value
            return emb, mask

    with pytest.raises(
        ValueError, match=r"^hashed_words: the embedding of 'snow' has values that are NaN or inf"
    ):
        write_embeddings(tmp_path, "a.tar", ["snow", "rain"], Broken())
    path = write_embeddings(tmp_path, "a.tar", CAPTIONS, Counting())
    whole, tensors = path.read_bytes(), load_file(path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors["tokens"][2, 3] = value
    save_file(tensors, path, metadata)
    write_embeddings(tmp_path, "a.tar", CAPTIONS, Counting())
    assert path.read_bytes() == whole


def test_the_tar_is_noted_without_embedding_again(tmp_path: Path) -> None:
    encoder = Counting()
    path = write_embeddings(tmp_path, "a.tar", CAPTIONS, encoder, tar="one")
    before = load_file(path)
    encoder.asked.clear()
    write_embeddings(tmp_path, "a.tar", CAPTIONS, encoder, tar="two")
    assert not encoder.asked
    assert open_embeddings(tmp_path, encoder.key)("a.tar").tar == "two"
    assert all(torch.equal(value, before[name]) for name, value in load_file(path).items())


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("Error while serializing: I/O error: No space left on device (os error 28)", errno.ENOSPC),
        ("Error while serializing: something else", errno.EIO),
    ],
)
def test_a_full_disk_is_an_error_of_files_and_leaves_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, number: int
) -> None:
    def full(tensors: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise SafetensorError(said)

    monkeypatch.setattr("imagen.text.cache.save_file", full)
    with pytest.raises(OSError, match=r"a\.") as caught:
        write_embeddings(tmp_path, "a.tar", CAPTIONS, Counting())
    assert caught.value.errno == number
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["key.json"]
