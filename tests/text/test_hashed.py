"""Hashed words: the same numbers on every machine, word order kept."""

import pytest
import torch

from imagen.text import HashedWords
from imagen.text.hashed import hashed

GOLDEN = [
    [-0.840442, 1.27595, 1.689518, 1.289219],
    [-0.185125, -1.816373, -1.769354, 0.817867],
    [-1.796901, 0.378509, 1.132725, -0.153205],
]


@pytest.mark.parametrize("name", ["dim", "max_length"])
def test_nothing_is_refused(name: str) -> None:
    for value in (0, -3):
        with pytest.raises(ValueError, match=f"text.{name}={value}: give at least 1"):
            HashedWords(**{name: value})  # pyright: ignore[reportArgumentType]


def test_golden_numbers() -> None:
    emb, _ = HashedWords(dim=4)(["a red circle"])
    torch.testing.assert_close(emb[0], torch.tensor(GOLDEN), rtol=1e-6, atol=1e-6)


def test_vectors_have_mean_0_and_variance_1() -> None:
    emb, _ = HashedWords(dim=20_000)(["red circle above it"])
    assert emb.mean(-1).abs().max() < 0.05
    assert (emb.var(-1) - 1).abs().max() < 0.05
    assert abs(hashed("word red", 20_000) @ hashed("word blue", 20_000)) / 20_000 < 0.05


def test_words_places_and_lengths() -> None:
    encoder = HashedWords(dim=16, max_length=5)
    emb, mask = encoder(["Red circle, red star", "red", "one two three four five six"])
    assert mask.sum(1).tolist() == [5, 1, 5]
    assert not emb[~mask].any()
    torch.testing.assert_close(emb[0, 0], emb[1, 0])
    assert not torch.allclose(emb[0, 0], emb[0, 3]), "the same word elsewhere is told apart by its place"


def test_nothing_to_load_and_nothing_empty() -> None:
    encoder = HashedWords(dim=16)
    assert encoder.key == encoder.configured == HashedWords(**encoder.arguments).key  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="caption 0 of 1 is empty"):
        encoder([""])
