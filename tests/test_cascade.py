"""The cascade: a picture is its own seed's and prompt's, whatever it is made together with."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from imagen.cascade import Cascade, check_ascending
from imagen.diffusion import DDIM, DDPM, DPMSolverPP2M, Dynamic, NoThreshold, Static
from imagen.sampling import Settings
from imagen.text import HashedWords

PROMPTS = ["a red circle", "two blue stars left of a very large green square", "a cat", "a cat"]
SEEDS = [0, 1, 2, 3]


@pytest.fixture
def cascade(toy_release: Path) -> Cascade:
    return Cascade.load(toy_release)


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_pictures_of_every_stage(cascade: Cascade) -> None:
    small, large = cascade.sample(PROMPTS, SEEDS)
    assert small.shape == (4, 3, 8, 8)
    assert large.shape == (4, 3, 16, 16)
    for pictures in (small, large):
        assert pictures.dtype == torch.float32
        assert pictures.isfinite().all()
        assert pictures.abs().max() <= 1
        assert pictures.std() > 0.05
    assert not torch.equal(large[2], large[3]), "one prompt, two seeds"


@pytest.mark.parametrize("sampler", [DDIM(), DDPM(0.3), DPMSolverPP2M()])
def test_a_picture_depends_on_its_seed_alone(cascade: Cascade, sampler: object) -> None:
    whole = cascade.sample(PROMPTS, SEEDS, sampler=sampler)
    assert same(whole, cascade.sample(PROMPTS, SEEDS, sampler=sampler)), "the same call, the same bits"
    in_parts = cascade.sample(PROMPTS, SEEDS, sampler=sampler, batch_size=3)
    backwards = cascade.sample(PROMPTS[::-1], SEEDS[::-1], sampler=sampler)
    alone = cascade.sample(PROMPTS[2:3], SEEDS[2:3], sampler=sampler)
    for stage, pictures in enumerate(whole):
        # to rounding: kernels may sum in another order for another batch or another padding of the text
        torch.testing.assert_close(in_parts[stage], pictures, atol=1e-5, rtol=0)
        torch.testing.assert_close(backwards[stage].flip(0), pictures, atol=1e-5, rtol=0)
        torch.testing.assert_close(alone[stage][0], pictures[2], atol=1e-5, rtol=0)


def test_order_does_not_matter_to_the_last_bit(cascade: Cascade) -> None:
    prompts, seeds = ["a red circle", "a blue square"], [5, 6]
    forth, back = cascade.sample(prompts, seeds), cascade.sample(prompts[::-1], seeds[::-1])
    assert same(forth, [pictures.flip(0) for pictures in back])


def test_stages_draw_apart(cascade: Cascade) -> None:
    """The base stage's picture does not change with what the stages above it do."""
    small, large = cascade.sample(PROMPTS[:1], [7], noise_augmentation=0.0)
    small_2, large_2 = cascade.sample(
        PROMPTS[:1], [7], noise_augmentation=0.8, steps=[3, 5], guidance=[3.0, 7.0]
    )
    assert torch.equal(small, small_2)
    assert not torch.equal(large, large_2)


def test_settings_of_caller_release_and_ours(cascade: Cascade) -> None:
    found = cascade.settings(cascade.stages, guidance=None, noise_augmentation=[0.0, 0.3])
    assert [s.guidance for s in found] == [3.0, 2.0]
    assert [s.steps for s in found] == [3, 3]
    assert [s.noise_augmentation for s in found] == [0.0, 0.3]
    assert found[0].rescale == Settings().rescale
    assert [s.guidance for s in cascade.settings(cascade.stages[1:])] == [2.0]
    with pytest.raises(ValueError, match="3 values for 2 stages"):
        cascade.settings(cascade.stages, steps=[1, 2, 3])
    with pytest.raises(TypeError, match="guidence"):
        cascade.settings(cascade.stages, guidence=2.0)
    with pytest.raises(ValueError, match=r"noise_augmentation=1\.5"):
        cascade.sample(PROMPTS, SEEDS, noise_augmentation=1.5)
    with pytest.raises(ValueError, match="steps=0"):
        cascade.sample(PROMPTS, SEEDS, steps=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("guidance", -1),
        ("guidance", 1e5),
        ("guidance", float("nan")),
        ("guidance", "much"),
        ("steps", 1.5),
        ("steps", 10**12),
        ("rescale", 1.5),
        ("rescale", -0.1),
        ("interval", (0.7, 0.3)),
        ("interval", (0, 2)),
        ("interval", ("a", "b")),
        ("interval", (0.1, float("nan"))),
        ("interval", 5),
    ],
)
def test_settings_that_no_stage_could_use(cascade: Cascade, toy_release: Path, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name}="):
        Settings(**{name: value})
    if name == "steps":
        return
    index = toy_release / "cascade.json"
    content = json.loads(index.read_text())
    content["sampling"][name] = list(value) if isinstance(value, tuple) else value
    index.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"^{index}: .*{name}="):
        Cascade.load(toy_release)


def test_every_threshold_and_the_guidance_interval(cascade: Cascade) -> None:
    made = [
        cascade.sample(PROMPTS[:1], [0], threshold=threshold, guidance=9.0)[0]
        for threshold in (NoThreshold(), Static(), Dynamic(0.9))
    ]
    assert not torch.equal(made[0], made[2])
    assert not torch.equal(made[1], made[2])

    def base(**given: Any) -> torch.Tensor:
        return cascade.sample(PROMPTS[:1], [0], sampler=DDIM(), **given)[0]

    plain, nowhere, everywhere, limited = (
        base(guidance=1.0),
        base(interval=(0.0, 0.0)),
        base(interval=(0.0, 1.0)),
        base(),
    )
    assert torch.equal(plain, nowhere)
    assert torch.equal(everywhere, limited)


