"""Extraction: each distinct image once, in a precision that was checked, and never twice."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import headstart.features.extract as extraction
from headstart.data.dataset import Dataset
from headstart.data.preprocessing import Preprocessing
from headstart.errors import RecipeError, WorkError
from headstart.features.extract import cache_folder, extract
from headstart.features.precision import plain
from headstart.progress import Progress
from headstart.sources.source import LoadReport, Source


class Small(nn.Module):
    """A convolution, a norm, a mean; counts the images that go through any copy of it."""

    seen = 0

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, width, 3, stride=2), nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not isinstance(x, torch.fx.Proxy):
            Small.seen += len(x)
        return torch.relu(self.bn(self.conv(x))).mean((2, 3))


class Cancels(Small):
    """Differences that vanish in bf16."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x)
        return (y + 1000) - 1000


class Breaks(Small):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) / 0


def source(kind: type[Small] = Small, width: int = 6, digest: str = "small", size: int = 16) -> Source:
    torch.manual_seed(0)
    return Source(
        name="test/small", library="none", architecture="small", model_args={}, backbone=kind().eval(),
        preprocessing=Preprocessing(size=size), layers=[], width=width, classifier="head", licence="CC0-1.0",
        digest=digest, report=LoadReport(0, (), (), 0), build=kind,
    )  # fmt: skip


def images(n: int, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    pictures = [rng.integers(0, 256, (20 + i % 3, 24, 3)).astype(np.uint8) for i in range(n)]
    digests = np.array([hashlib.sha256(picture.tobytes()).hexdigest()[:24] for picture in pictures])
    return Dataset(pictures, np.arange(n) % 2, ("a", "b"), np.array(["train"] * n), digests=digests)


@pytest.fixture(autouse=True)
def counter() -> None:
    Small.seen = 0


def expected(data: Dataset, model: Source) -> np.ndarray:
    x = torch.stack([model.preprocessing(torch.from_numpy(p).permute(2, 0, 1)) for p in data.inputs])
    return plain(model.backbone, "cpu")(x).numpy()


def test_features_are_those_of_the_backbone_in_the_order_of_the_data(tmp_path: Path) -> None:
    data, model = images(21), source()
    found = extract(model, data, cache_dir=tmp_path, precision="fp32", batch_size=8)
    np.testing.assert_allclose(found.X, expected(data, model), atol=1e-5)
    assert found.X.dtype == np.float32 and (found.computed, found.cached) == (21, 0)


def test_the_second_time_runs_no_forward_pass(tmp_path: Path) -> None:
    data, model = images(21), source()
    first = extract(model, data, cache_dir=tmp_path)
    assert Small.seen > 0
    Small.seen = 0
    again = extract(model, data.subset(np.arange(20, -1, -1)), cache_dir=tmp_path)
    assert Small.seen == 0 and (again.computed, again.cached) == (0, 21)
    np.testing.assert_array_equal(again.X, first.X[::-1])
    assert again.precision == first.precision


def test_only_new_images_are_computed(tmp_path: Path) -> None:
    data, model = images(30), source()
    extract(model, data.subset(np.arange(10)), cache_dir=tmp_path)
    found = extract(model, data, cache_dir=tmp_path)
    assert (found.computed, found.cached) == (20, 10)


def test_copies_are_computed_once(tmp_path: Path) -> None:
    data, model = images(5), source()
    doubled = data.subset(np.array([0, 1, 0, 2, 1, 3, 4, 0]))
    for cache in (tmp_path, None):
        found = extract(model, doubled, cache_dir=cache)
        assert (found.computed, found.cached) == (5, 3)
        np.testing.assert_array_equal(found.X[[2, 4, 7]], found.X[[0, 1, 0]])


@pytest.mark.parametrize("change", ["digest", "preprocessing", "precision"])
def test_another_source_preprocessing_or_precision_has_its_own_rows(tmp_path: Path, change: str) -> None:
    data, model = images(9), source()
    extract(model, data, cache_dir=tmp_path, precision="fp32")
    other = {
        "digest": replace(model, digest="other"),
        "preprocessing": replace(model, preprocessing=Preprocessing(size=16, crop_pct=0.9)),
        "precision": model,
    }[change]
    found = extract(other, data, cache_dir=tmp_path, precision="bf16" if change == "precision" else "fp32")
    assert found.computed == 9


def test_without_a_cache_folder_nothing_is_written(own_cache: Path, tmp_path: Path) -> None:
    found = extract(source(), images(9), cache_dir=None)
    assert found.computed == 9 and not list(own_cache.iterdir()) and not list(tmp_path.iterdir())


def test_images_without_digests_are_computed_and_not_cached(tmp_path: Path) -> None:
    data = replace(images(9), digests=None)
    for _ in range(2):
        assert extract(source(), data, cache_dir=tmp_path).computed == 9
    assert not list(tmp_path.iterdir())


def test_an_image_has_the_same_features_whatever_its_neighbours(tmp_path: Path) -> None:
    data, model = images(19), source()
    whole = extract(model, data, cache_dir=None, batch_size=16, precision="fp32").X
    for i in (0, 7, 18):
        Small.seen = 0
        np.testing.assert_array_equal(
            extract(model, data.subset(np.array([i])), cache_dir=None, precision="fp32").X[0], whole[i]
        )
        assert Small.seen == 8, "a single image is filled up to the smallest batch"


def test_bf16_that_changes_the_features_falls_back_to_fp32_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "fastest", lambda device: "bf16")
    data, model = images(12), source(Cancels, digest="cancels")
    found = extract(model, data, cache_dir=tmp_path)
    assert found.precision == "fp32" and found.cosine is not None and found.cosine < 0.999
    assert "fp32: in bf16 one had a cosine of only" in found.note
    np.testing.assert_allclose(found.X, expected(data, model), atol=1e-3)
    Small.seen = 0
    again = extract(model, data, cache_dir=tmp_path)
    assert Small.seen == 0 and again.precision == "fp32" and again.note == found.note


