"""Ask 13: a learning-rate finder that repeats to the bit, leaves nothing behind, and says when it knows nothing."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from headstart.data.batch import Batch
from headstart.sources.source import Layer
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.terms.term import Start
from headstart.tasks.classification import Classification
from headstart.tasks.task import Model, Task
from headstart.training import lr_range
from headstart.training.lr_range import lr_range_test, smoothed, suggestion
from headstart.training.objective import bind
from headstart.training.optim import Optimisation, make_optimizer, parameter_groups

CPU = torch.device("cpu")
TASK = Classification(("a", "b"))


def network(dropout=0.2):
    """A small network with batch norm and dropout, its layers, images and labels."""
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    rng = np.random.default_rng(0)
    labels = torch.tensor(rng.integers(0, 2, 64))
    images = torch.tensor(rng.normal(0, 1, (64, 3, 6, 6)), dtype=torch.float32) + labels[:, None, None, None] * 0.8
    return Model(net, TASK.head(16), dropout), images, labels


def test(model, images, labels, task=TASK, strategy="finetune", size=16, procedure=None, **options):
    how = parse_strategy(strategy)
    stages = how.tuning.stages([Layer("all", tuple(name for name, _ in model.backbone.named_children()))])
    objective = bind(replace(how, procedure=procedure or how.procedure), stages, Start(model, [], task, list, CPU, 0))

    def batches(epoch):
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(epoch))
        return [Batch(images[i], labels[i], i) for i in order.split(size)]

    steps = options.pop("steps", 40)
    given = Optimisation(**{"epochs": 1, "lr": 5e-4, **options})
    return lr_range_test(objective, batches, given, device=CPU, seed=0, steps=steps)


test.__test__ = False


def random_states():
    return [random.getstate(), *[np.random.get_state()[i] for i in range(3)], torch.get_rng_state()]


def same(a, b):
    return all(
        np.array_equal(np.asarray(x, dtype=object), np.asarray(y, dtype=object)) for x, y in zip(a, b, strict=True)
    )


def assert_nothing_left(strategy="l2sp", **options):
    model, images, labels = network()
    # an optimiser in the middle of its work: its state must stay, too
    how = parse_strategy(strategy)
    objective = bind(how, how.tuning.stages([Layer("all", ("0", "1"))]), Start(model, [], TASK, list, CPU, 0))
    optimizer = make_optimizer(parameter_groups(objective, Optimisation(1, 0.01)), Optimisation(1, 0.01))
    TASK.loss(model(images), labels).backward()
    optimizer.step()
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    grads = [p.grad.clone() for p in model.parameters()]
    kept = [{k: torch.as_tensor(v).clone() for k, v in s.items()} for s in optimizer.state.values()]
    training, states = model.training, random_states()
    test(model, images, labels, strategy=strategy, **options)
    assert same(random_states(), states), "random states"
    assert all(torch.equal(weights[k], v) for k, v in model.state_dict().items()), "weights and batch-norm statistics"
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), grads, strict=True)), "gradients"
    now = list(optimizer.state.values())
    assert all(torch.equal(torch.as_tensor(s[k]), v) for s, old in zip(now, kept, strict=True) for k, v in old.items())
    assert model.training == training


def test_ask_13_two_calls_are_equal_to_the_bit():
    first, second = test(*network()), test(*network())
    assert first.to_dict() == second.to_dict()
    assert len({tuple(run.losses) for run in first.runs}) == 3, "the three runs must be three"


def test_ask_13_the_state_of_the_world_plays_no_part():
    first = test(*network())
    given = network()
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    assert test(*given).to_dict() == first.to_dict()


@pytest.mark.parametrize("options", [{}, {"optimizer": "sgd"}, {"accumulate": 2}], ids=str)
def test_ask_13_nothing_is_left_behind(options):
    assert_nothing_left(**options)


@pytest.mark.parametrize("fault", ["no copy", "no random states"])
def test_ask_13_the_check_sees_a_finder_that_leaves_something(monkeypatch, fault):
    if fault == "no copy":
        monkeypatch.setattr(lr_range.copy, "deepcopy", lambda model: model)
    else:
        monkeypatch.setattr("headstart.training.randomness.Randomness.restore", lambda self: None)
    with pytest.raises(AssertionError):
        assert_nothing_left()


class Squares(Task):
    """Half the mean square of outputs minus targets."""

    name = "squares"
    classes = ("a quantity",)

    @classmethod
    def learn(cls, train_set, options):
        return cls()

    @classmethod
    def restore(cls, classes, state):
        return cls()

    def some_targets(self, n):
        return torch.zeros(n)

    def head(self, width):
        return nn.Linear(width, 1, bias=False)

    def loss(self, outputs, targets):
        return (outputs[:, 0] - targets).square().mean() / 2

    def decode(self, outputs):
        return outputs


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("default", [1e-3, 1e-2, 1e-1])
@pytest.mark.parametrize("largest", [0.5, 8.0])
def test_ask_13_below_the_largest_stable_step_of_a_linear_model(noise, default, largest):
    """Gradient descent on 1/2 |X w - y|^2 / n is stable below 2 / L, L the largest eigenvalue of X'X / n.

    The loss is lowest within half a decade of 2 / L: the sweep takes 8 steps a decade, and the part that grows needs a
    few of them to be seen. A tenth of that lies in [2 / L / 30, 2 / L]; of the end of the sweep
    where that comes first.
    """
    rng = np.random.default_rng(0)
    X = rng.normal(size=(256, 12)) * np.geomspace(1, 0.1, 12)
    X *= np.sqrt(largest / np.linalg.eigvalsh(X.T @ X / 256)[-1])
    y = X @ rng.normal(size=12) + noise * rng.normal(size=256)
    images = torch.tensor(X, dtype=torch.float32).view(256, 3, 2, 2)
    task = Squares()
    head = task.head(12)
    nn.init.zeros_(head.weight)
    found = test(
        Model(nn.Sequential(nn.Flatten()), head), images, torch.tensor(y, dtype=torch.float32), task=task, size=256 if not noise else 64,
        optimizer="sgd", momentum=0.0, weight_decay=0.0, grad_clip=None, head_lr_scale=1.0, lr=default,
    )  # fmt: skip
    assert not found.fell_back
    assert min(2 / largest, 1000 * default) / 30 <= found.lr < 2 / largest


def test_ask_13_the_median_of_three(monkeypatch):
    said = iter([(1e-4, ""), (1e-2, ""), (2e-4, "")])
    monkeypatch.setattr(lr_range, "suggestion", lambda rates, losses: next(said))
    assert test(*network()).lr == 2e-4
    said = iter([(None, "the loss rose"), (1e-2, ""), (None, "the loss rose")])
    found = test(*network())
    assert found.lr == found.default == 5e-4
    assert found.fell_back and "the loss rose" in found.why


def test_ask_13_a_plateau_falls_back_and_says_so():
    model, images, _ = network(dropout=0.0)
    found = test(model, images * 0, torch.arange(64) % 2, size=64, weight_decay=0.0)
    assert (found.lr, found.fell_back) == (5e-4, True)
    assert "never falls" in found.why and "default for adamw" in found.why


def test_ask_13_a_loss_that_diverges_at_once_falls_back_and_says_so():
    model, images, labels = network()
    found = test(model, images * 1e4, labels, optimizer="sgd", grad_clip=None, head_lr_scale=1e6, lr=1.0)
    assert (found.lr, found.fell_back) == (1.0, True)
    assert "diverges at once" in found.why or "lowest at the smallest" in found.why


def test_ask_13_the_curve_is_kept():
    found = test(*network())
    assert [row["step"] for row in found.curve] == list(range(len(found.curve)))
    assert found.curve[0]["lr"] == pytest.approx(5e-6)
    assert found.curve[0]["loss"] == pytest.approx(np.log(2)), "the head starts at zero"
    ratios = [b["lr"] / a["lr"] for a, b in itertools.pairwise(found.curve)]
    assert ratios == pytest.approx([1e5 ** (1 / 39)] * len(ratios))


def test_smoothing_by_hand():
    b = 0.8
    assert smoothed([3.0] * 5) == pytest.approx([3.0] * 5)
    assert smoothed([1.0, 4.0])[1] == pytest.approx((b * 1 + 4) / (b + 1))


def test_the_rule_by_hand():
    rates = np.geomspace(1e-5, 1.0, 40)
    losses = [1.0] * 10 + list(np.linspace(1, 0.2, 15)) + list(np.linspace(0.3, 2, 10))
    low = rates[int(smoothed(losses).argmin())]
    assert suggestion(rates, losses)[0] == pytest.approx(0.1 * low)
    assert suggestion(rates, [1.0] * 40)[0] is None
    assert suggestion(rates, [1.0, 1.1])[0] is None
    assert suggestion(rates, list(np.linspace(1, 3, 40)))[0] is None


def test_too_few_steps_are_refused():
    with pytest.raises(ValueError, match="at least 8"):
        test(*network(), steps=4)