def test_upscale(cascade: Cascade) -> None:
    small, large = cascade.sample(PROMPTS, SEEDS)
    (again,) = cascade.upscale(small, PROMPTS, SEEDS)
    torch.testing.assert_close(again, large, atol=1e-5, rtol=0)
    (made,) = cascade.upscale(torch.rand(2, 3, 11, 11) * 2 - 1, PROMPTS[:2], [0, 1], guidance=1.0)
    assert made.shape == (2, 3, 16, 16)
    assert cascade.upscale(torch.zeros(1, 3, 5, 5), ["a cat"], [0])[0].shape == (1, 3, 16, 16)
    with pytest.raises(ValueError, match="must be square"):
        cascade.upscale(torch.zeros(1, 3, 8, 9), ["a cat"], [0])
    with pytest.raises(ValueError, match="16 x 16: no super-resolution stage goes beyond"):
        cascade.upscale(torch.zeros(1, 3, 16, 16), ["a cat"], [0])
    with pytest.raises(ValueError, match="1 pictures and 2 prompts"):
        cascade.upscale(torch.zeros(1, 3, 8, 8), ["a cat", "a dog"], [0, 1])


def test_super_resolution_alone(cascade: Cascade) -> None:
    alone = Cascade(cascade.stages[1:], cascade.encoder)
    assert alone.upscale(torch.zeros(1, 3, 8, 8), ["a cat"], [0], steps=2)[0].shape == (1, 3, 16, 16)
    with pytest.raises(ValueError, match="sr16, enlarges pictures, and no base stage comes before it"):
        alone.sample(["a cat"], [0])


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ([], "at least one stage"),
        ([("a", 16, None), ("b", 16, 16)], "must ascend in resolution: b makes 16 after a makes 16"),
        ([("a", 32, None), ("b", 16, 32)], "must ascend in resolution"),
        ([("a", 16, None), ("b", 64, 32)], "b starts from 32 x 32, but the stage before it, a, makes 16"),
        ([("a", 16, None), ("b", 64, None)], "second base stage"),
    ],
)
def test_stages_that_make_no_cascade(stages: list, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_ascending(stages)


def test_text_of_another_encoder(toy_release: Path, cascade: Cascade) -> None:
    with pytest.raises(ValueError, match="max_length: 9, trained with 16"):
        Cascade.load(toy_release, encoder=HashedWords(12, max_length=9))
    with pytest.raises(ValueError, match="width 12, the text encoder gives 13"):
        Cascade(cascade.stages, HashedWords(13))
    index = toy_release / "cascade.json"
    content = json.loads(index.read_text())
    content["text"]["class"] = "subprocess.run"
    index.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"cascade\.json: text: unknown class 'subprocess.run'"):
        Cascade.load(toy_release)
    assert Cascade.load(toy_release, encoder=HashedWords(12, max_length=16)).stages[0].name == "base8"


def test_prompts_and_seeds_that_do_not_fit(cascade: Cascade) -> None:
    with pytest.raises(ValueError, match="2 prompts and 1 seeds"):
        cascade.sample(["a", "b"], [0])
    with pytest.raises(ValueError, match="prompt 1 is empty"):
        cascade.sample(["a", " "], [0, 1])
    with pytest.raises(ValueError, match="batch_size=0"):
        cascade.sample(["a"], [0], batch_size=0)


def test_text_is_embedded_once_and_read_once_a_stage(
    cascade: Cascade, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded, reads = [], []

    class Counting(HashedWords):
        def __call__(self, captions: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
            embedded.extend(captions)
            return super().__call__(captions)

    counted = Cascade(cascade.stages, Counting(dim=12), defaults=cascade.defaults)
    for stage in counted.stages:
        read = stage.denoiser.read
        monkeypatch.setattr(
            stage.denoiser, "read", lambda cond, read=read: reads.append(len(cond)) or read(cond)
        )
    counted.sample(PROMPTS, SEEDS, steps=4)
    assert embedded == list(dict.fromkeys(PROMPTS))
    assert reads == [8, 8], "both halves of guidance together, once a stage"


def test_progress(cascade: Cascade) -> None:
    seen: list[tuple[str, float, int]] = []
    cascade.sample(PROMPTS[:3], SEEDS[:3], batch_size=2, steps=2, progress=lambda *at: seen.append(at))
    assert [at for at in seen if at[0] == "base8"] == [("base8", done, 3) for done in (1.0, 2.0, 2.5, 3.0)]
    assert seen[-1] == ("sr16", 3.0, 3)


def test_the_base_picture_leads_the_large_one(cascade: Cascade) -> None:
    """Without noise on it, another low-resolution picture gives another large one, for the same seed."""
    one, other = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8) * 0.5
    (a,), (b,) = (cascade.upscale(p, ["a cat"], [0], noise_augmentation=0.0) for p in (one, other))
    assert (a - b).abs().mean() > 1e-3


def test_sampling_needs_neither_lightning_nor_hydra(toy_release: Path) -> None:
    program = f"""
import sys
from imagen.cascade import Cascade
print(Cascade.load({str(toy_release)!r}).sample(["a cat"], [0], steps=1)[-1].shape)
assert not {{"lightning", "hydra", "omegaconf", "webdataset", "wandb"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "16, 16" in done.stdout
