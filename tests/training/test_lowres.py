"""The low-resolution input: crops are crops of the whole, each image has its own noise level."""

import pytest
import torch

from imagen.conditioning import downsample, upsample
from imagen.diffusion.randomness import Randomness
from imagen.diffusion.schedule import CosineSchedule
from imagen.training.lowres import LowRes

SCHEDULE = CosineSchedule()
IMAGE = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def random() -> Randomness:
    return Randomness.for_step(0, 0, range(len(IMAGE)))


def test_without_noise_it_is_the_picture_seen_small() -> None:
    image, lowres, logsnr = LowRes(8, SCHEDULE, max_level=0)(IMAGE, random(), 32)
    assert torch.equal(image, IMAGE)
    assert torch.allclose(lowres, upsample(downsample(IMAGE, 8), 32), atol=5e-3)
    assert torch.allclose(logsnr, torch.full((6,), 15.0), atol=1e-3)


def test_each_image_has_a_level_of_its_own() -> None:
    many = torch.zeros(200, 3, 8, 8)
    logsnr = LowRes(4, SCHEDULE)(many, Randomness.for_step(0, 0, range(200)), 8).logsnr
    level = SCHEDULE.inverse(logsnr)
    assert 0 <= level.min() < 0.05
    assert 0.95 < level.max() <= 1
    assert abs(level.mean() - 0.5) < 0.08


def test_a_crop_s_input_is_the_crop_of_the_whole_input() -> None:
    crop = 16
    image, lowres, _ = LowRes(8, SCHEDULE, max_level=0, crop=crop)(IMAGE, random(), 32)
    assert image.shape == lowres.shape == (6, 3, crop, crop)
    whole = LowRes(8, SCHEDULE, max_level=0)(IMAGE, random(), 32).lowres
    places = set()
    for i in range(len(IMAGE)):
        at = [(y, x) for y in range(0, 17, 4) for x in range(0, 17, 4) if _equal(IMAGE[i], image[i], y, x)]
        assert len(at) == 1
        y, x = at[0]
        assert torch.allclose(whole[i, :, y : y + crop, x : x + crop], lowres[i], atol=5e-3)
        places.add(at[0])
    assert len(places) > 1


def _equal(whole: torch.Tensor, part: torch.Tensor, y: int, x: int) -> bool:
    side = part.shape[-1]
    return torch.equal(whole[:, y : y + side, x : x + side], part)


def test_what_cannot_stand_on_a_stage_is_refused() -> None:
    with pytest.raises(ValueError, match=r"stage\.lowres\.resolution=64: must be below stage\.resolution=64"):
        LowRes(64, SCHEDULE).check(64)
    with pytest.raises(ValueError, match=r"stage\.lowres\.crop=200"):
        LowRes(64, SCHEDULE, crop=200).check(128)
    for values in ({"resolution": 0}, {"resolution": 64, "crop": -8}):
        with pytest.raises(ValueError, match="must be at least 1"):
            LowRes(schedule=SCHEDULE, **values)
    with pytest.raises(ValueError, match=r"stage\.lowres\.max_level=2"):
        LowRes(64, SCHEDULE, max_level=2)


def test_a_picture_that_was_cropped_already_is_taken_whole() -> None:
    crop = IMAGE[:, :, 8:24, 4:20]
    image, lowres, _ = LowRes(8, SCHEDULE, max_level=0, crop=16)(crop, random(), 32)
    assert torch.equal(image, crop)
    assert torch.allclose(lowres, upsample(downsample(crop, 4), 16), atol=5e-3)
