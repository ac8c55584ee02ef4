"""Several tasks on one backbone: what an update is, against one task alone and against autograd."""

import copy

import numpy as np
import pytest
import torch
from tests.training.multitask_problem import WIDTH, classes, hidden, rows, state, together, values
from torch import nn

from headstart.data.rows import ArrayRows
from headstart.errors import HandshakeError
from headstart.evaluation.gain import paired_gain
from headstart.evaluation.multitask import target_verdict
from headstart.evaluation.scoring.scoring import Metric
from headstart.functional.pcgrad import pcgrad
from headstart.training import loop
from headstart.training.balance import BALANCES, Equal, Gradients
from headstart.training.multitask import beside, interleaved


def two_tasks(n=64):
    X, Z = rows(n, 1), rows(n, 2)
    return classes("a", X, (hidden(X)[:, 0] > 0).astype(int)), values("b", Z, hidden(Z)[:, 1])


def same(first, second):
    return all(torch.equal(first[key], second[key]) for key in first)


def test_a_task_of_weight_zero_changes_nothing():
    a, b = two_tasks()
    alone = together([a], grad_clip=None).models["a"]

    def with_weight(value):
        return together([a, b], grad_clip=None, weights={"b": value}).models["a"]

    assert same(state(alone), state(with_weight(0.0)))
    assert not same(state(alone), state(with_weight(1.0)))


