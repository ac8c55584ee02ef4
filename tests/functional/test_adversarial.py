"""Gradient reversal, multilinear maps, confusion, information, margin disparity and classifier discrepancy against independent facts."""

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy, kl_div

from headstart.functional.class_confusion import class_confusion
from headstart.functional.classifier_discrepancy import classifier_discrepancy
from headstart.functional.domain_classifier import domain_loss
from headstart.functional.entropies import certainty_weights, entropy, information
from headstart.functional.gradient_reversal import adversarial_schedule, reverse_gradient
from headstart.functional.margin_disparity import log_rest, margin_disparity
from headstart.functional.multilinear import multilinear, randomized_multilinear


def draw(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_reversal_is_nothing_forward_and_minus_the_coefficient_backward():
    x, by = draw(4, 3).requires_grad_(), draw(4, 3, seed=2)
    assert torch.equal(reverse_gradient(x, 0.3), x)
    (reverse_gradient(x, 0.3) * by).sum().backward()
    torch.testing.assert_close(x.grad, -0.3 * by)


@pytest.mark.parametrize(
    ("progress", "value"), [(0.0, 0.0), (0.1, math.tanh(0.5)), (0.5, math.tanh(2.5)), (1.0, math.tanh(5))]
)
def test_the_schedule_is_a_hyperbolic_tangent(progress, value):
    """2 / (1 + exp(-10 p)) - 1 = tanh(5 p)."""
    assert adversarial_schedule(progress) == pytest.approx(value, rel=1e-12)


def test_the_domain_loss_is_the_mean_of_two_cross_entropies():
    s, t, w = draw(4, 1), draw(6, 1, seed=2), torch.tensor([1.0, 2, 0, 1], dtype=torch.float64)
    by_hand = (
        [(-math.log(1 / (1 + math.exp(-x.item())))) for x in s],
        [-math.log(1 / (1 + math.exp(x.item()))) for x in t],
    )
    assert domain_loss(s, t).item() == pytest.approx(sum(by_hand[0]) / 8 + sum(by_hand[1]) / 12)
    weighed = sum(a * b for a, b in zip(by_hand[0], w.tolist(), strict=True))
    assert domain_loss(s, t, w).item() == pytest.approx(weighed / 8 + sum(by_hand[1]) / 12)
    assert domain_loss(torch.zeros(3), torch.zeros(9)).item() == pytest.approx(math.log(2))
    expected = 0.5 * (
        binary_cross_entropy(s.sigmoid(), torch.ones_like(s)) + binary_cross_entropy(t.sigmoid(), torch.zeros_like(t))
    )
    torch.testing.assert_close(domain_loss(s, t), expected)


def test_the_multilinear_map_on_tiny_arrays():
    f, g = torch.tensor([[1.0, 2, 3]]), torch.tensor([[0.25, 0.75]])
    assert multilinear(f, g).tolist() == [[0.25, 0.5, 0.75, 0.75, 1.5, 2.25]]
    torch.testing.assert_close(
        multilinear(draw(5, 3), draw(5, 2)),
        torch.stack([torch.kron(b, a) for a, b in zip(draw(5, 3), draw(5, 2), strict=True)]),
    )
    assert torch.equal(multilinear(f, torch.ones(1, 1)), f), "with one class it would be DANN"


def test_the_randomized_map_keeps_inner_products_in_expectation():
    f, g, m = draw(2, 3), draw(2, 4, seed=2).softmax(1), 200_000
    found = randomized_multilinear(f, g, draw(m, 3, seed=3), draw(m, 4, seed=4))
    whole = multilinear(f, g)
    torch.testing.assert_close(found @ found.T, whole @ whole.T, atol=0.05, rtol=0)
    hand = randomized_multilinear(
        torch.tensor([[1.0, 2]]),
        torch.tensor([[3.0, 4]]),
        torch.tensor([[1.0, 1], [1, -1]]),
        torch.tensor([[1.0, 0], [0, 2]]),
    )
    torch.testing.assert_close(hand, torch.tensor([[3 * 3.0, -1 * 8.0]]) / math.sqrt(2))


def test_entropy_and_information_by_a_double_loop():
    p = draw(5, 4).softmax(1)
    rows = [-sum(x * math.log(x) for x in row) for row in p.tolist()]
    assert entropy(draw(5, 4)).tolist() == pytest.approx(rows)
    mean = p.mean(0)
    mutual = sum(kl_div(mean.log(), row, reduction="sum").item() for row in p) / 5  # I = E KL(p(y|x) || p(y))
    joint = sum(
        p[i, k].item() / 5 * math.log(p[i, k].item() / 5 / (mean[k].item() / 5)) for i in range(5) for k in range(4)
    )
    assert information(draw(5, 4)).item() == pytest.approx(mutual) == pytest.approx(joint)


def test_information_at_its_bounds_with_finite_gradients():
    certain = (200 * torch.eye(3, dtype=torch.float64)).requires_grad_()
    value = information(certain)
    value.backward()
    assert value.item() == pytest.approx(math.log(3)) and torch.isfinite(certain.grad).all()
    one = torch.zeros(3, 3, dtype=torch.float64)
    one[:, 0] = 200
    assert information(one).item() == pytest.approx(0, abs=1e-12)
    assert information(torch.zeros(4, 3)).item() == pytest.approx(0, abs=1e-6)


def test_certain_predictions_count_more():
    logits = torch.tensor([[200.0, 0], [0, 0]], dtype=torch.float64, requires_grad=True)
    found = certainty_weights(logits)
    assert not found.requires_grad
    assert found.tolist() == pytest.approx([2 / 1.75, 1.5 / 1.75])  # 1 + exp(0) and 1 + exp(-log 2), over their mean


def confusion_by_loops(logits, temperature):
    b, k = logits.shape
    p = [[math.exp(x / temperature) for x in row] for row in logits.tolist()]
    p = [[x / sum(row) for x in row] for row in p]
    w = [1 + math.exp(sum(x * math.log(x) for x in row)) for row in p]
    w = [b * x / sum(w) for x in w]
    c = [[sum(p[i][j] * w[i] * p[i][m] for i in range(b)) for m in range(k)] for j in range(k)]
    return sum(c[j][m] / sum(c[j]) for j in range(k) for m in range(k) if m != j) / k


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_class_confusion_by_loops(temperature):
    assert class_confusion(3 * draw(6, 4), temperature).item() == pytest.approx(
        confusion_by_loops(3 * draw(6, 4), temperature)
    )


def test_class_confusion_at_its_bounds():
    assert class_confusion(200 * torch.eye(3).repeat(2, 1), 1.0).item() == pytest.approx(0, abs=1e-6)
    assert class_confusion(torch.zeros(5, 4), 2.5).item() == pytest.approx(3 / 4)


def test_the_gradient_of_class_confusion_is_that_with_its_weights_held():
    x, weights = (3 * draw(6, 4)).requires_grad_(), certainty_weights(3 * draw(6, 4) / 2.5)

    def held(z):
        p = (z / 2.5).softmax(1)
        c = torch.einsum("ij,i,ik->jk", p, weights, p)
        return 1 - (c.diagonal() / c.sum(1)).mean()

    assert torch.autograd.gradcheck(held, (x,))
    (expected,) = torch.autograd.grad(held(x), x)
    torch.testing.assert_close(torch.autograd.grad(class_confusion(x, 2.5), x)[0], expected)


def test_margin_disparity_by_hand():
    """f' gives (0.8, 0.2) and (0.5, 0.5) on the source, (0.9, 0.1) on the target; f says class 0, 1 and 0."""
    source, target = torch.tensor([[0.8, 0.2], [0.5, 0.5]]).log(), torch.tensor([[0.9, 0.1]]).log()
    labels, one = torch.tensor([0, 1]), torch.tensor([0])
    expected = -4 * (math.log(0.8) + math.log(0.5)) / 2 - math.log(0.1)
    assert margin_disparity(source, labels, target, one, 4.0).item() == pytest.approx(expected, rel=1e-5)
    weighed = -4 * (0.5 * math.log(0.8) + 1.5 * math.log(0.5)) / 2 - math.log(0.1)
    found = margin_disparity(source, labels, target, one, 4.0, torch.tensor([0.5, 1.5]))
    assert found.item() == pytest.approx(weighed, rel=1e-5)


def test_what_is_left_of_a_certain_class_is_kept_to_the_last_digit():
    found = log_rest(torch.tensor([[300.0, 0.0, 1.0]]), torch.tensor([0]))
    assert found.item() == pytest.approx(math.log(1 + math.e) - 300, rel=1e-6)
    logits, labels = draw(5, 4), torch.tensor([0, 1, 2, 3, 0])
    torch.testing.assert_close(log_rest(logits, labels), (1 - logits.softmax(1).gather(1, labels[:, None])[:, 0]).log())


def test_margin_disparity_is_least_where_the_optimum_says():
    """Equation 31 and what follows it: where both domains have one density, the best f' says y with chance margin / (1 + margin)."""
    logit = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    labels, optimizer = torch.tensor([0]), torch.optim.LBFGS([logit], max_iter=100)

    def closure():
        optimizer.zero_grad()
        pair = torch.cat([logit, torch.zeros_like(logit)], 1)
        value = margin_disparity(pair, labels, pair, labels, 4.0)
        value.backward()
        return value

    optimizer.step(closure)
    assert torch.sigmoid(logit).item() == pytest.approx(0.8, abs=1e-4)


def test_classifier_discrepancy_by_hand():
    first, second = (
        torch.tensor([[0.7, 0.2, 0.1], [1 / 3] * 3]).log(),
        torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]]).log(),
    )
    assert classifier_discrepancy(first, second).item() == pytest.approx((1.2 / 3 + (1 / 3) / 3) / 2, rel=1e-5)
    assert classifier_discrepancy(first, first).item() == 0


@pytest.mark.parametrize(
    "value",
    [
        lambda x: entropy(x).mean(),
        information,
        lambda x: log_rest(x, torch.tensor([0, 1, 2])).mean(),
        lambda x: classifier_discrepancy(x, x.flip(0) * 2),
        lambda x: domain_loss(x, x.flip(0) * 2),
    ],
)  # fmt: skip
def test_gradients_by_finite_differences(value):
    assert torch.autograd.gradcheck(value, (draw(3, 3).requires_grad_(),), atol=1e-6)
