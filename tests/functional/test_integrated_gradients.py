"""Integrated gradients: closed forms, completeness, and a fault that completeness catches."""

import numpy as np
import pytest
import torch

from headstart.functional.integrated_gradients import integrated_gradients


def test_of_a_linear_function_each_number_has_its_term():
    w, x, start = torch.randn(3, 5), torch.randn(3, 5), torch.randn(3, 5)
    found = integrated_gradients(lambda points: (points * w).sum((1, 2)), x, start)
    assert torch.allclose(found, w * (x - start), atol=1e-6)


def test_of_a_product_both_factors_have_half():
    """int_0^1 d(x1 x2)/dx1 (a x) da = x2 / 2."""
    x = torch.tensor([3.0, 4.0])
    found = integrated_gradients(lambda points: points[:, 0] * points[:, 1], x, torch.zeros(2))
    assert found.tolist() == pytest.approx([6.0, 6.0])


def test_of_a_saturated_function_the_gradient_is_nothing_and_the_share_is_all():
    """The paper's own example: f = 1 - relu(1 - x) at x = 2 has gradient 0, and yet x has raised f from 0 to 1."""
    x = torch.tensor([2.0])
    found = integrated_gradients(lambda p: 1 - torch.relu(1 - p[:, 0]), x, torch.zeros(1), steps=200, at_once=7)
    assert found.item() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("at_once", [1, 5, 16])
def test_completeness_on_a_network(at_once):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.GELU(), torch.nn.Linear(16, 1)).double()
    x, start = torch.randn(6).double(), torch.randn(6).double()

    def f(points):
        return net(points)[:, 0]

    found = integrated_gradients(f, x, start, at_once=at_once)
    rise = (f(x[None]) - f(start[None])).item()
    assert found.sum().item() == pytest.approx(rise, abs=1e-5)
    # the fault: gradient times input, which is what is left of the integral with its one end
    points = x[None].clone().requires_grad_()
    plain = ((x - start) * torch.autograd.grad(f(points).sum(), points)[0][0]).sum().item()
    assert abs(plain - rise) > 1e-2
    # by the rule of rectangles, written out
    a = (np.arange(4000) + 0.5) / 4000
    points = (start + torch.as_tensor(a)[:, None] * (x - start)).requires_grad_()
    rule = (x - start) * torch.autograd.grad(f(points).sum(), points)[0].mean(0)
    assert torch.allclose(found, rule, atol=1e-5)
