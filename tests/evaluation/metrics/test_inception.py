"""The Inception extractor: its file is checked, its layout is torch-fidelity's, its resizing what it says."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from imagen.evaluation.metrics import extract
from imagen.evaluation.metrics.inception import SHA256, Inception, Network, resized
from imagen.evaluation.metrics.scores import inception_score


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the layout of the real file, which has no counters of batch norms."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("inception") / "inception.pth"
    state = Network().state_dict()
    generator = torch.Generator().manual_seed(1)
    for name, value in state.items():
        if name.endswith("conv.weight"):
            fan = value[0].numel()
            state[name] = torch.randn(value.shape, generator=generator) * (2 / fan) ** 0.5
    torch.save({k: v for k, v in state.items() if "num_batches" not in k}, file)
    return file


def hash_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def pictures(n: int, size: int = 32) -> Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.manual_seed(n))


def test_features_logits_and_key(weights: Path) -> None:
    extractor = Inception(weights, sha256=hash_of(weights))
    shown = pictures(2)
    features = extract(extractor, [shown])
    assert features.shape == (2, 2048)
    torch.testing.assert_close(extract(extractor, shown.split(1)), features, rtol=1e-4, atol=1e-5)
    logits = extractor.logits(features)
    assert logits.shape == (2, 1008)
    net = extractor.net
    torch.testing.assert_close(logits + net.fc.bias, net.fc(features), rtol=1e-4, atol=1e-5)
    assert inception_score(logits, splits=1)[0] >= 1
    assert extractor.key["weights"] == hash_of(weights)
    assert "TensorFlow 1" in extractor.key["resize"]
    assert Inception(weights, "bicubic", hash_of(weights)).key != extractor.key


def test_the_layout_is_torch_fidelitys(weights: Path) -> None:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import (  # type: ignore[import-not-found]
            FeatureExtractorInceptionV3,
        )
    except Exception as error:  # it imports torchvision
        pytest.skip(f"torch-fidelity does not import here: {error}")
    theirs = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], str(weights))
    ours = Inception(weights, sha256=hash_of(weights))
    for size in (32, 64, 299, 400):
        shown = pictures(2, size)
        features, logits = theirs(shown)
        torch.testing.assert_close(ours(shown), features, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.logits(ours(shown)), logits, rtol=1e-4, atol=1e-5)


def test_parameters_are_inceptions() -> None:
    """torchvision's Inception-v3 has 27,161,264: less its auxiliary classifier and its 1000 classes, with 1008."""
    with torch.device("meta"):
        net = Network()
    assert sum(p.numel() for p in net.parameters()) == 27_161_264 - 3_326_696 - 2049 * 1000 + 2049 * 1008


def test_tensorflow_resizing_reads_corners_not_centres() -> None:
    shown = torch.zeros(1, 3, 2, 4, dtype=torch.uint8)
    shown[..., 1] = 100
    found = resized(shown)
    # output column i is read at i * 4 / 299
    for column in (0, 1, 37, 74, 75, 100, 200, 298):
        at = column * 4 / 299
        expected = np.interp(at, [0, 1, 2, 3], [0, 100, 0, 0])
        assert found[0, 0, 5, column].item() == pytest.approx(expected, abs=1e-3)
    same = pictures(1, 299)
    assert torch.equal(resized(same), same.float())


@pytest.mark.parametrize(
    ("resize", "pillow"), [("antialias", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)]
)
@pytest.mark.parametrize("size", [64, 400])
def test_antialiased_resizing_is_pillows_on_numbers(resize, pillow, size: int) -> None:
    shown = pictures(1, size)
    channel = Image.fromarray(shown[0, 1].numpy().astype(np.float32))
    expected = np.asarray(channel.resize((299, 299), pillow))
    np.testing.assert_allclose(resized(shown, resize)[0, 1].numpy(), expected, atol=2e-2)


def test_a_missing_or_other_file_is_named_with_its_hash_and_place(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(ValueError, match="no such file; put pt_inception-2015-12-05") as caught:
        Inception(tmp_path / "weights.pth")
    assert SHA256 in str(caught.value)
    assert str(tmp_path / "weights.pth") in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=f"sha256 {hash_of(weights)}, not {SHA256}"):
        Inception(weights)
    with pytest.raises(ValueError, match="resize=none is none of"):
        Inception(weights, "none")  # type: ignore[arg-type]


def test_a_file_that_is_no_inception_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"fc.weight": torch.zeros(1000, 2048)}, file)
    with pytest.raises(ValueError, match=r"missing, unknown or of another shape: Conv2d_1a_3x3\.bn\.bias"):
        Inception(file, sha256=hash_of(file))
