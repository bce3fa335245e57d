"""A release folder: what is written comes back; what is not ours or not whole is refused by name."""

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from imagen.checkpoint import describe, load_network, read_release, restore, sha256, write_release
from imagen.diffusion import DDIM, CosineSchedule
from imagen.nn import UNet

TEXT = {"class": "HashedWords", "arguments": {"dim": 12}, "key": {}}


def edit(release: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change cascade.json."""
    content = json.loads((release / "cascade.json").read_text())
    change(content)
    (release / "cascade.json").write_text(json.dumps(content))


def reweigh(release: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the base stage's weights, and its recorded hash with them."""
    path = release / "base8.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)
    edit(release, lambda c: c["stages"][0].update(sha256=sha256(path)))


def load_base(release: Path) -> torch.nn.Module:
    return load_network(release, read_release(release).stages[0])


def test_round_trip(toy_release: Path, toy_stages: list) -> None:
    found = read_release(toy_release)
    assert {p.name for p in toy_release.iterdir()} == {
        "cascade.json",
        "base8.safetensors",
        "sr16.safetensors",
    }
    for record, (given, weights) in zip(found.stages, toy_stages):
        assert replace(record, file="", sha256="") == given
        net = load_network(toy_release, record)
        assert describe(net) == given.network
        assert not net.training
        assert net.state_dict().keys() == weights.keys()
        assert all(torch.equal(weights[k], v) for k, v in net.state_dict().items())
        assert not any(p.requires_grad for p in net.parameters())


def test_half_precision_weights_load_as_float32(toy_release: Path) -> None:
    reweigh(toy_release, lambda w: w.update({k: v.half() for k, v in w.items()}))
    assert {p.dtype for p in load_base(toy_release).parameters()} == {torch.float32}


def test_description_of_parts() -> None:
    assert describe(DDIM(0.5)) == {"class": "DDIM", "arguments": {"eta": 0.5}}
    schedule = restore(describe(CosineSchedule(shift=-1.0)), {"CosineSchedule": CosineSchedule}, "here")
    assert schedule.shift == -1.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w["stem.bias"].fill_(float("nan")), "stem.bias: holds infinite weights"),
        (lambda w: w["out.bias"].fill_(float("inf")), "out.bias: holds infinite weights"),
        (
            lambda w: w.update({"stem.bias": w["stem.bias"].long()}),
            "stem.bias: weights must be floating-point numbers, found torch.int64",
        ),
    ],
)
def test_weights_that_are_spoilt_are_named(toy_release: Path, change: Callable, words: str) -> None:
    reweigh(toy_release, change)
    with pytest.raises(ValueError, match=rf"base8\.safetensors: {words}"):
        load_base(toy_release)


def test_a_network_of_more_tensors_than_there_are_weights_is_not_built(
    toy_release: Path,
) -> None:
    edit(toy_release, lambda c: c["stages"][0]["network"]["arguments"].update(blocks=10**9))
    with pytest.raises(
        ValueError, match=r"cascade\.json: stage base8: network: .* far more than the 154 tensors"
    ):
        load_base(toy_release)
    assert UNet(12, 8, [1], 1, [True]) is not None, "the count ends with the load"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop("stem.weight"), ["missing: stem.weight"]),
        (
            lambda w: w.update({"stem.wait": w.pop("stem.weight")}),
            ["missing: stem.weight", "unexpected: stem.wait"],
        ),
        (lambda w: w.update({"more": torch.zeros(1)}), ["unexpected: more"]),
        (lambda w: w.update({"stem.bias": torch.zeros(9)}), ["other shapes: stem.bias is (9,), not (8,)"]),
    ],
)
def test_tensors_that_do_not_fit_are_named(toy_release: Path, change: Callable, words: list[str]) -> None:
    reweigh(toy_release, change)
    with pytest.raises(ValueError, match=r"base8\.safetensors") as caught:
        load_base(toy_release)
    message = str(caught.value)
    assert all(word in message for word in words)
    assert "\n" not in message


def test_many_differences_are_counted(toy_release: Path) -> None:
    reweigh(toy_release, lambda w: [w.pop(k) for k in list(w)[:20]])
    with pytest.raises(ValueError, match="and 15 more"):
        load_base(toy_release)


