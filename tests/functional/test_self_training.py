"""Class-balanced labels, the mean teacher and SHOT's two parts, each against numbers worked out by hand or in loops."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine

from headstart.functional.class_balanced import class_balanced_labels, class_thresholds, labelled_loss
from headstart.functional.mean_teacher import consistency, sigmoid_ramp, teacher_decay
from headstart.functional.shot import centroid_labels, information_maximisation


def rows(*p):
    return torch.tensor(p, dtype=torch.float64)


P = rows(
    (0.90, 0.05, 0.05), (0.80, 0.10, 0.10), (0.70, 0.05, 0.25), (0.60, 0.05, 0.35),  # the easy class
    (0.15, 0.50, 0.35), (0.10, 0.45, 0.45 - 1e-9), (0.20, 0.41, 0.39),  # a hard one
)  # fmt: skip


def test_thresholds_and_labels_by_hand():
    found = class_thresholds(P, 0.5)
    # the upper half of 0.9, 0.8, 0.7, 0.6 ends at 0.8; two of 0.5, 0.45, 0.41 are taken; nothing is predicted as the third
    assert found.tolist() == [0.8, 0.45, math.inf]
    assert class_balanced_labels(P, found).tolist() == [0, 0, -1, -1, 1, 1, -1]
    # 0.35 / 0.3 beats 0.6 / 0.9: a hard class takes a row that an easy one would have by its probability
    assert class_balanced_labels(P[3:4], torch.tensor([0.9, 0.9, 0.3])).tolist() == [2]
    assert class_balanced_labels(P, class_thresholds(P, 1.0)).tolist() == P.argmax(1).tolist()


@pytest.mark.parametrize("portion", [0.1, 0.3, 0.5, 1.0])
def test_each_predicted_class_gives_its_share(portion):
    p = torch.softmax(torch.randn(200, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2, 1)
    p = torch.cat([p, p[:3] * 0 + rows((1, 0, 0, 0))])  # ties
    thresholds = class_thresholds(p, portion)
    for k in range(4):
        mine = p[p.argmax(1) == k, k]
        assert (mine > thresholds[k]).sum() < math.ceil(portion * len(mine)) <= (mine >= thresholds[k]).sum()


def test_a_threshold_from_the_wrong_end_is_caught():
    """Planted: the least confident rows are taken."""
    wrong = torch.tensor([P[:4, 0].sort().values[1], P[4:, 1].sort().values[1], math.inf])
    assert class_balanced_labels(P, wrong).tolist() != [0, 0, -1, -1, 1, 1, -1]


def test_rows_without_a_label_count_in_the_mean_with_zero():
    logits = torch.log(P.float())
    found = labelled_loss(logits, torch.tensor([0, -1, -1, -1, 2, -1, -1]))
    assert found.item() == pytest.approx(-(math.log(0.9) + math.log(0.35)) / 7, rel=1e-6)
    assert labelled_loss(logits, torch.full((7,), -1)).item() == 0


def test_the_teacher_is_the_mean_of_all_weights_and_then_their_moving_average():
    weights = np.random.default_rng(0).normal(size=30)
    teacher, seen = 0.0, []
    for t, w in enumerate(weights):
        d = teacher_decay(t, 0.9)
        teacher = d * teacher + (1 - d) * w
        seen.append(teacher)
    np.testing.assert_allclose(seen[:10], np.cumsum(weights[:10]) / np.arange(1, 11))
    closed = 0.9**20 * weights[:10].mean() + sum(0.1 * 0.9 ** (29 - t) * weights[t] for t in range(10, 30))
    assert seen[-1] == pytest.approx(closed)


def test_the_ramp():
    assert sigmoid_ramp(0.0, 0.3) == pytest.approx(math.exp(-5))
    assert sigmoid_ramp(0.15, 0.3) == pytest.approx(math.exp(-1.25))
    assert sigmoid_ramp(0.3, 0.3) == sigmoid_ramp(0.9, 0.3) == sigmoid_ramp(0.0, 0.0) == 1


def agreement(detached):
    """The value and the student's gradient by hand, and those of the function (planted: a teacher that learns)."""
    student = torch.tensor([[1.0, 0.0, -1.0], [0.2, 0.1, 2.0]], requires_grad=True)
    teacher = student * 1.7 + torch.tensor([[0.0, 1.0, 0.0]])
    p, q = torch.softmax(student, 1).detach(), torch.softmax(teacher, 1).detach()
    by_hand = (p - q) - (p * (p - q)).sum(1, keepdim=True)
    value = (p - q).square().sum(1).mean()
    if detached:
        found = consistency(student, teacher)
    else:
        found = (torch.softmax(student, 1) - torch.softmax(teacher, 1)).square().sum(1).mean()
    assert found.item() == pytest.approx(value.item(), rel=1e-6)
    return found, student, p * by_hand * 2 / 2


