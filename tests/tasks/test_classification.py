"""The classification task against hand-worked numbers and torch's own cross-entropy."""

import numpy as np
import pytest
import torch

from headstart.errors import RecipeError
from headstart.tasks.classification import Classification, class_weights, sampler_weights

CLASSES = ("cat", "dog", "owl")


def logits() -> torch.Tensor:
    return torch.randn(7, 3, generator=torch.Generator().manual_seed(1))


def test_loss_equals_torch_with_weights_and_smoothing():
    targets = torch.tensor([0, 1, 2, 2, 1, 0, 0])
    weights = np.array([0.5, 2.0, 1.0], dtype=np.float32)
    ours = Classification(CLASSES, class_weights=weights).loss(logits(), targets)
    theirs = torch.nn.functional.cross_entropy(logits(), targets, torch.tensor(weights))
    torch.testing.assert_close(ours, theirs)
    ours = Classification(CLASSES, label_smoothing=0.1).loss(logits(), targets)
    torch.testing.assert_close(ours, torch.nn.functional.cross_entropy(logits(), targets, label_smoothing=0.1))


def test_soft_targets_are_the_same_as_hard_ones_where_they_agree():
    targets = torch.tensor([0, 1, 2, 2, 1, 0, 0])
    task = Classification(CLASSES, class_weights=np.array([0.5, 2.0, 1.0]))
    torch.testing.assert_close(task.loss(logits(), targets), task.loss(logits(), torch.eye(3)[targets]))


def test_new_head_gives_every_class_the_same_chance():
    head = Classification(CLASSES).head(5)
    torch.testing.assert_close(Classification(CLASSES).decode(head(torch.randn(4, 5))), torch.full((4, 3), 1 / 3))


def test_ask01_class_weights_just_work():
    counts = np.array([10, 40, 10])
    np.testing.assert_allclose(
        class_weights("auto", counts, CLASSES), [2, 0.5, 2]
    )  # n / (K * count): 60 / (3 * 10) ...
    assert class_weights("auto", np.array([10, 11, 12]), CLASSES) is None
    assert class_weights("none", counts, CLASSES) is None
    np.testing.assert_allclose(class_weights({"owl": 3.0}, counts, CLASSES), [1, 1, 3])
    with pytest.raises(RecipeError, match="unknown class in the class weights: got 'owll'.*Try: owl"):
        class_weights({"owll": 3.0}, counts, CLASSES)
    with pytest.raises(RecipeError, match="weight of class 'owl' must be positive"):
        class_weights({"owl": -1.0}, counts, CLASSES)


def test_weighted_loss_equals_repeated_examples():
    """A class of weight 2 counts as if each of its images were there twice."""
    targets = torch.tensor([0, 1, 2, 2, 1, 0, 0])
    twice = torch.cat([torch.arange(7), torch.tensor([1, 4])])
    weighted = Classification(CLASSES, class_weights=np.array([1.0, 2.0, 1.0])).loss(logits(), targets)
    torch.testing.assert_close(weighted, Classification(CLASSES).loss(logits()[twice], targets[twice]))


def test_sampler_draws_each_class_equally_often():
    labels = np.array([0] * 90 + [1] * 10)
    weights = sampler_weights(labels)
    assert weights[:90].sum() == pytest.approx(weights[90:].sum())
