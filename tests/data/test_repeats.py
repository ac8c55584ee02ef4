"""Repeated augmentation: the composition of batches, counted; every coming of an image has its own draws."""

import numpy as np
import torch

from headstart.data.augment import PRESETS
from headstart.data.dataset import Dataset
from headstart.data.loader import batches, times
from headstart.data.preprocessing import Preprocessing

PREP = Preprocessing(size=24)
LIGHT = PRESETS["light"]


def data(n: int = 10) -> Dataset:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (30, 30, 3), dtype=np.uint8) for _ in range(n)]
    return Dataset(images, np.arange(n) % 2, ("a", "b"), np.full(n, "train"))


def test_every_image_comes_m_times_in_one_batch():
    for n, size, m in ((10, 6, 3), (10, 8, 3), (10, 4, 4), (7, 3, 2)):
        found = list(batches(data(n), PREP, batch_size=size, augmentation=LIGHT, shuffle_seed=1, repeats=m))
        different = size // m
        assert [len(b.index) for b in found[:-1]] == [different * m] * (len(found) - 1)
        assert len(found) == -(-n // different)
        for batch in found:
            assert set(np.unique(batch.index.numpy(), return_counts=True)[1]) == {m}
        seen = torch.cat([b.index for b in found])
        assert np.array_equal(np.bincount(seen.numpy(), minlength=n), np.full(n, m))


def test_the_repeats_of_an_image_differ_and_the_first_is_the_one_without_repeats():
    plain = next(iter(batches(data(), PREP, batch_size=3, augmentation=LIGHT, shuffle_seed=1)))
    thrice = next(iter(batches(data(), PREP, batch_size=9, augmentation=LIGHT, shuffle_seed=1, repeats=3)))
    assert thrice.index.tolist() == np.repeat(plain.index.numpy(), 3).tolist()
    assert torch.equal(thrice.inputs[::3], plain.inputs)
    for first in (0, 3, 6):
        views = thrice.inputs[first : first + 3]
        assert not torch.equal(views[0], views[1])
        assert not torch.equal(views[1], views[2])


def test_an_image_that_the_sampler_draws_again_has_draws_of_its_own():
    weights = np.array([1.0] * 9 + [50.0])
    whole = list(batches(data(), PREP, batch_size=5, augmentation=LIGHT, shuffle_seed=2, sampler_weights=weights))
    images, index = torch.cat([b.inputs for b in whole]), torch.cat([b.index for b in whole])
    often = images[index == 9]
    assert len(often) > 3
    assert len({view.numpy().tobytes() for view in often}) == len(often)


def test_times_against_counting():
    order = np.random.default_rng(0).integers(0, 5, 60)
    seen: dict[int, int] = {}
    for value, time in zip(order.tolist(), times(order).tolist(), strict=True):
        assert time == seen.get(value, 0)
        seen[value] = time + 1
    assert times(np.zeros(0, dtype=int)).tolist() == []
