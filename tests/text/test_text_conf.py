"""conf/text: every preset builds an encoder, without a hub, and knows its width."""

from pathlib import Path

import pytest
import yaml

from imagen import text
from imagen.text.cache import option_of

FOLDER = Path(__file__).resolve().parents[2] / "conf" / "text"
T5 = {
    "t5_v1_1_small": 512,
    "t5_v1_1_base": 768,
    "t5_v1_1_large": 1024,
    "t5_v1_1_xl": 2048,
    "t5_v1_1_xxl": 4096,
}
MINILM = dict.fromkeys(("minilm", "minilm_1", "minilm_2", "minilm_4"), 384)
WIDTHS = T5 | MINILM | {"bert_base": 768, "bert_large": 1024, "clip_vit_l14": 768, "hashed_words": 384}


def test_every_preset_is_here() -> None:
    assert {file.stem for file in FOLDER.glob("*.yaml")} == set(WIDTHS)


@pytest.mark.parametrize("preset", WIDTHS)
def test_preset_builds_without_a_hub(preset: str) -> None:
    """Widths from the paper (T5: appendix; BERT base and large; CLIP ViT-L/14's text tower)."""
    arguments = yaml.safe_load((FOLDER / f"{preset}.yaml").read_text())
    target = arguments.pop("_target_").removeprefix("imagen.text.")
    encoder = getattr(text, target)(**arguments)
    assert encoder.dim == arguments["dim"] == WIDTHS[preset]
    assert encoder.arguments == arguments, "a preset says everything"


@pytest.mark.parametrize("preset", WIDTHS)
def test_embeddings_of_a_preset_are_told_by_its_name(preset: str) -> None:
    arguments = yaml.safe_load((FOLDER / f"{preset}.yaml").read_text())
    target = getattr(text, arguments.pop("_target_").removeprefix("imagen.text."))
    key = target(**arguments).configured
    assert option_of(key, key) == preset
    wanted = target(**{**arguments, "max_length": 5}).configured
    assert option_of(key, wanted) == f"{preset} text.max_length={arguments['max_length']}"


def test_encoders_that_no_option_has_are_told_as_far_as_is_known() -> None:
    wanted = text.MiniLM().configured
    assert option_of(text.MiniLM(layers=3, cleaning="web").configured, wanted) == (
        "minilm text.layers=3 text.cleaning=web"
    )
    assert (
        option_of(text.HashedWords(8).configured, text.HashedWords(16).configured)
        == "hashed_words text.dim=8"
    )
    assert option_of({"encoder": "a model of one's own"}, wanted) == "..."


def test_clip_is_read_at_the_penultimate_layer() -> None:
    arguments = yaml.safe_load((FOLDER / "clip_vit_l14.yaml").read_text())
    assert (arguments["layer"], arguments["max_length"]) == (-2, 77)
