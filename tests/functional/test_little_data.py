"""Losses for long tails and wrong labels, and labels for unlabelled images, against independent facts."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from headstart.functional.confident import confident_labels, confident_loss, ramp
from headstart.functional.early_learning import early_learning, moved_targets
from headstart.functional.effective_number import effective_number
from headstart.functional.focal import focal_loss
from headstart.functional.logit_adjustment import adjust
from headstart.functional.small_loss import forget_share, smallest


def logits(n: int = 6, k: int = 4) -> torch.Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


TARGETS = torch.tensor([0, 1, 2, 3, 3, 0])


def test_focal_with_gamma_zero_is_cross_entropy():
    onehot = one_hot(TARGETS, 4).double()
    torch.testing.assert_close(focal_loss(logits(), onehot, 0.0), cross_entropy(logits(), TARGETS, reduction="none"))
    torch.testing.assert_close(focal_loss(logits(), onehot, 1e-9), cross_entropy(logits(), TARGETS, reduction="none"))


def test_focal_is_the_number_of_the_paper():
    """Lin et al., section 3.2: with gamma = 2 an image at p = 0.9 costs 100 times less than with cross-entropy."""
    p = torch.tensor([[0.9, 0.1]], dtype=torch.float64)
    value = focal_loss(p.log(), torch.tensor([[1.0, 0.0]], dtype=torch.float64), 2.0)
    assert value.item() == pytest.approx(-math.log(0.9) / 100)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 3.7])
@pytest.mark.parametrize("soft", [False, True])
def test_focal_gradient_by_finite_differences(gamma, soft):
    targets = torch.softmax(logits().flip(0), 1) if soft else one_hot(TARGETS, 4).double()
    assert torch.autograd.gradcheck(lambda x: focal_loss(x, targets, gamma), (logits().requires_grad_(),))


def test_focal_is_finite_where_the_model_is_certain():
    x = torch.tensor([[200.0, 0.0], [-200.0, 0.0]], requires_grad=True)
    values = focal_loss(x, torch.tensor([[1.0, 0.0], [1.0, 0.0]]), 0.5)
    values.sum().backward()
    assert torch.isfinite(values).all()
    assert torch.isfinite(x.grad).all()
    assert values[1].item() == pytest.approx(200, rel=1e-3)


def test_logit_adjustment_finds_the_balanced_classifier_of_two_gaussians():
    """Shares 0.95 and 0.05, means -1 and 1, variance 1: the balanced log-odds are 2 x, the plain ones 2 x - log 19.

    A linear classifier fitted with the adjusted loss must come to the first, one with plain cross-entropy to the second.
    The expectation is taken on a grid, so that the optimum is known without sampling noise.
    """
    x = torch.linspace(-7, 7, 1401, dtype=torch.float64)
    density = torch.stack([torch.exp(-((x - m) ** 2) / 2) for m in (-1.0, 1.0)], 1)
    prior = torch.tensor([0.95, 0.05], dtype=torch.float64)
    mass = density * prior
    mass = mass / mass.sum()

    def fit(tau: float) -> tuple[float, float]:
        weight = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.LBFGS([weight], max_iter=300, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

        def closure():
            optimiser.zero_grad()
            f = x[:, None] * weight[0] + weight[1]
            loss = -(mass * torch.log_softmax(adjust(f, prior.log(), tau), 1)).sum()
            loss.backward()
            return loss

        optimiser.step(closure)
        slope, offset = (weight[:, 1] - weight[:, 0]).tolist()
        return slope, offset

    assert fit(1.0) == pytest.approx((2.0, 0.0), abs=1e-4)
    assert fit(0.0) == pytest.approx((2.0, -math.log(19)), abs=1e-4)


def test_adjusted_cross_entropy_is_the_form_with_class_ratios():
    """Menon et al., equation 10: log(1 + sum_{k != y} (pi_k / pi_y)^tau exp(f_k - f_y))."""
    prior, tau, f = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64), 0.7, logits()
    ours = cross_entropy(adjust(f, prior.log(), tau), TARGETS, reduction="none")
    for i, y in enumerate(TARGETS.tolist()):
        others = sum((prior[k] / prior[y]) ** tau * torch.exp(f[i, k] - f[i, y]) for k in range(4) if k != y)
        assert ours[i].item() == pytest.approx(math.log(1 + others))


def test_effective_number_by_hand():
    assert effective_number(np.array([1, 2, 3]), 0.9) == pytest.approx([1.0, 1.9, 2.71])  # 1 + 0.9 + 0.81
    assert effective_number(np.array([1, 50, 1000]), 0.0) == pytest.approx([1, 1, 1])
    assert effective_number(np.array([1, 50, 1000]), 1 - 1e-9) == pytest.approx([1, 50, 1000], rel=1e-5)


def test_early_learning_gradient_is_the_one_of_the_paper():
    """Liu et al., lemma 2: d/dx_c log(1 - <p, t>) = p_c / (1 - <p, t>) * sum_k (t_k - t_c) p_k."""
    x = logits().requires_grad_()
    memory = torch.softmax(logits().flip(1), 1)
    p = torch.softmax(x, 1)
    values = early_learning(p, memory)
    assert values[0].item() == pytest.approx(math.log(1 - (p[0] * memory[0]).sum().item()))
    values.sum().backward()
    with torch.no_grad():
        gap = (memory[:, None, :] - memory[:, :, None]) * p[:, None, :]  # image, c, k
        expected = p / (1 - (p * memory).sum(1, keepdim=True)) * gap.sum(2)
    torch.testing.assert_close(x.grad, expected)


def test_early_learning_memory_by_hand():
    memory = torch.tensor([[0.0, 0.0], [0.5, 0.5]])
    p = torch.tensor([[0.8, 0.2], [0.1, 0.9]])
    torch.testing.assert_close(moved_targets(memory, p, 0.7), torch.tensor([[0.24, 0.06], [0.38, 0.62]]))
    sure = early_learning(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    assert sure.item() == pytest.approx(math.log(1e-4), rel=1e-3)


def test_exactly_the_smallest_losses_are_kept():
    rng = torch.Generator().manual_seed(0)
    for n in (1, 5, 8, 31):
        for forget in (0.0, 0.2, 0.4, 0.75, 0.99):
            losses = torch.rand(n, generator=rng)
            mask = smallest(losses, forget)
            count = max(1, n - math.floor(forget * n + 1e-9))
            assert int(mask.sum()) == count
            assert sorted(losses[mask].tolist()) == sorted(losses.tolist())[:count]
    assert smallest(torch.zeros(5), 0.4).tolist() == [True, True, True, False, False]


def test_the_share_to_forget_grows():
    assert [forget_share(0.4, t, 0.5) for t in (0.0, 0.25, 0.5, 0.9)] == pytest.approx([0, 0.2, 0.4, 0.4])
    assert forget_share(0.4, 0.0, 0.0) == 0.4


def test_fixmatch_by_hand():
    weak = torch.log(torch.tensor([[0.97, 0.02, 0.01], [0.5, 0.3, 0.2], [0.01, 0.03, 0.96]]))
    strong = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.9, 0.05, 0.05], [0.2, 0.3, 0.5]]))
    labels, sure = confident_labels(weak, 0.95)
    assert labels.tolist() == [0, 0, 2]
    assert sure.tolist() == [True, False, True]
    assert confident_loss(strong, labels, sure).item() == pytest.approx(2 * math.log(2) / 3)
    assert confident_loss(strong, labels, torch.zeros(3, dtype=torch.bool)).item() == 0.0


def test_no_gradient_flows_through_the_label():
    both = logits(3, 3).requires_grad_()
    labels, sure = confident_labels(both, 0.0)
    assert not labels.requires_grad
    confident_loss(both, labels, sure).backward()
    p = torch.softmax(both.detach(), 1)
    torch.testing.assert_close(both.grad, (p - one_hot(labels, 3)) / 3)


def test_lees_ramp():
    assert [ramp(t, 0.2, 0.6) for t in (0.0, 0.1, 0.2, 0.4, 0.6, 0.9)] == pytest.approx([0, 0, 0, 0.5, 1, 1])
    assert ramp(0.0, 0.0, 0.0) == 1.0
