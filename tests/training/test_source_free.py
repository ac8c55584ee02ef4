"""A saved image model goes on to a target without its source, and images have the views of self-training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from headstart.data.augment import augmentation
from headstart.data.dataset import Dataset
from headstart.data.rows import ImageRows
from headstart.errors import DataError, HandshakeError
from headstart.sources import load_source
from headstart.sources.taps import Tapped, taps_of
from headstart.training.deep_adapter import DeepAdapter
from headstart.training.optim import Optimisation
from headstart.training.source_free import source_free_images

CPU = torch.device("cpu")
STEPS = Optimisation(2, 1e-3)


def pictures(source, n, seed, brightness=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    images = [(rng.normal(60 + 40 * k + brightness, 30, (32, 32, 3))).clip(0, 255).astype(np.uint8) for k in labels]
    dataset = Dataset(images, None, (), np.full(n, ""), digests=np.array([f"{seed}-{i}" for i in range(n)]))
    return ImageRows(dataset, source.preprocessing, augmentation("light"), workers=1), labels


@pytest.fixture(scope="module")
def source(tiny_source):
    return load_source(str(tiny_source))


def test_the_model_of_a_run_moves_under_its_own_head(source):
    before = {name: value.clone() for name, value in source.backbone.state_dict().items()}
    target, _ = pictures(source, 12, 0)
    fitted = source_free_images(source, target, STEPS, batch_size=6, device=CPU, seed=0)
    assert torch.equal(fitted.model.head.weight, source.head[0]) and torch.equal(fitted.model.head.bias, source.head[1])
    assert all(torch.equal(value, before[name]) for name, value in source.backbone.state_dict().items())
    assert any(not torch.equal(value, before[name]) for name, value in fitted.model.backbone.named_parameters())
    assert sum(fitted.extra["terms"]["shot"]["labels"].values()) == 12
    again = source_free_images(source, target, STEPS, batch_size=6, device=CPU, seed=0)
    assert all(map(torch.equal, fitted.model.state_dict().values(), again.model.state_dict().values()))


def test_a_model_without_a_head_or_a_target_of_one_image_is_refused(source):
    target, _ = pictures(source, 12, 0)
    with pytest.raises(
        HandshakeError, match="SHOT keeps the head of the source model, but this one has none.*a run folder"
    ):
        source_free_images(replace(source, head=None), target, STEPS, device=CPU, seed=0)
    tapped = Tapped(source.backbone, taps_of(source)[:1])
    with pytest.raises(HandshakeError, match="reads earlier ones than the last.*--strategy finetune"):
        source_free_images(replace(source, backbone=tapped), target, STEPS, device=CPU, seed=0)
    with pytest.raises(DataError, match="a domain needs two inputs at least: got 1"):
        source_free_images(source, target[[0]], STEPS, device=CPU, seed=0)


@pytest.mark.parametrize("method", ["selftrain(warmup=0)", "meanteacher(rampup=0)", "fixmatch(threshold=0)", "shot"])
def test_each_acts_on_images(source, method):
    (X, y), (T, _) = pictures(source, 12, 1), pictures(source, 8, 2, brightness=60)
    model = DeepAdapter(f"finetune+{method}", source=source, hidden=(8,), epochs=2, batch_size=6).fit(X, y, X_target=T)
    assert model.history_[-1][method.split("(")[0]] > 0
    assert model.predict(T).shape == (8,)