def test_consistency_by_hand_and_no_gradient_through_the_teacher():
    found, student, gradient = agreement(detached=True)
    found.backward()
    torch.testing.assert_close(student.grad, gradient)
    found, student, gradient = agreement(detached=False)
    found.backward()
    assert not torch.allclose(student.grad, gradient, atol=1e-3)


def test_an_unsure_teacher_is_not_followed():
    student, teacher = torch.zeros(2, 2), torch.log(torch.tensor([[0.9, 0.1], [0.6, 0.4]]))
    assert consistency(student, teacher).item() == pytest.approx((2 * 0.4**2 + 2 * 0.1**2) / 2)
    assert consistency(student, teacher, 0.8).item() == pytest.approx(2 * 0.4**2 / 2)


def test_information_maximisation_by_hand():
    p = torch.tensor([[0.8, 0.2], [0.4, 0.6]])
    sure = -(0.8 * math.log(0.8) + 0.2 * math.log(0.2) + 0.4 * math.log(0.4) + 0.6 * math.log(0.6)) / 2
    diverse = 0.6 * math.log(0.6) + 0.4 * math.log(0.4)
    assert information_maximisation(torch.log(p)).item() == pytest.approx(sure + diverse, rel=1e-5)
    one_hot = torch.eye(3) * 60
    assert information_maximisation(one_hot).item() == pytest.approx(-math.log(3), abs=1e-5)
    collapsed = torch.tensor([[60.0, 0, 0]] * 3)
    assert information_maximisation(collapsed).item() == pytest.approx(0, abs=1e-5)  # a wrong sign would like this best
    assert information_maximisation(torch.zeros(4, 3)).item() == pytest.approx(0, abs=1e-6)


def centroids(features, p, rounds=2, distance=cosine):
    """Equations 4 to 6 of the paper in loops."""
    shares, labels = p, None
    for _ in range(rounds):
        there = sorted(set(shares.argmax(1)))
        means = {k: sum(s[k] * f for s, f in zip(shares, features, strict=True)) / shares[:, k].sum() for k in there}
        labels = np.array([min(there, key=lambda k: distance(f, means[k])) for f in features])
        shares = np.eye(p.shape[1])[labels]
    return labels


@pytest.mark.parametrize("seed", range(5))
def test_centroid_labels_are_those_of_the_loops(seed):
    rng = np.random.default_rng(seed)
    features = np.abs(rng.normal(size=(40, 6)))
    p = rng.dirichlet([0.4] * 4, 40)
    p[:, 3] *= 0.01  # a class that nothing is predicted as
    p /= p.sum(1, keepdims=True)
    found = centroid_labels(torch.tensor(features), torch.tensor(p)).numpy()
    np.testing.assert_array_equal(found, centroids(features, p))
    assert 3 not in found


def test_centroids_by_hand_and_planted_faults():
    """Rows along two directions; the prediction of the last is wrong. One round and Euclidean distances are told apart."""
    features = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 9.0], [0.1, 0.9]])
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.6, 0.4]])
    assert centroid_labels(torch.tensor(features), torch.tensor(p)).tolist() == [0, 0, 1, 1]
    euclid = centroids(features, p, distance=lambda a, b: np.linalg.norm(a - b))
    assert euclid.tolist() == [0, 0, 1, 0]
    rng = np.random.default_rng(0)
    features, p = np.abs(rng.normal(size=(40, 6))), rng.dirichlet([0.4] * 4, 40)
    found = centroid_labels(torch.tensor(features), torch.tensor(p)).numpy()
    assert not np.array_equal(found, centroids(features, p, rounds=1))
