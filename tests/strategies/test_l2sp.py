"""L2-SP (Li et al. 2018): zero at the start, gradient 2 * weight * (theta - theta_s)."""

import torch
from torch import nn

from headstart.functional.l2sp import squared_distance
from headstart.strategies.terms.l2sp import L2SP
from headstart.strategies.terms.term import Start
from headstart.tasks.classification import Classification
from headstart.tasks.task import Model


def small_model() -> Model:
    torch.manual_seed(0)
    return Model(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), nn.Linear(2, 2))


def begin(model: Model) -> Start:
    return Start(model, [], Classification(("a", "b")), list, torch.device("cpu"), 0)


def test_zero_at_the_start():
    model = small_model()
    assert L2SP(weight=0.7, head_weight=0.0).bind(begin(model))(None).item() == 0.0


def test_gradient_is_two_lambda_times_the_way_gone():
    model = small_model()
    before = [p.detach().clone() for p in model.backbone.parameters()]
    penalty = L2SP(weight=0.7, head_weight=0.0).bind(begin(model))
    with torch.no_grad():
        for p in model.backbone.parameters():
            p.add_(torch.randn_like(p))
    penalty(None).backward()
    for p, start in zip(model.backbone.parameters(), before, strict=True):
        torch.testing.assert_close(p.grad, 2 * 0.7 * (p.detach() - start))


def test_head_is_drawn_to_zero_not_to_its_start():
    model = small_model()
    L2SP(weight=0.7, head_weight=0.3).bind(begin(model))(None).backward()
    torch.testing.assert_close(model.head.weight.grad, 2 * 0.3 * model.head.weight.detach())


def test_frozen_layers_are_not_anchored():
    model = small_model()
    model.backbone[0].requires_grad_(False)
    penalty = L2SP(weight=1.0, head_weight=0.0).bind(begin(model))
    with torch.no_grad():
        model.backbone[0].weight.add_(1.0)
    assert penalty(None).item() == 0.0


def test_value_against_finite_differences():
    p = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    a = torch.randn(3, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: squared_distance([x], [a]), (p,))
