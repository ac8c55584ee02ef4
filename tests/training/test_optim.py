"""Schedules by hand, groups by hand."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from headstart.sources.source import Layer
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.terms.term import Start
from headstart.tasks.classification import Classification
from headstart.tasks.task import Model
from headstart.training.objective import bind
from headstart.training.optim import Optimisation, make_optimizer, parameter_groups, schedule_factor
from headstart.training.transfer import resolve
from headstart.training.update import lay_out


def factors(total, **options):
    return [schedule_factor(i, total, Optimisation(epochs=1, lr=1, **options)) for i in range(total)]


def test_cosine_with_warmup_by_hand():
    found = factors(10, schedule="cosine", warmup=0.2)
    assert found[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert found[6] == pytest.approx((1 + math.cos(math.pi * 4 / 8)) / 2)
    assert factors(10, schedule="cosine", warmup=2) == found  # from 1 on: a number of steps


def test_onecycle_matches_torch():
    total = 20
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    # the same curve: 6 steps up (30 % of 20), 14 down, one step more that neither takes
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=total + 1, pct_start=7 / 21, cycle_momentum=False
    )
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert factors(total, schedule="onecycle") == pytest.approx(rates)


def test_constant():
    assert factors(5, schedule="constant", warmup=0) == [1.0] * 5


def test_groups_name_rate_and_decay():
    model = Model(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), nn.Linear(3, 2))
    layers = [Layer("a", ("0",)), Layer("b", ("1",))]
    how, start = (
        parse_strategy("finetune"),
        Start(model, layers, Classification(("a", "b")), list, torch.device("cpu"), 0),
    )
    groups = parameter_groups(bind(how, how.tuning.stages(layers), start), Optimisation(epochs=1, lr=0.1))
    found = {g["name"]: (g["lr"], g["weight_decay"]) for g in groups}
    assert found == {
        "a": (0.1, 0.01), "a (no decay)": (0.1, 0.0), "b (no decay)": (0.1, 0.0), "head": (1.0, 0.01), "head (no decay)": (1.0, 0.0),
    }  # fmt: skip
    assert sum(len(g["params"]) for g in groups) == 6
    assert isinstance(make_optimizer(groups, Optimisation(epochs=1, lr=0.1)), torch.optim.AdamW)
    assert isinstance(make_optimizer(groups, Optimisation(epochs=1, lr=0.1, optimizer="sgd")), torch.optim.SGD)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_one_kernel_takes_the_steps_of_the_papers(name):
    torch.manual_seed(0)
    start, gradients = torch.randn(4, 3, dtype=torch.float64), torch.randn(5, 4, 3, dtype=torch.float64)
    parameter = nn.Parameter(start.clone())
    optimizer = make_optimizer([{"params": [parameter], "lr": 0.1, "weight_decay": 0.2}], Optimisation(1, 0.1, name))
    by_hand, m, v = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
    for t, g in enumerate(gradients, 1):
        parameter.grad = g.clone()
        optimizer.step()
        if name == "adamw":
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            by_hand = by_hand * (1 - 0.1 * 0.2) - 0.1 * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        else:
            g = g + 0.2 * by_hand
            m = g if t == 1 else 0.9 * m + g
            by_hand = by_hand - 0.1 * (g + 0.9 * m)
    torch.testing.assert_close(parameter.detach(), by_hand)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_gradients_in_another_memory_order_are_the_same_gradients(name):
    torch.manual_seed(0)
    start, gradient = torch.randn(4, 3, 2, 2), torch.randn(4, 3, 2, 2)
    found = []
    for order in (torch.contiguous_format, torch.channels_last):
        parameter = nn.Parameter(start.clone(memory_format=torch.channels_last))
        optimizer = make_optimizer(
            [{"params": [parameter], "lr": 0.1, "weight_decay": 0.0}], Optimisation(1, 0.1, name)
        )
        for _ in range(2):
            parameter.grad = gradient.clone(memory_format=order)
            lay_out(optimizer)
            optimizer.step()
        found.append(parameter.detach().clone())
    torch.testing.assert_close(*found)


@pytest.mark.parametrize(("width", "rate"), [(1024, 2.8125e-5), (768, 5e-5), (384, 2e-4), (128, 3e-4)])
def test_texts_learn_at_a_rate_by_width(width, rate):
    texts = SimpleNamespace(preprocessing=SimpleNamespace(modality="text"), width=width)
    made = resolve({}, 320, 32, pretrained=True, source=texts)
    assert made.lr == pytest.approx(rate) and made.epochs == 10
    assert resolve({}, 32, 32, pretrained=True, source=texts).epochs == 20
    bare = resolve({}, 320, 32, pretrained=False, source=texts)
    assert bare.lr == 5e-4 and bare.epochs == 20


def test_defaults_aim_for_two_hundred_steps():
    assert resolve({}, 3200, 32, pretrained=True).epochs == 4
    assert resolve({}, 320, 32, pretrained=True).epochs == 20
    assert resolve({}, 32, 32, pretrained=True).epochs == 60
    assert resolve({}, 32, 32, pretrained=False).lr > resolve({}, 32, 32, pretrained=True).lr
    assert resolve({"epochs": 3, "lr": 0.1}, 32, 32, pretrained=True).epochs == 3


def test_slanted_is_the_triangle_of_ulmfit():
    """Equation 3 of Howard and Ruder (2018), written out for 200 steps, cut_frac = 0.1 and ratio = 32."""
    total, cut_frac, ratio = 200, 0.1, 32
    cut = int(total * cut_frac)
    by_hand = []
    for t in range(total):
        p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
        by_hand.append((1 + p * (ratio - 1)) / ratio)
    found = factors(total, schedule="slanted")
    assert found == pytest.approx(by_hand)
    assert max(found) == found[cut] == 1 and found[0] == pytest.approx(1 / 32)
    assert factors(3, schedule="slanted")[:2] == pytest.approx([1 / 32, 1])