def test_another_file_in_its_place_is_refused(toy_release: Path) -> None:
    (toy_release / "base8.safetensors").write_bytes((toy_release / "sr16.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"base8\.safetensors: not the file that cascade\.json records"):
        load_base(toy_release)
    (toy_release / "base8.safetensors").unlink()
    with pytest.raises(ValueError, match=r"base8\.safetensors: missing"):
        load_base(toy_release)


class Trap:
    """Unpickled, it makes a file: the proof that something ran."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple:
        return Path.touch, (self.made,)


def test_a_pickle_in_place_of_weights_does_not_run(toy_release: Path, tmp_path: Path) -> None:
    made, path = tmp_path / "it-ran", toy_release / "base8.safetensors"
    pickle.loads(pickle.dumps(Trap(made)))
    assert made.exists(), "the trap works"
    made.unlink()
    for write in (
        lambda: path.write_bytes(pickle.dumps(Trap(made))),
        lambda: torch.save({"w": Trap(made)}, path),
    ):
        write()
        edit(toy_release, lambda c: c["stages"][0].update(sha256=sha256(path)))
        with pytest.raises(ValueError, match="not a safetensors file"):
            load_base(toy_release)
    assert not made.exists()


@pytest.mark.parametrize(
    "file", ["../base8.safetensors", "/etc/passwd", "a/b.safetensors", "..", "", "a\\b", 3]
)
def test_paths_do_not_leave_the_folder(toy_release: Path, file: object) -> None:
    edit(toy_release, lambda c: c["stages"][0].update(file=file))
    with pytest.raises(ValueError, match="file"):
        read_release(toy_release)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(format=2), "format"),
        (lambda c: c.pop("text"), "text"),
        (lambda c: c["text"].pop("key"), "key"),
        (lambda c: c.update(stages=[]), "stages"),
        (lambda c: c["stages"][0].pop("predict"), "predict"),
        (lambda c: c["stages"][0].update(extra=1), "extra"),
        (lambda c: c["stages"][0].update(predict="w"), "predict"),
        (lambda c: c["stages"][0].update(resolution="8"), "resolution"),
        (lambda c: c["stages"][0].update(resolution=True), "resolution"),
        (lambda c: c["stages"][1].update(lowres={"resolution": 8}), "lowres"),
        (lambda c: c["stages"][0]["network"].update({"class": "os.system"}), "unknown class 'os.system'"),
        (lambda c: c["stages"][0]["network"].update({"class": ["UNet"]}), "unknown class"),
        (lambda c: c["stages"][0]["network"].update({"_target_": "os.system"}), "network"),
        (lambda c: c["stages"][0]["network"]["arguments"].update(depth=3), "depth"),
        (lambda c: c["stages"][0]["network"]["arguments"].update(width="wide"), "network"),
    ],
)
def test_a_tampered_index_is_refused(toy_release: Path, change: Callable, words: str) -> None:
    edit(toy_release, change)
    with pytest.raises(ValueError, match=r"cascade\.json") as caught:
        load_base(toy_release)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["../../../x", "a/b\nc", "", "..", "a" * 300, "a b", 3])
def test_stages_have_plain_names(toy_release: Path, name: object) -> None:
    """imagen-sample writes to out/stages/NAME."""
    edit(toy_release, lambda c: c["stages"][1].update(name=name))
    with pytest.raises(ValueError, match=r"cascade\.json: stage 1: name") as caught:
        read_release(toy_release)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["stages"][1].update(name="base8"), "two stages are named 'base8'"),
        (lambda c: c["stages"][1].update(file=c["stages"][0]["file"]), "two stages are kept in"),
        (lambda c: c.update(script="rm"), "unknown keys: script"),
        (lambda c: c["stages"][0].update(resolution=10**9), "from 1 to 16384"),
        (lambda c: c["stages"][1]["lowres"].update(resolution=-8), "lowres must be"),
        (
            lambda c: c["stages"][0]["schedule"]["arguments"].update(logsnr_min=99),
            "stage 0: schedule: Cosine",
        ),
        (
            lambda c: c["stages"][1]["lowres"]["schedule"]["arguments"].update(logsnr_min=float("nan")),
            "stage 1: lowres: schedule: Cosine",
        ),
    ],
)
def test_an_index_that_makes_no_sense_is_refused(toy_release: Path, change: Callable, words: str) -> None:
    edit(toy_release, change)
    with pytest.raises(ValueError, match=rf"cascade\.json: .*{words}"):
        read_release(toy_release)


def test_what_keeps_a_release_from_being_written_is_said_of_its_folder(
    toy_stages: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "release"
    (record, weights), text = toy_stages[0], {"class": "HashedWords", "arguments": {}}
    with pytest.raises(ValueError, match=rf"^{out}/cascade\.json: text: needs"):
        write_release(out, [(record, weights)], text)
    with pytest.raises(ValueError, match=rf"^{out}/cascade\.json: stage 0: resolution"):
        write_release(out, [(replace(record, resolution=0), weights)], TEXT)

    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("imagen.checkpoint.save_file", full)
    with pytest.raises(ValueError, match=rf"^out={out}: cannot be written \(.*No space left.*; make room"):
        write_release(out, toy_stages, TEXT)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=rf"^out={tmp_path}/file/release: cannot be written"):
        write_release(tmp_path / "file/release", toy_stages, TEXT)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_not_a_release(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no cascade\.json"):
        read_release(tmp_path)
    (tmp_path / "cascade.json").write_text("{")
    for text in ("{", "[]", "[" * 100_000, ""):
        (tmp_path / "cascade.json").write_text(text)
        with pytest.raises(ValueError, match=r"cascade\.json is damaged .*export the release again"):
            read_release(tmp_path)


def test_an_earlier_release_is_replaced_whole_or_not_at_all(toy_release: Path, toy_stages: list) -> None:
    before = {p.name: p.read_bytes() for p in toy_release.iterdir()}
    with pytest.raises(ValueError, match="two stages are named 'base8'"):
        write_release(toy_release, [toy_stages[0], toy_stages[0]], TEXT)
    assert {p.name: p.read_bytes() for p in toy_release.iterdir()} == before
    write_release(toy_release, toy_stages[:1], TEXT)
    assert {p.name for p in toy_release.iterdir()} == {"cascade.json", "base8.safetensors"}
    assert [p.name for p in toy_release.parent.iterdir()] == ["release"]


def test_a_folder_of_other_things_is_left_alone(toy_stages: list, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="something that is not a release"):
        write_release(tmp_path, toy_stages, TEXT)
    with pytest.raises(ValueError, match="plain name"):
        write_release(tmp_path / "new", [(replace(toy_stages[0][0], name="../x"), {})], TEXT)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
