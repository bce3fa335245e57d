"""Who makes pictures: a release, a folder of another system's, a pipeline of diffusers'."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from imagen.cascade import Cascade
from imagen.evaluation.protocols.makers import Diffusers, Images, Release
from imagen.evaluation.protocols.wanted import wanted_of
from imagen.grid import to_uint8
from imagen.text.remembered import Remembered

WANTED = wanted_of([(prompt, "", None) for prompt in ("a red circle", "two stars", "a blue square")], 0, 2)


def picture(path: Path, value: int, side: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((side, side, 3), value, np.uint8)).save(path)


def test_a_release_makes_what_the_cascade_samples(toy_release: Path) -> None:
    made = Release(toy_release, {"guidance": 2.0}, batch_size=4)(WANTED)
    small, large = Cascade.load(toy_release).sample(
        [row.prompt for row in WANTED], [row.seed for row in WANTED], guidance=2.0, batch_size=4
    )
    assert np.array_equal(made.last, to_uint8(large))
    assert {name: pictures.shape for name, pictures in made.before.items()} == {"base8": (6, 8, 8, 3)}
    assert np.array_equal(made.before["base8"], to_uint8(small))


def test_prompts_are_read_once_for_several_settings(toy_release: Path) -> None:
    class Counted:
        calls = 0

        def __init__(self, encoder) -> None:
            self.encoder = encoder

        def __call__(self, captions):
            Counted.calls += len(captions)
            return self.encoder(captions)

    cascade = Cascade.load(toy_release)
    cascade.encoder = Remembered(Counted(cascade.encoder), most=3)  # pyright: ignore
    first, second = (Release(toy_release, {"guidance": w}, cascade=cascade)(WANTED).last for w in (2.0, 3.0))
    assert Counted.calls == 3
    assert np.array_equal(first, Release(toy_release, {"guidance": 2.0})(WANTED).last)
    assert not np.array_equal(first, second)


def test_pictures_of_a_folder_are_matched_by_their_prompts(tmp_path: Path) -> None:
    for i, prompt in enumerate(["two stars", "a red circle", "a red circle", "something else"]):
        picture(tmp_path / f"{i}.png", i * 10)
        (tmp_path / f"{i}.txt").write_text(prompt)
    maker = Images(tmp_path)
    made = maker(WANTED)
    assert [(row.prompt, row.number) for row in made.rows] == [
        ("a red circle", 0), ("a red circle", 1), ("two stars", 0)
    ]  # fmt: skip
    assert made.last[:, 0, 0, 0].tolist() == [10, 20, 0]
    assert maker.unread == []


def test_a_table_names_the_pictures_of_a_prompt(tmp_path: Path) -> None:
    for i in range(2):
        picture(tmp_path / f"{i}.png", i)
    (tmp_path / "made.csv").write_text("path,caption\n1.png,a red circle\n0.png,two stars\n")
    made = Images(tmp_path / "made.csv")(WANTED)
    assert made.last[:, 0, 0, 0].tolist() == [1, 0]


def test_pictures_without_prompts_are_taken_in_order(tmp_path: Path) -> None:
    for i in range(6):
        picture(tmp_path / f"{i}.png", i)
    maker = Images(tmp_path)
    assert not maker.named
    assert maker(WANTED).last[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_a_damaged_picture_is_missing_with_its_reason(tmp_path: Path) -> None:
    picture(tmp_path / "0.png", 0)
    (tmp_path / "0.txt").write_text("two stars")
    (tmp_path / "1.png").write_bytes(b"no picture")
    (tmp_path / "1.txt").write_text("a red circle")
    maker = Images(tmp_path)
    assert [row.prompt for row in maker(WANTED).rows] == ["two stars"]
    assert len(maker.unread) == 1
    assert "1.png" in maker.unread[0]


def test_pictures_of_several_sizes_are_refused_by_name(tmp_path: Path) -> None:
    for i, side in enumerate((8, 16)):
        picture(tmp_path / f"{i}.png", 0, side)
        (tmp_path / f"{i}.txt").write_text(WANTED[2 * i].prompt)
    with pytest.raises(ValueError, match=r"0.png is 8 x 8 and 1.png 16 x 16.*resize them"):
        Images(tmp_path, skip=True).check(WANTED)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion pipeline of random weights, in a few thousand numbers."""
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    library: Any = diffusers
    folder = tmp_path_factory.mktemp("pipeline")
    torch.manual_seed(0)
    letters = [chr(c) for c in range(97, 123)]
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16)
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
            max_position_embeddings=16, bos_token_id=len(words) - 2, eos_token_id=len(words) - 1,
        )
    )  # fmt: skip
    channels = {"block_out_channels": (8, 8), "norm_num_groups": 4}
    unet = library.UNet2DConditionModel(
        sample_size=8, layers_per_block=1, cross_attention_dim=8, attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **channels,
    )  # fmt: skip
    vae = library.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, **channels
    )
    steps = library.DDIMScheduler(steps_offset=1, clip_sample=False)
    whole = library.StableDiffusionPipeline(
        vae, text, tokenizer, unet, steps, None, None, requires_safety_checker=False
    )
    whole.save_pretrained(folder / "saved")
    return folder / "saved"


def test_a_pipeline_of_diffusers_makes_pictures_of_seeds(pipeline: Path) -> None:
    maker = Diffusers(pipeline, steps=2, guidance=2.0, batch_size=4)
    made = maker(WANTED)
    assert made.last.shape == (6, 16, 16, 3)
    alone = maker(WANTED[4:5])
    assert np.abs(made.last[4].astype(int) - alone.last[0].astype(int)).max() <= 1, (
        "its seed's, whatever is beside it"
    )
    assert not np.array_equal(made.last[0], made.last[1])
    assert maker.source["pipeline"] == "StableDiffusionPipeline"
    assert maker.sampling == {"pipeline": {"guidance_scale": 2.0, "num_inference_steps": 2}}


def test_what_is_no_pipeline_is_one_line(tmp_path: Path, pipeline: Path) -> None:
    with pytest.raises(ValueError, match=r"pipeline=.*no model_index.json"):
        Diffusers(tmp_path)
    (tmp_path / "model_index.json").write_text('{"_class_name": "Nothing"}')
    with pytest.raises(ValueError, match=r"pipeline=.*cannot be loaded") as error:
        Diffusers(tmp_path)
    assert "\n" not in str(error.value)