def test_two_equal_tasks_give_the_gradient_of_one():
    a, _ = two_tasks()
    twin = copy.copy(a)
    object.__setattr__(twin, "name", "twin")
    alone = together([a], grad_clip=None).models["a"]
    for balance in ("equal", "gradnorm", "pcgrad"):
        found = together([a, twin], grad_clip=None, balance=balance).models
        for key, value in state(alone).items():
            torch.testing.assert_close(state(found["a"])[key], value, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(state(found["twin"])[key], value, atol=1e-5, rtol=1e-4)


def test_one_parameter_set_and_statistics_of_each_tasks_own_inputs():
    a, b = two_tasks()
    found = together([a, b]).models
    one, other = found["a"].backbone, found["b"].backbone
    assert all(p is q for p, q in zip(one.parameters(), other.parameters(), strict=True))
    means = [dict(m.named_buffers())["1.running_mean"] for m in (one, other)]
    assert not torch.equal(*means)
    assert not found["a"].training
    plain = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    copied = beside(plain)
    copied[1].running_mean.fill_(9)
    assert plain[1].running_mean.abs().max() == 0
    assert copied[0].weight is plain[0].weight


def watched(kind):
    """A balance that compares every gradient it leaves with autograd: the shared one is the mean, each head has its own."""

    class Spy(kind):
        def gradient(self, window, run):
            model = {name: part.model for name, part in zip(self.names, self.parts, strict=True)}
            copies = {name: copy.deepcopy(one) for name, one in model.items()}
            values = super().gradient(window, run)
            for name, part, batch in zip(self.names, self.parts, window, strict=True):
                part.task.loss(copies[name](batch.inputs), batch.targets).backward()
            for key, p in model["a"].backbone.named_parameters():
                by_hand = [dict(copies[name].backbone.named_parameters())[key].grad for name in self.names]
                torch.testing.assert_close(p.grad, torch.stack(by_hand).mean(0))
            for name in self.names:
                torch.testing.assert_close(model[name].head.weight.grad, copies[name].head.weight.grad)
            return values

    return Spy


class Forgets(Equal):
    """A fault: the second task has no part in the shared gradient."""

    def factors(self, found):
        return super().factors(found) * torch.tensor([2.0, 0.0])


class Leaks(Equal):
    """A fault: the gradient of one task is still there when the next one is taken."""

    def gradient(self, window, run):
        def uncleared(part, batches):
            left = [None if p.grad is None else p.grad.clone() for p in self.seen]
            values = run(part, batches)
            for p, g in zip(self.shared, left, strict=False):
                p.grad = p.grad + g
            self.seen = [torch.nn.Parameter(p.detach().clone()) for p in self.shared]
            for kept, p in zip(self.seen, self.shared, strict=True):
                kept.grad = p.grad.clone()
            return values

        self.seen = []
        return super().gradient(window, uncleared)


@pytest.mark.parametrize(("kind", "right"), [(Equal, True), (Forgets, False), (Leaks, False)])
def test_the_joint_gradient_is_that_of_autograd_by_hand(kind, right, monkeypatch):
    monkeypatch.setitem(BALANCES, "watched", watched(kind))
    if right:
        together([*two_tasks()], balance="watched", epochs=1, updates=3)
    else:
        with pytest.raises(AssertionError, match="not close"):
            together([*two_tasks()], balance="watched", epochs=1, updates=3)


def test_what_the_balances_say_and_keep():
    a, b = two_tasks()
    for balance in ("equal", "uncertainty", "gradnorm", "pcgrad"):
        found = together([a, b], balance=balance, epochs=3)
        told = found.factors
        assert set(told) == {"a", "b"}
        row = found.fitted.history[-1]
        assert {"train_loss", "loss_a", "loss_b", "weight_a", "weight_b"} <= set(row)
        assert row["loss_a"] < found.fitted.history[0]["loss_a"]
        if balance == "gradnorm":
            assert sum(told.values()) == pytest.approx(2)
            assert told["a"] != told["b"]
        if balance == "uncertainty":  # half a squared error, and a whole cross-entropy
            assert told["b"] < 0.6 < 0.9 < told["a"]
    with pytest.raises(TypeError):
        together([a], balance="equal", nonsense=1)


def test_uncertainty_learns_the_variance_that_the_closed_form_says():
    """At losses that stay where they are, the learned log-variances go to log(2 c L)."""
    losses = torch.tensor([0.4, 3.0], dtype=torch.float64)
    a, b = two_tasks()
    made = {}

    class Held(BALANCES["uncertainty"]):
        def factors(self, found):
            made["balance"] = self
            return super().factors(Gradients(losses, found.shared, found.last))

    BALANCES["held"] = Held
    try:
        together([a, b], balance="held", epochs=8, updates=20, lr=0.05, grad_clip=None)
    finally:
        del BALANCES["held"]
    found = made["balance"].log_variances.detach().double()
    torch.testing.assert_close(found, torch.log(2 * torch.tensor([1.0, 0.5]) * losses), atol=0.05, rtol=0)


def test_pcgrad_leaves_no_conflict_in_the_shared_weights():
    g = [[torch.tensor([1.0, 0.0]), None], [torch.tensor([-1.0, 1.0]), torch.tensor([2.0])]]
    found = Gradients(torch.ones(2), g, [0])
    torch.testing.assert_close(found.products(), torch.tensor([[1.0, -1.0], [-1.0, 6.0]], dtype=torch.float64))
    torch.testing.assert_close(found.norms(), torch.tensor([1.0, 2**0.5], dtype=torch.float64))
    factors = pcgrad(found.products(), [[1], [0]]).sum(0)
    joint = torch.cat([torch.tensor([factors[0] - factors[1], factors[1]]), factors[1:] * 2])
    one, other = torch.tensor([1.0, 0, 0]), torch.tensor([-1.0, 1, 2])
    assert joint.double() @ one.double() >= -1e-12
    assert joint.double() @ other.double() >= -1e-12
    assert (one + other).double() @ one.double() == 0  # the plain sum would not move the first task at all


def test_a_task_sees_the_same_batches_whoever_is_beside_it_and_all_of_its_inputs():
    a, b = two_tasks(50)
    alone = list(interleaved([a], 7, 16, 0)(2))
    beside_b = list(interleaved([a, b], 7, 16, 0)(2))[::2]
    assert all(torch.equal(x.inputs, y.inputs) for x, y in zip(alone, beside_b, strict=True))
    first = torch.cat([batch.index for batch in list(interleaved([a], 7, 16, 0)(0))[:4]])[:50]
    assert sorted(first.tolist()) == list(range(50))


@pytest.mark.parametrize("balance", ["equal", "uncertainty", "gradnorm", "pcgrad"])
def test_an_interrupted_training_ends_in_the_same_weights(balance, tmp_path, monkeypatch):
    a, b = two_tasks()
    X = rows(40, 5)
    a = classes("a", a.rows.X.numpy(), a.labels, valid=(X, (hidden(X)[:, 0] > 0).astype(int)))
    whole = together([a, b], balance=balance)

    class Stop(Exception):
        pass

    save, saved = loop.checkpoint.save_last, []

    def stop_after_two(folder, content):
        save(folder, content)
        saved.append(1)
        if len(saved) == 2:
            raise Stop

    monkeypatch.setattr(loop.checkpoint, "save_last", stop_after_two)
    with pytest.raises(Stop):
        together([a, b], balance=balance, folder=tmp_path)
    monkeypatch.setattr(loop.checkpoint, "save_last", save)
    again = together([a, b], balance=balance, folder=tmp_path)
    for name in "ab":
        assert same(state(whole.models[name]), state(again.models[name]))
    assert [r["train_loss"] for r in whole.fitted.history] == [r["train_loss"] for r in again.fitted.history]
    finished = together([a, b], balance=balance, folder=tmp_path)  # nothing is left to train, and both heads are there
    assert same(state(finished.models["b"]), state(whole.models["b"]))


def test_the_epoch_is_chosen_by_the_relative_loss_of_those_that_have_a_say():
    X, V = rows(48, 1), rows(200, 7)
    y, w = (hidden(X)[:, 0] > 0).astype(int), (hidden(V)[:, 0] > 0).astype(int)
    a, (_, b) = classes("a", X, y, valid=(V, w)), two_tasks()
    history = together([a, b], epochs=12, lr=0.03).fitted
    row = history.history[history.best_epoch - 1]
    assert row["valid_relative_loss"] == min(r["valid_relative_loss"] for r in history.history)
    assert row["valid_relative_loss"] == pytest.approx(row["valid_loss_a"] / np.log(2), rel=1e-5)
    assert "relative loss" in history.criterion


def test_what_several_tasks_cannot_share_is_refused():
    a, b = two_tasks()
    for strategy, words in (
        ("finetune+bss", "terms speak of one task"),
        ("probe", "gradient steps"),
        ("lpft", "gradient steps"),
        ("head", "share nothing"),
        ("lora", "adapters"),
    ):
        with pytest.raises(HandshakeError, match=words):
            together([a, b], strategy=strategy)
    with pytest.raises(HandshakeError, match="finds the weights"):
        together([a, b], balance="pcgrad", weights={"a": 2.0})
    tiny = classes("one", np.ones((1, WIDTH), dtype=np.float32), np.array([1]))
    with pytest.raises(HandshakeError, match="a batch of one input"):
        together([a, tiny])


def gains(problem, seeds=5, **options):
    """The gain of the task beside the other over itself alone, one a seed; and of the last one what the report says."""
    found, said = [], None
    for seed in range(seeds):
        a, b, X, y = problem(seed)
        alone, both = (together(m, seed=seed, **options).predict(a, ArrayRows(X)) for m in ([a], [a, b]))
        gain = paired_gain(both, alone, y)
        found.append(gain["value"])
        said = target_verdict("a", ["b"], gain, "accuracy", Metric())
    return np.array(found), said


def shared_structure(seed):
    """32 labels of the target; 1500 of another task that reads the same hidden directions."""
    X, Z, T = rows(32, 10 + seed), rows(1500, 20 + seed), rows(1000, 30 + seed)
    g = hidden(Z, seed)
    y, t = ((hidden(Q, seed)[:, 0] + hidden(Q, seed)[:, 1] > 0).astype(int) for Q in (X, T))
    return classes("a", X, y), classes("b", Z, 2 * (g[:, 0] > 0) + (g[:, 1] > 0)), T, t


def no_room_for_both(seed):
    """400 labels of the target; another task that needs an orthogonal direction, and one hidden unit for both."""
    X, Z, T = rows(400, 10 + seed), rows(1000, 20 + seed), rows(1000, 30 + seed)
    d, e = np.linalg.qr(np.random.default_rng([seed, 5]).normal(size=(WIDTH, 2)))[0].T
    return (
        classes("a", X, (X @ d > 0).astype(int)),
        classes("b", Z, (Z @ e > 0).astype(int)),
        T,
        (T @ d > 0).astype(int),
    )


@pytest.mark.slow
@pytest.mark.parametrize("balance", ["equal", "uncertainty", "gradnorm", "pcgrad"])
def test_an_auxiliary_task_helps_where_it_shares_structure_and_labels_are_few(balance):
    found, said = gains(shared_structure, width=(32,), lr=0.01, updates=20, epochs=6, balance=balance)
    error = found.std(ddof=1) / np.sqrt(len(found))
    assert (
        found.mean() - 2.776 * error > 0.03
    )  # the 95 % interval of the mean over 5 seeds, t with 4 degrees of freedom
    assert said["level"] == "helped"
    assert "helped a" in said["why"]


@pytest.mark.slow
def test_it_hurts_where_there_is_no_room_for_both_and_the_verdict_says_so():
    found, said = gains(no_room_for_both, width=(1,), lr=0.02, updates=20, epochs=6)
    assert found.mean() < -0.1
    assert (found < 0.01).all()
    assert said["level"] == "hurt"
    assert said["negative_transfer"] is True
    assert said["why"].startswith("Negative transfer: training beside b hurt a: ")
    assert any("pcgrad" in line for line in said["try"])
