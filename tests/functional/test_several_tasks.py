"""Weights and gradients of several tasks: closed forms, figures worked by hand, finite differences."""

import pytest
import torch

from headstart.functional.gradnorm import gradnorm_gradient, gradnorm_step, gradnorm_targets
from headstart.functional.pcgrad import pcgrad
from headstart.functional.uncertainty import uncertainty_gradient, uncertainty_loss


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_the_best_variance_is_the_loss_itself_for_a_squared_error_and_twice_it_for_a_cross_entropy():
    losses, shares = numbers(0.3, 2.0, 0.7), numbers(0.5, 0.5, 1.0)
    best = torch.log(2 * shares * losses)
    torch.testing.assert_close(best[:2].exp(), losses[:2])
    torch.testing.assert_close(uncertainty_gradient(losses, best, shares), torch.zeros(3, dtype=torch.float64))
    lowest = uncertainty_loss(losses, best, shares)
    for shift in (-0.3, 0.3):
        for k in range(3):
            assert uncertainty_loss(losses, best + shift * torch.eye(3)[k], shares) > lowest


def test_the_gradient_of_the_log_variances_is_that_of_autograd_and_a_wrong_sign_is_not():
    s = numbers(0.4, -1.0).requires_grad_()
    losses, shares = numbers(0.9, 1.7), numbers(0.5, 1.0)
    uncertainty_loss(losses, s, shares).backward()
    torch.testing.assert_close(uncertainty_gradient(losses, s.detach(), shares), s.grad)
    assert not torch.allclose(uncertainty_gradient(losses, -s.detach(), shares), s.grad)


def test_gradnorm_targets_by_hand():
    # G = (2, 3), mean 2.5; L / L(0) = (0.5, 1), mean 0.75; r = (2/3, 4/3)
    found = gradnorm_targets(numbers(2, 6), numbers(1, 0.5), numbers(1, 3), numbers(2, 3), alpha=1.0)
    torch.testing.assert_close(found, numbers(2.5 * 2 / 3, 2.5 * 4 / 3))
    equal = gradnorm_targets(numbers(2, 6), numbers(1, 0.5), numbers(1, 3), numbers(2, 3), alpha=0.0)
    torch.testing.assert_close(equal, numbers(2.5, 2.5))


def gradnorm_case():
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(4, generator=generator, dtype=torch.float64) + 0.2 for _ in range(4)]


def test_gradnorm_gradient_is_the_finite_difference_with_the_targets_held():
    norms, weights, losses, first = gradnorm_case()
    targets = gradnorm_targets(norms, weights, losses, first, 1.5)
    step = 1e-6

    def value(w):
        return (w * norms - targets).abs().sum()

    found = gradnorm_gradient(norms, weights, losses, first, 1.5)
    by_hand = [(value(weights + step * e) - value(weights - step * e)) / (2 * step) for e in torch.eye(4).double()]
    torch.testing.assert_close(found, torch.stack(by_hand), atol=1e-6, rtol=1e-6)
    # a target that moves with the weights would give another one
    moving = weights.clone().requires_grad_()
    (moving * norms - gradnorm_targets(norms, moving, losses, first, 1.5)).abs().sum().backward()
    assert not torch.allclose(moving.grad, found)


def test_gradnorm_steps_bring_the_norms_to_their_targets_and_keep_the_sum():
    """With alpha 1 the targets have the same sum as the norms, so that all of them can be met; the paper's 1.5 leaves a rest."""
    norms, _, losses, first = gradnorm_case()

    def off(weights):
        return (weights * norms - gradnorm_targets(norms, weights, losses, first, 1.0)).abs().max()

    weights, wrong = torch.ones(2, 4, dtype=torch.float64)
    start = off(weights)
    for _ in range(600):
        weights = gradnorm_step(weights, gradnorm_gradient(norms, weights, losses, first, 1.0), norms, 0.004)
        wrong = gradnorm_step(wrong, -gradnorm_gradient(norms, wrong, losses, first, 1.0), norms, 0.004)
    assert off(weights) < 0.1 * start
    assert weights.sum().item() == pytest.approx(4)
    assert off(wrong) > start  # a fault in the sign drives them apart


def project(g, orders):
    """Algorithm 1 of the paper on the vectors themselves."""
    found = []
    for i, order in enumerate(orders):
        one = g[i].clone()
        for j in order:
            if j != i and one @ g[j] < 0:
                one = one - (one @ g[j]) / (g[j] @ g[j]) * g[j]
        found.append(one)
    return torch.stack(found)


def test_pcgrad_by_hand_on_two_vectors():
    g = torch.tensor([[1.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)
    found = pcgrad(g @ g.T, [[1], [0]]) @ g
    # g1 - <g1, g2> / |g2|^2 g2 = (1, 0) + (1/2)(-1, 1);  g2 - <g2, g1> / |g1|^2 g1 = (-1, 1) + (1, 0)
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.5], [0.0, 1.0]], dtype=torch.float64))


@pytest.mark.parametrize("seed", range(5))
def test_with_two_tasks_no_conflict_is_left_and_what_agrees_stays(seed):
    g = torch.randn(2, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if g[0] @ g[1] > 0:
        g[1] = -g[1]
    found = pcgrad(g @ g.T, [[1], [0]]) @ g
    assert (found[0] @ g[1]).item() == pytest.approx(0, abs=1e-12)
    assert (found[1] @ g[0]).item() == pytest.approx(0, abs=1e-12)
    total = found.sum(0)
    assert total @ g[0] >= 0
    assert total @ g[1] >= 0
    g[1] = -g[1]
    torch.testing.assert_close(pcgrad(g @ g.T, [[1], [0]]), torch.eye(2, dtype=torch.float64))


def test_in_the_span_is_the_same_as_on_the_vectors_and_the_order_matters():
    g = torch.randn(4, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    orders = [[3, 1, 2], [2, 0, 3], [1, 3, 0], [0, 2, 1]]
    torch.testing.assert_close(pcgrad(g @ g.T, orders) @ g, project(g, orders))
    other = [list(reversed(order)) for order in orders]
    assert not torch.allclose(pcgrad(g @ g.T, other) @ g, project(g, orders))
