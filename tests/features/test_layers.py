"""Features of all stages: one pass, one cache a stage, the last stage is the ordinary features."""

import hashlib

import numpy as np
import pytest
import torch

import headstart.features.extract as extraction
from headstart.data.dataset import Dataset
from headstart.features.extract import extract
from headstart.features.layers import extract_layers
from headstart.sources import load_source
from headstart.sources.taps import at_layer


def images(n: int, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    pictures = [rng.integers(0, 256, (20 + i % 3, 24, 3)).astype(np.uint8) for i in range(n)]
    digests = np.array([hashlib.sha256(picture.tobytes()).hexdigest()[:24] for picture in pictures])
    return Dataset(pictures, np.arange(n) % 2, ("a", "b"), np.array(["train"] * n), digests=digests)


@pytest.fixture
def source(tiny_source):
    return load_source(str(tiny_source))


@pytest.fixture
def passes(source):
    """How many images went through the first module of any copy of the backbone."""
    seen = []
    source.backbone.conv1.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    return seen


@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_each_stage_is_that_of_the_backbone_and_the_last_is_that_of_extract(source, tmp_path, precision):
    data = images(11)
    found = extract_layers(source, data, cache_dir=tmp_path, precision=precision)
    assert [tap.layer for tap in found.taps] == [layer.name for layer in source.layers] and found.left_out == ()
    parts = found.parts()
    plain = extract(source, data, cache_dir=None, precision=precision).X
    np.testing.assert_allclose(parts[-1], plain, rtol=1e-5, atol=1e-5)
    x = torch.stack([source.preprocessing(torch.from_numpy(p).permute(2, 0, 1)) for p in data.inputs])
    with torch.inference_mode():
        for part, tap in zip(parts, found.taps, strict=True):
            true = at_layer(source, tap.layer).backbone.eval()(x).numpy()
            assert part.shape == (11, tap.width)
            np.testing.assert_allclose(part, true, atol=(1e-4 if precision == "fp32" else 0.02) * np.abs(true).max())


def test_one_pass_fills_the_cache_of_every_stage(source, tmp_path, passes):
    data = images(21)
    first = extract_layers(source, data, cache_dir=tmp_path)
    assert first.computed == 21
    passes.clear()
    again = extract_layers(source, data, cache_dir=tmp_path)
    assert again.computed == 0
    np.testing.assert_array_equal(again.X, first.X)
    for part, tap in zip(first.parts(), first.taps, strict=True):
        alone = extract(at_layer(source, tap.layer), data, cache_dir=tmp_path)
        assert alone.computed == 0, tap.layer
        np.testing.assert_array_equal(alone.X, part)
    # the dry forwards that find the taps are of one image
    assert set(passes) <= {1}


def test_only_images_that_some_stage_lacks_are_computed(source, tmp_path):
    data = images(20)
    extract(source, data.subset(np.arange(9)), cache_dir=tmp_path)
    assert extract_layers(source, data, cache_dir=tmp_path).computed == 20, "only the last stage of nine was known"
    extract_layers(source, data.subset(np.arange(7)), cache_dir=tmp_path / "other")
    found = extract_layers(source, data, cache_dir=tmp_path / "other")
    assert found.computed == 13
    np.testing.assert_array_equal(found.X, extract_layers(source, data, cache_dir=None).X)


def test_a_grid_is_wider_and_kept_apart(source, tmp_path):
    data = images(9)
    one = extract_layers(source, data, cache_dir=tmp_path)
    two = extract_layers(source, data, cache_dir=tmp_path, grid=2)
    assert two.computed == 9 and two.taps[0].width == 4 * one.taps[0].width
    mean = two.parts()[0].reshape(9, -1, 4).mean(2)
    np.testing.assert_allclose(mean, one.parts()[0], rtol=0.02, atol=0.02)
    np.testing.assert_array_equal(two.parts()[-1], one.parts()[-1])


def test_reduced_precision_must_keep_every_stage(source, tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "fastest", lambda device: "bf16")
    monkeypatch.setattr(extraction, "ENOUGH", 1.1)
    found = extract_layers(source, images(9), cache_dir=tmp_path)
    assert found.precision == "fp32" and found.computed == 9
    assert extract_layers(source, images(9), cache_dir=tmp_path).computed == 0
