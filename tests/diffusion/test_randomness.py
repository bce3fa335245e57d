"""Randomness: an image's draws are its own."""

import torch

from imagen.diffusion import Randomness
from imagen.diffusion.randomness import mix


def test_an_image_does_not_depend_on_its_batch():
    alone, batch = Randomness([7]), Randomness([3, 7, 5])
    for _ in range(3):
        assert torch.equal(alone.normal(3, 4, 4)[0], batch.normal(3, 4, 4)[1])
        assert torch.equal(alone.uniform()[0], batch.uniform()[1])
        assert torch.equal(alone.integers(torch.tensor([50]))[0], batch.integers(torch.tensor([9, 50, 2]))[1])


def test_images_of_different_seeds_differ_and_of_equal_seeds_agree():
    a, b, c = Randomness([1, 2, 1]).normal(8)
    assert torch.equal(a, c)
    assert not torch.equal(a, b)


def test_draws_go_on():
    random = Randomness([0])
    assert not torch.equal(random.normal(8), random.normal(8))


def test_a_training_step_depends_on_seed_step_and_position_alone():
    both = Randomness.for_step(0, 10, [4, 5]).normal(8)
    torch.testing.assert_close(Randomness.for_step(0, 10, [5]).normal(8)[0], both[1], rtol=0, atol=0)
    others = [Randomness.for_step(*of, [5]).normal(8)[0] for of in [(0, 11), (1, 10), (10, 0)]]
    assert all(not torch.equal(other, both[1]) for other in others)


def test_mix_keeps_its_parts_apart():
    seeds = {mix(1, 23), mix(12, 3), mix(123), mix("1", "2", "3"), mix(3, 12)}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert mix("step", 1) == mix("step", 1)


def test_normal_is_standard_normal():
    draws = Randomness(range(4)).normal(100_000)
    assert draws.shape == (4, 100_000)
    torch.testing.assert_close(draws.mean(1), torch.zeros(4), rtol=0, atol=0.02)
    torch.testing.assert_close(draws.std(1), torch.ones(4), rtol=0, atol=0.02)


def test_uniform_is_uniform():
    random = Randomness(range(4))
    assert random.uniform().shape == (4,)
    draws = random.uniform(100_000)
    assert draws.min() >= 0
    assert draws.max() < 1
    torch.testing.assert_close(draws.mean(1), torch.full((4,), 0.5), rtol=0, atol=0.01)
    torch.testing.assert_close(draws.var(1), torch.full((4,), 1 / 12), rtol=0, atol=0.01)


def test_integers_cover_their_range_and_no_more():
    draws = Randomness(range(2000)).integers(torch.full((2000,), 3))
    assert draws.dtype == torch.int64
    assert set(draws.tolist()) == {0, 1, 2}
    assert draws.bincount().min() > 500
    assert Randomness([1, 2]).integers(torch.tensor([1, 1])).tolist() == [0, 0]
