"""Test-time augmentation is the mean of the predictions of each view, worked out one view at a time."""

import numpy as np
import pytest
import torch

from headstart.data.dataset import Dataset
from headstart.data.views import view, view_names
from headstart.deploy.predictor import Predictor, head_outputs
from headstart.errors import RunError


def noise(n):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (32, 32, 3), dtype=np.uint8) for _ in range(n)]
    return Dataset(images, None, tuple("abcde"), np.full(n, ""))


@pytest.fixture
def predictor(tiny_source):
    return Predictor(tiny_source, device="cpu")


@pytest.mark.parametrize("flip", [False, True])
def test_it_is_the_mean_over_the_views(predictor, flip):
    dataset = noise(5)
    predictor.flip = flip
    found = predictor.probabilities(dataset, tta=4)
    images = torch.stack([predictor.source.preprocessing(torch.as_tensor(i).permute(2, 0, 1)) for i in dataset.inputs])
    backbone = predictor.source.backbone.eval()
    with torch.no_grad():
        each = [
            head_outputs(backbone(view(images, n)).numpy(), predictor.source.head, predictor.task)
            for n in view_names(4, flip=flip)
        ]
    assert found == pytest.approx(np.mean(each, 0), abs=1e-5)
    assert found.sum(1) == pytest.approx(np.ones(5), abs=1e-5)
    assert not np.allclose(found, each[0], atol=1e-6)
    assert predictor.probabilities(dataset) == pytest.approx(each[0], abs=1e-5)


def test_more_views_than_there_are_is_refused(predictor):
    with pytest.raises(RunError, match="not trained on mirrored images.*got 6; allowed: 1 to 5"):
        predictor.probabilities(noise(1), tta=6)
    predictor.flip = True
    with pytest.raises(RunError, match="got 0; allowed: 1 to 10"):
        predictor.probabilities(noise(1), tta=0)
