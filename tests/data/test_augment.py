"""Augmentation acts, is repeatable, and mixes labels by the share that it mixes pixels."""

import numpy as np
import pytest
import torch

from headstart.data.augment import PRESETS, Augmentation, augmentation, mix_batch
from headstart.data.dataset import Dataset
from headstart.data.loader import DecodedCache, batches
from headstart.data.preprocessing import Preprocessing
from headstart.errors import RecipeError

PREP = Preprocessing(size=24)
IMAGE = torch.randint(0, 256, (3, 40, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.mark.parametrize(
    "field", ["flip", "vflip", "shift", "rotate", "shear", "zoom", "crop", "color", "randaugment", "erase"]
)
def test_every_field_acts(field):
    value = {"rotate": 30, "shear": 20, "randaugment": 15, "flip": 1, "vflip": 1, "erase": 1}.get(field, 0.5)
    torch.manual_seed(0)
    out = Augmentation(**{field: value}).image(IMAGE, PREP)
    assert out.shape == (3, 24, 24)
    assert out.dtype == torch.uint8
    assert not torch.equal(out, PREP.fit(IMAGE))


def test_flip_is_a_mirror():
    assert torch.equal(Augmentation(flip=1).image(IMAGE, PREP), PREP.fit(IMAGE).flip(2))


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_are_built(name):
    made = augmentation(name)
    assert made is None if name == "none" else made.image(IMAGE, PREP).shape == (3, 24, 24)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("standart", "unknown augmentation: got 'standart'.*Try: standard"),
        ({"rotat": 3}, "unknown key of augment: got 'rotat'.*Try: rotate"),
        ({"swop": 0.1}, "unknown key of augment: got 'swop'.*of texts swap, delete.*Try: swap"),
        ({"flip": 2}, "bad value of augment.flip: got 2; allowed: 0 to 1"),
        ({"randaugment": 0.5}, "bad value of augment.randaugment: got 0.5; allowed: whole numbers 0 to 30"),
    ],
)
def test_unknown_augmentations(spec, words):
    with pytest.raises(RecipeError, match=words):
        augmentation(spec)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_labels_are_mixed_by_the_share_of_pixels(kind):
    """Images of one grey each: the mixed image's mean must be the mixed label's mean."""
    values = torch.tensor([0.0, 1.0, 2.0, 3.0])
    images = values.view(4, 1, 1, 1).expand(4, 3, 16, 16).clone()
    onehot = torch.eye(4)
    generator = torch.Generator().manual_seed(1)
    seen = set()
    for _ in range(20):
        mixed, soft = mix_batch(images, onehot, **{kind: 1.0}, generator=generator)
        torch.testing.assert_close(mixed.mean((1, 2, 3)), soft @ values, atol=1e-5, rtol=0)
        torch.testing.assert_close(soft.sum(1), torch.ones(4))
        seen.add(round(float(soft.max()), 2))
    assert len(seen) > 3
    assert torch.equal(mix_batch(images, onehot, generator=generator)[0], images)


def test_mixup_shares_follow_beta():
    generator = torch.Generator().manual_seed(0)
    two, labels = torch.zeros(2, 1, 1, 1), torch.eye(2)
    shares = []
    for _ in range(2000):
        _, soft = mix_batch(two, labels, mixup=0.4, generator=generator)
        if soft[0, 0] < 1:
            shares.append(float(soft[0, 0]))
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(0.4**2 / ((0.8) ** 2 * 1.8), abs=0.02)  # a b / ((a+b)^2 (a+b+1))


def data(n: int = 10) -> Dataset:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (30, 30, 3), dtype=np.uint8) for _ in range(n)]
    return Dataset(
        images, np.arange(n) % 2, ("a", "b"), np.full(n, "train"), digests=np.array([str(i) for i in range(n)])
    )


def test_the_same_seed_gives_the_same_batches_whatever_the_workers():
    def run(workers, cache=None, seed=3):
        found = batches(
            data(), PREP, batch_size=4, augmentation=PRESETS["strong"], shuffle_seed=seed, workers=workers, cache=cache
        )
        return torch.cat([b.inputs for b in found])

    one = run(1)
    assert torch.equal(one, run(4))
    assert torch.equal(one, run(2, DecodedCache(10**6)))
    assert not torch.equal(one, run(1, seed=4))


def test_global_random_numbers_are_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    list(batches(data(), PREP, batch_size=4, augmentation=PRESETS["strong"], shuffle_seed=1))
    assert torch.equal(torch.rand(3), expected)


def test_order_index_and_last_batch():
    found = list(batches(data(), PREP, batch_size=4))
    assert [len(b.index) for b in found] == [4, 4, 2]
    assert torch.cat([b.index for b in found]).tolist() == list(range(10))
    assert len(list(batches(data(), PREP, batch_size=4, drop_last=True))) == 2
    shuffled = torch.cat([b.index for b in batches(data(), PREP, batch_size=4, shuffle_seed=1)]).tolist()
    assert sorted(shuffled) == list(range(10))
    assert shuffled != list(range(10))


def test_ask01_balanced_sampling_draws_by_weight():
    weights = np.array([1.0] * 9 + [9.0])
    drawn = np.concatenate([
        np.concatenate([b.index.numpy() for b in batches(data(), PREP, batch_size=10, shuffle_seed=s, sampler_weights=weights)]) for s in range(40)
    ])  # fmt: skip
    assert (drawn == 9).mean() == pytest.approx(0.5, abs=0.08)


def test_the_cache_keeps_to_its_room():
    cache = DecodedCache(30 * 30 * 3 * 2 + 10)
    list(batches(data(), PREP, batch_size=4, augmentation=PRESETS["light"], shuffle_seed=0, cache=cache))
    assert len(cache._kept) == 2
