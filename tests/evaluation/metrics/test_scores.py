"""Inception Score and CLIP scores by their definitions; does a prompt win over others."""

import numpy as np
import pytest
import torch
from scipy.special import softmax

from imagen.evaluation.metrics.sample_size import BIAS, PROTOCOL, fewer
from imagen.evaluation.metrics.scores import (
    clip_score,
    cosine,
    directional_similarity,
    inception_score,
    prompt_wins,
)


def by_definition(logits: np.ndarray) -> float:
    p = softmax(logits, axis=1)
    marginal = p.mean(0)
    return float(np.exp(np.mean([sum(row * np.log(row / marginal)) for row in p])))


def test_inception_score_by_definition() -> None:
    logits = torch.randn(50, 7, generator=torch.manual_seed(0)) * 3
    mean, deviation = inception_score(logits, splits=1)
    assert mean == pytest.approx(by_definition(logits.double().numpy()), rel=1e-9)
    assert deviation == 0
    order = torch.randperm(50, generator=torch.manual_seed(5)).numpy()
    parts = [by_definition(part) for part in np.split(logits.double().numpy()[order], 5)]
    assert inception_score(logits, splits=5, seed=5) == pytest.approx(
        (np.mean(parts), np.std(parts, ddof=1)), rel=1e-9
    )


def test_inception_score_of_sure_and_even_classes_is_their_number() -> None:
    assert inception_score(torch.eye(8).repeat(10, 1) * 100, splits=1)[0] == pytest.approx(8)


def test_inception_score_leaves_the_global_generator_alone() -> None:
    logits = torch.randn(20, 3)
    state = torch.random.get_rng_state()
    inception_score(logits, splits=2)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_inception_score_refuses() -> None:
    logits = torch.randn(21, 4)
    with pytest.raises(ValueError, match="splits=0"):
        inception_score(logits, splits=0)
    with pytest.raises(ValueError, match="logits: 21 pictures, but this needs at least 40"):
        inception_score(logits, splits=20)
    with pytest.raises(ValueError, match="splits=10: 21 pictures fall into 7 parts"):
        inception_score(logits, splits=10)
    with pytest.raises(ValueError, match="zero variance"):
        inception_score(torch.ones(20, 4), splits=1)


def test_clip_score_is_a_hundred_cosines() -> None:
    images, texts = torch.tensor([[2.0, 0], [0, 3], [1, 1]]), torch.tensor([[5.0, 0], [0, -1], [1, 0]])
    assert cosine(images, texts).tolist() == pytest.approx([1, -1, 0.5**0.5])
    assert clip_score(images, texts).tolist() == pytest.approx([100, 0, 100 * 0.5**0.5])


def test_own_prompt_against_all_others_and_against_its_opposite() -> None:
    texts = torch.eye(4, 6)
    assert prompt_wins(texts, texts).tolist() == [1] * 4
    assert prompt_wins(texts.roll(1, 0), texts).tolist() == pytest.approx([1 / 3] * 4)  # lost, tied, tied
    assert prompt_wins(texts, texts, texts.roll(1, 0)).tolist() == [1] * 4
    assert prompt_wins(texts.roll(1, 0), texts, texts.roll(1, 0)).tolist() == [0] * 4
    assert prompt_wins(texts, texts, texts).tolist() == [0.5] * 4


def test_the_same_prompt_twice_is_no_other_prompt() -> None:
    texts = torch.eye(3, 6)[[0, 0, 1, 2]]
    assert prompt_wins(texts, texts).tolist() == [1] * 4
    with pytest.raises(ValueError, match="all prompts are the same"):
        prompt_wins(texts, texts[:1].repeat(4, 1))


def test_random_pictures_win_half_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.manual_seed(0)
    images, texts = (torch.randn(200, 32, generator=generator) for _ in "ab")
    whole = prompt_wins(images, texts)
    assert abs(whole.mean().item() - 0.5) < 0.07
    monkeypatch.setattr("imagen.evaluation.metrics.scores.BLOCK", 33)
    assert torch.equal(prompt_wins(images, texts), whole)


def test_directional_similarity() -> None:
    before = torch.nn.functional.normalize(torch.randn(5, 8, generator=torch.manual_seed(0)))
    after = torch.nn.functional.normalize(torch.randn(5, 8, generator=torch.manual_seed(1)))
    assert directional_similarity(before, after, before, after).tolist() == pytest.approx([1] * 5)
    assert directional_similarity(before, after, after, before).tolist() == pytest.approx([-1] * 5)
    assert directional_similarity(before, before, before, after).tolist() == [0] * 5


def test_scores_refuse() -> None:
    with pytest.raises(ValueError, match=r"images \(2, 3\) and texts \(3, 3\) do not fit"):
        cosine(torch.ones(2, 3), torch.ones(3, 3))
    with pytest.raises(ValueError, match="texts: features that are NaN, infinite or all 0"):
        cosine(torch.ones(2, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="images: features must be"):
        clip_score(torch.ones(3), torch.ones(2, 3))


def test_fewer_pictures_are_said_with_their_bias() -> None:
    assert set(PROTOCOL) == set(BIAS)
    assert fewer("fid", 30_000) is None
    note = fewer("fid", 500)
    assert note is not None
    assert note.startswith("500 pictures, not the protocol's 30000; biased upward")
    assert fewer("fid", 500, asked=500) is None
    assert "noisier" in str(fewer("shapes.scene", 10, asked=20))
    assert fewer("shapes.scene", 10) is None
