"""Partial, open-set and few-label adaptation: the numbers by hand, and faults that these facts catch."""

import numpy as np
import pytest
import torch

from headstart.errors import RecipeError
from headstart.functional.open_set import boundary_loss
from headstart.functional.partial import class_shares, row_weights, unlike_source
from headstart.functional.rejection import rejection, unknown_label, with_unknown


def test_class_shares_by_hand():
    p = torch.tensor([[0.9, 0.1, 0.0], [0.5, 0.5, 0.0], [0.7, 0.3, 0.0], [0.3, 0.7, 0.0]])
    torch.testing.assert_close(class_shares(p), torch.tensor([0.6, 0.4, 0.0]))


def test_row_weights_by_hand():
    shares, counts = torch.tensor([0.6, 0.4, 0.0]), torch.tensor([10, 20, 10])
    # mean over the 40 rows: (10 * 0.6 + 20 * 0.4 + 0) / 40 = 0.35
    found = row_weights(shares, torch.tensor([0, 1, 2, 1]), counts=counts)
    torch.testing.assert_close(found, torch.tensor([0.6, 0.4, 0.0, 0.4]) / 0.35)
    everything = torch.repeat_interleave(torch.arange(3), counts)
    assert row_weights(shares, everything, counts=counts).mean().item() == pytest.approx(1)
    paper = shares / shares.max()  # the same up to one factor
    ratio = row_weights(shares, torch.arange(2), counts=counts) / paper[:2]
    assert ratio[0].item() == pytest.approx(ratio[1].item())
    nothing = row_weights(torch.tensor([0.0, 0.0, 1.0]), torch.arange(2), counts=torch.tensor([3, 3, 0]))
    assert nothing.tolist() == [1, 1]


def test_unlike_source_by_hand():
    logits = torch.tensor([0.0, np.log(3.0)], requires_grad=True)  # D = 1/2 and 3/4
    found = unlike_source(logits)
    torch.testing.assert_close(found, torch.tensor([0.5, 0.25]) / 0.375)
    assert not found.requires_grad
    swapped = torch.sigmoid(logits.detach()).float()  # a fault: D in place of 1 - D
    assert not torch.allclose(found, swapped / swapped.mean())
    assert torch.isfinite(unlike_source(torch.full((3,), 200.0))).all()


def test_boundary_loss_by_hand_and_at_its_least():
    outputs = torch.log(torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]))
    expected = -np.mean([0.5 * np.log(0.2) + 0.5 * np.log(0.8), 0.5 * np.log(0.8) + 0.5 * np.log(0.2)])
    assert boundary_loss(outputs).item() == pytest.approx(expected)
    skewed = -np.mean([0.3 * np.log(0.2) + 0.7 * np.log(0.8), 0.3 * np.log(0.8) + 0.7 * np.log(0.2)])
    assert boundary_loss(outputs, 0.3).item() == pytest.approx(skewed)
    last = torch.zeros(1, 3, requires_grad=True)
    torch.optim.LBFGS([last], max_iter=50).step(lambda: _closure(last, 0.3))
    assert torch.softmax(last, 1)[0, 2].item() == pytest.approx(0.3, abs=1e-4), "the classifier is drawn to t"


def _closure(z, t):
    z.grad = None
    loss = boundary_loss(z, t)
    loss.backward()
    return loss


def test_boundary_loss_is_finite_where_a_probability_is_zero():
    z = torch.tensor([[300.0, 0.0, 0.0], [0.0, 0.0, 300.0]], requires_grad=True)
    loss = boundary_loss(z)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(z.grad).all()


def test_the_threshold_keeps_the_share_that_was_asked_for():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    logits = 3 * rng.standard_normal((200, 4)) + 4 * np.eye(4)[labels]
    temperature, threshold = rejection(logits, labels, 0.9)
    said = with_unknown(logits, temperature, threshold)
    assert said.shape == (200, 5)
    np.testing.assert_allclose(said.sum(1), 1)
    kept = said.argmax(1) < 4
    assert kept.sum() == 180
    p = np.exp(logits / temperature)
    p /= p.sum(1, keepdims=True)
    np.testing.assert_array_equal(kept, p.max(1) >= threshold - 1e-12)
    np.testing.assert_array_equal(said[kept].argmax(1), logits[kept].argmax(1))
    assert temperature > 1.2, "logits that are too sure are cooled"


def test_the_label_of_the_unknown():
    assert unknown_label(np.array([0, 1])) == -1 and unknown_label(np.array(["a", "b"])) == "unknown"
    for known in (np.array([-1, 1]), np.array(["a", "unknown"])):
        with pytest.raises(RecipeError, match="the name that an open set gives to all others"):
            unknown_label(known)
