"""The report's pictures: the right ones, small, few, and none that cannot be read."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from headstart.data.dataset import Dataset
from headstart.errors import BadImage
from headstart.evaluation.pictures import MISTAKES, SAMPLES, SIDE, collect_pictures, thumbnail
from headstart.evaluation.scoring.classification import ClassScoring
from headstart.tasks.classification import Classification


def opened(uri: str) -> Image.Image:
    head, data = uri.split(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def grey(level: int, height: int = 40, width: int = 60) -> torch.Tensor:
    return torch.full((3, height, width), level, dtype=torch.uint8)


def mistakes(test_set: Dataset, p: np.ndarray):
    return ClassScoring().worst(p, test_set.labels, Classification(test_set.classes), test_set.classes)


def dataset(n: int, k: int, split: str) -> Dataset:
    """``images`` are numbers, which the reader below turns into a grey of that level."""
    return Dataset(
        inputs=[f"{i}.png" for i in range(n)],
        labels=np.arange(n) % k,
        classes=tuple(f"class {c}" for c in range(k)),
        splits=np.full(n, split),
    )


def read(reference: str) -> torch.Tensor:
    return grey(int(reference.split(".")[0]) % 250)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (1, 900), (3000, 20), (96, 96), (400, 300)])
def test_a_thumbnail_of_any_shape_is_small(size):
    picture = opened(thumbnail(grey(120, *size)))
    assert 1 <= min(picture.size) <= max(picture.size) <= SIDE
    assert abs(np.asarray(picture).mean() - 120) < 3


def test_mistakes_come_most_confident_first_and_bounded():
    test_set = dataset(60, 3, "test")
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 60)
    found = collect_pictures(dataset(30, 3, "train"), test_set, mistakes(test_set, p), read)["mistakes"]
    wrong = np.flatnonzero(p.argmax(1) != test_set.labels)
    expected = wrong[np.argsort(-p.max(1)[wrong])][:MISTAKES]
    assert len(found) == MISTAKES < len(wrong)
    assert [m["path"] for m in found] == [f"{i}.png" for i in expected]
    for m, i in zip(found, expected, strict=True):
        assert m["label"] == test_set.classes[test_set.labels[i]]
        assert m["predicted"] == test_set.classes[p[i].argmax()]
        assert m["confidence"] == pytest.approx(p[i].max())
        assert abs(np.asarray(opened(m["image"])).mean() - i) < 3, "another image's picture"


@pytest.mark.parametrize(("k", "per_class"), [(3, 2), (SAMPLES, 1), (100, 1)])
def test_samples_show_training_images_of_each_class_and_are_bounded(k, per_class):
    train = dataset(k * 4, k, "train")
    samples = collect_pictures(train, dataset(k, k, "test"), [], read)["samples"]
    assert len(samples) == per_class * min(k, SAMPLES)
    assert len({s["label"] for s in samples}) == min(k, SAMPLES)


def test_no_test_image_is_shown_as_a_training_sample():
    mixed = dataset(6, 3, "test")
    none = mistakes(mixed, np.eye(3)[mixed.labels])
    assert collect_pictures(mixed, mixed, none, read) == {"mistakes": [], "samples": []}


def test_a_picture_that_cannot_be_read_is_left_out():
    def broken(reference: str) -> torch.Tensor:
        raise BadImage(reference, "cut short")

    data = dataset(9, 3, "train")
    wrong = mistakes(data, np.eye(3)[(data.labels + 1) % 3])
    assert len(wrong) == 9
    assert collect_pictures(data, data, wrong, broken) == {"mistakes": [], "samples": []}