def test_bf16_that_keeps_the_features_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "fastest", lambda device: "bf16")
    data, model = images(12), source()
    found = extract(model, data, cache_dir=tmp_path)
    assert found.precision == "bf16" and found.note == ""
    assert found.cosine is not None and found.cosine >= 0.999
    assert cache_folder(tmp_path, model, "bf16", "cpu").is_dir()


class Stops(Progress):
    """Interrupts the work after some images."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, n: int = 1, **fields: Any) -> None:
        self.left -= n
        if self.left <= 0:
            raise KeyboardInterrupt


def test_an_interrupted_extraction_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "CHUNK_ROWS", 8)
    data, model = images(40), source()
    with pytest.raises(KeyboardInterrupt):
        extract(model, data, cache_dir=tmp_path, batch_size=8, progress=Stops(24))
    found = extract(model, data, cache_dir=tmp_path, batch_size=8)
    assert (found.computed, found.cached) == (16, 24)
    np.testing.assert_array_equal(found.X, extract(model, data, cache_dir=None, batch_size=8).X)


def test_a_corrupt_chunk_is_computed_again(tmp_path: Path) -> None:
    data, model = images(9), source()
    first = extract(model, data, cache_dir=tmp_path)
    block = next(tmp_path.rglob("*.npy"))
    block.write_bytes(block.read_bytes()[:-4])
    again = extract(model, data, cache_dir=tmp_path)
    assert again.computed == 9
    np.testing.assert_array_equal(again.X, first.X)


def test_the_speed_is_measured_and_remembered(tmp_path: Path) -> None:
    data, model = images(40), source()
    first = extract(model, data, cache_dir=tmp_path)
    assert first.images_per_second is not None and first.images_per_second > 0
    assert extract(model, data, cache_dir=tmp_path).images_per_second == first.images_per_second
    assert extract(source(digest="b"), images(3), cache_dir=tmp_path).images_per_second is None


def test_the_backbone_stays_as_it_was(tmp_path: Path) -> None:
    model = source()
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    model.backbone.train()
    extract(model, images(9), cache_dir=tmp_path, precision="bf16")
    assert model.backbone.training
    for name, value in model.backbone.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_no_images_give_no_rows(tmp_path: Path) -> None:
    assert extract(source(), images(3).subset(np.array([], dtype=int)), cache_dir=tmp_path).X.shape == (0, 6)


def test_features_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="features that are not finite numbers in test/small in fp32.*another source"):
        extract(source(Breaks), images(9), cache_dir=tmp_path, precision="fp32")
    with pytest.raises(WorkError, match="--precision fp32"):
        extract(source(Breaks), images(9), cache_dir=tmp_path, precision="bf16")
    assert not list(tmp_path.rglob("*.npy"))


def test_a_wrong_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match=r"another shape than it said in test/small: got \(8, 6\)|got \(9, 6\)"):
        extract(source(width=7), images(9), cache_dir=tmp_path)


def test_an_unknown_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown precision"):
        extract(source(), images(2), cache_dir=tmp_path, precision="fast")
