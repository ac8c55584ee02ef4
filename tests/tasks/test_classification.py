"""The classification task against hand-worked numbers and torch's own cross-entropy."""

import numpy as np
import pytest
import torch

from headstart.errors import RecipeError
from headstart.tasks.classification import Classification, class_weights, sampler_weights, settled_imbalance
from headstart.tasks.losses import Loss, parse_loss

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


def test_effective_weights_by_hand():
    """beta = 0.9: E(10) = (1 - 0.9^10) / 0.1 = 6.5132, E(40) = 9.8522; weights 1 / E, scaled to a mean of 1 over the images."""
    found = class_weights("effective(beta=0.9)", np.array([10, 40, 10]), CLASSES)
    raw = np.array([1 / 6.513215599, 1 / 9.852191072, 1 / 6.513215599])
    np.testing.assert_allclose(found, raw * 60 / (raw * [10, 40, 10]).sum(), rtol=1e-6)
    near_inverse = class_weights("effective(0.9999999)", np.array([10, 40, 10]), CLASSES)
    np.testing.assert_allclose(near_inverse, class_weights("weights", np.array([10, 40, 10]), CLASSES), rtol=1e-4)
    np.testing.assert_allclose(
        class_weights("effective", np.array([10, 40, 10]), CLASSES),
        class_weights("effective(0.99)", np.array([10, 40, 10]), CLASSES),
    )


@pytest.mark.parametrize("text", ["effective(1)", "effective(beta=0)", "effective(2)"])
def test_a_beta_that_cannot_act_is_refused(text):
    with pytest.raises(RecipeError, match="bad value of beta in imbalance.*allowed: above 0 and below 1"):
        class_weights(text, np.array([1, 2, 3]), CLASSES)


def test_losses_are_read():
    assert parse_loss("cross_entropy") == Loss()
    assert parse_loss("focal") == parse_loss("focal(2)") == parse_loss("focal(gamma=2)") == Loss("focal", 2.0)
    assert parse_loss("logit_adjusted(tau=0.5)") == Loss("logit_adjusted", 0.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("focall", "unknown loss: got 'focall'.*Try: focal"),
        ("focal(gama=1)", "unknown argument of the loss 'focal': got 'gama'; allowed: gamma. Try: focal\\(gamma=2\\)"),
        ("focal(1e400)", "cannot read the loss: got 'focal\\(1e400\\)'; allowed: .*focal\\(gamma=2\\)"),
        ("focal(1, 2)", "cannot read the loss"),
        ("focal(gamma='x')", "cannot read the loss"),
        ("cross_entropy(2)", "cannot read the loss"),
        ("focal loss", "cannot read the loss"),
        ("focal(0)", "with this value focal is the cross-entropy"),
        ("logit_adjusted(tau=0)", "with this value logit_adjusted is the cross-entropy"),
    ],
)
def test_losses_that_cannot_be_read_or_cannot_act(text, words):
    with pytest.raises(RecipeError, match=words):
        parse_loss(text)


def test_each_is_what_the_loss_averages():
    targets = torch.tensor([0, 1, 2, 2, 1, 0, 0])
    for loss in (Loss(), Loss("focal", 2.0), Loss("logit_adjusted", 1.0)):
        task = Classification(CLASSES, label_smoothing=0.1, loss=loss, counts=np.array([3, 2, 2]))
        assert task.each(logits(), targets).shape == (7,)
        torch.testing.assert_close(task.each(logits(), targets).mean(), task.loss(logits(), targets))
        weighted = Classification(
            CLASSES, loss=loss, counts=np.array([3, 2, 2]), class_weights=np.array([1.0, 4.0, 2.0])
        )
        w = torch.tensor([1.0, 4.0, 2.0])[targets]
        torch.testing.assert_close(
            (weighted.each(logits(), targets) * w).sum() / w.sum(), weighted.loss(logits(), targets)
        )


def test_the_losses_differ_and_predictions_read_plain_logits():
    targets = torch.tensor([0, 1, 2, 2, 1, 0, 0])
    counts = np.array([3, 2, 2])
    plain = Classification(CLASSES)
    for loss in (Loss("focal", 2.0), Loss("logit_adjusted", 1.0)):
        task = Classification(CLASSES, loss=loss, counts=counts)
        assert not torch.isclose(task.loss(logits(), targets), plain.loss(logits(), targets))
        torch.testing.assert_close(task.decode(logits()), plain.decode(logits()))
    adjusted = Classification(CLASSES, loss=Loss("logit_adjusted", 1.0), counts=counts)
    shifted = logits() + torch.tensor([3 / 7, 2 / 7, 2 / 7]).log()
    torch.testing.assert_close(adjusted.loss(logits(), targets), plain.loss(shifted, targets))


def test_logit_adjustment_is_the_only_correction():
    adjusted, counts = Loss("logit_adjusted", 1.0), np.array([10, 40, 10])
    assert settled_imbalance("auto", adjusted, counts) == "none"
    assert settled_imbalance("auto", Loss(), counts) == "auto"
    assert settled_imbalance({"owl": 2.0}, adjusted, counts) == {"owl": 2.0}  # a cost, not a correction
    for both in ("weights", "sampler", "effective(0.9)"):
        with pytest.raises(RecipeError, match="together they do it twice in imbalance: got"):
            settled_imbalance(both, adjusted, counts)
    with pytest.raises(RecipeError, match="equally many training images.*got '7 images a class'"):
        settled_imbalance("auto", adjusted, np.array([7, 7, 7]))
