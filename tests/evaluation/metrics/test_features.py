"""Features are (n, D), of pictures in order, whatever the batches; all else is one clear line."""

import pytest
import torch
from torch import Tensor

from imagen.evaluation.metrics import Pixels, extract
from imagen.evaluation.metrics.features import check_features, check_pair, check_pictures


def pictures(n: int, size: int = 16) -> Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.manual_seed(n))


def test_pixels_are_area_averages_in_0_1() -> None:
    shown = pictures(2)
    found = Pixels(8)(shown)
    assert found.shape == (2, 192)
    assert found.dtype == torch.float32
    assert found[1, 0].item() == pytest.approx(shown[1, 0, :2, :2].float().mean().item() / 255)
    assert found[0, -1].item() == pytest.approx(shown[0, 2, -2:, -2:].float().mean().item() / 255)
    assert "not an FID" in str(Pixels().key["kind"])


@pytest.mark.parametrize("batch", [1, 3, 10])
def test_features_do_not_depend_on_the_batches(batch: int) -> None:
    shown = pictures(10)
    assert torch.equal(extract(Pixels(4), shown.split(batch)), Pixels(4)(shown))


class Wrong:
    dim = 4

    def __init__(self, features: object):
        self.features, self.key = features, {"kind": "wrong"}

    def __call__(self, pictures: Tensor) -> Tensor:
        return self.features  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (torch.zeros(2, 5), r"extractor Wrong gave \(2, 5\), not features of shape \(B, dim\) = \(2, 4\)"),
        (torch.zeros(2, 4, 1), r"gave \(2, 4, 1\)"),
        (torch.zeros(1, 4), r"gave \(1, 4\)"),
        (None, "gave NoneType"),
        (torch.full((2, 4), torch.nan), "NaN or infinite; are its weights sound"),
    ],
)
def test_a_wrong_extractor_is_named(features: object, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        extract(Wrong(features), [pictures(2)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (torch.full((1, 3, 8, 8), torch.nan), "pictures hold NaN"),
        (torch.zeros(1, 3, 8, 8), "must be uint8"),
        (torch.zeros(1, 1, 8, 8, dtype=torch.uint8), r"must be \(B, 3, H, W\), found \(1, 1, 8, 8\)"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "must be"),
        ([1], "must be a tensor"),
    ],
)
def test_wrong_pictures_are_refused(shown: Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_pictures(shown)


def test_mixed_sizes_none_and_too_small_ones_are_refused() -> None:
    with pytest.raises(ValueError, match="pictures of 16 x 16 and of 8 x 8 in one set"):
        extract(Pixels(4), [pictures(2), pictures(2, 8)])
    with pytest.raises(ValueError, match="no pictures"):
        extract(Pixels(), [])
    with pytest.raises(ValueError, match="4 x 4 are smaller than the grid=8"):
        Pixels()(pictures(1, 4))


def test_wrong_features_are_refused_with_the_picture() -> None:
    features = torch.randn(6, 3)
    assert check_features(features, "made").dtype == torch.float64
    spoilt = features.clone()
    spoilt[4, 1] = torch.nan
    for wrong, said in [
        (spoilt, "made: the features of picture 4 are NaN"),
        (features[:1], "made: 1 pictures, but this needs at least 2"),
        (features[0], r"made: features must be \(n, D\), found \(3,\)"),
        (features[:1].repeat(5, 1), "made: all 5 pictures have the same features"),
    ]:
        with pytest.raises(ValueError, match=said):
            check_features(wrong, "made")
    with pytest.raises(ValueError, match="different width: real 3, made 2"):
        check_pair(features, features[:, :2])
