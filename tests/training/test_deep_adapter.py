"""Two domains on the one loop: batches, hooks of terms, steps of procedures, and the estimator."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from sklearn.base import clone

from headstart.data.batch import Batch
from headstart.data.rows import ArrayRows
from headstart.errors import DataError, HandshakeError
from headstart.functional.weighted import weighted_mean
from headstart.sources.bottleneck import on_rows
from headstart.strategies.grammar import parse_strategy
from headstart.strategies.procedures.procedure import Procedure, Step, task_loss
from headstart.strategies.terms.term import Penalty, Term
from headstart.tasks.classification import Classification
from headstart.training.adapt import adapt
from headstart.training.deep_adapter import DeepAdapter
from headstart.training.domains import DomainBatches, Labelled, places
from headstart.training.optim import Optimisation

CPU = torch.device("cpu")


def blobs(n=90, d=4, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return (rng.normal(0, 0.6, (n, d)) + 3 * np.eye(3, d)[y] + shift).astype(np.float32), y


def test_an_endless_stream_shows_all_before_any_comes_again():
    whole = places(7, 0, 35, [1])
    assert all(sorted(part) == list(range(7)) for part in whole.reshape(5, 7))
    np.testing.assert_array_equal(places(7, 10, 9, [1]), whole[10:19])
    assert not np.array_equal(whole[:7], whole[7:14])


def test_batches_share_the_domains_evenly_and_repeat_for_an_epoch():
    X, y = blobs()
    domain = np.repeat([0, 1, 2], [60, 20, 10])
    weights = np.linspace(1, 3, 90)
    batches = DomainBatches(Labelled(ArrayRows(X), y, domain, weights), ArrayRows(X[:5] + 9), 12, seed=0)
    found = list(batches(0))
    assert len(found) == batches.steps == 7
    for batch in found:
        assert torch.bincount(batch.domain).tolist() == [4, 4, 4]
        assert torch.equal(batch.inputs, torch.as_tensor(X)[batch.index])
        assert torch.equal(batch.targets, torch.as_tensor(y)[batch.index])
        torch.testing.assert_close(batch.weights, torch.as_tensor(weights / weights.mean()).float()[batch.index])
        assert torch.equal(batch.target, torch.as_tensor(X[:5] + 9)[batch.target_index]) and len(batch.target) == 5
    for again, batch in zip(batches(0), found, strict=True):
        assert torch.equal(again.index, batch.index) and torch.equal(again.target_index, batch.target_index)
    assert not torch.equal(next(iter(batches(1))).index, found[0].index)


def test_views_are_of_the_same_rows():
    X, y = blobs()
    for batch in DomainBatches(Labelled(ArrayRows(X), y), ArrayRows(X), 30, seed=0, views=True)(0):
        assert 0 < (batch.weak - batch.target).abs().mean() < (batch.strong - batch.target).abs().mean()


def test_domains_that_do_not_go_together():
    X, y = blobs()
    with pytest.raises(DataError, match=r"inputs of different shapes: got '\(4,\) and \(3,\)'"):
        DomainBatches(Labelled(ArrayRows(X), y), ArrayRows(X[:, :3]), 12, seed=0)
    with pytest.raises(DataError, match="a domain needs two inputs at least"):
        DomainBatches(Labelled(ArrayRows(X), y), ArrayRows(X[:1]), 12, seed=0)
    with pytest.raises(DataError, match="different shapes"):
        ArrayRows(X).join([ArrayRows(X[:, :2])])


class Watch(Penalty):
    """Counts its hooks; weighs by class; adds the squared mean distance of the two domains."""

    def __init__(self, weight):
        super().__init__()
        self.weight, self.begun, self.steps = weight, [], 0

    def weigh(self, seen):
        return 1.0 + seen.batch.targets.float()

    def begin(self, model, progress):
        assert model.training
        self.begun.append(progress)

    def after_step(self, model):
        self.steps += 1

    def said(self):
        return {"steps": self.steps}

    def forward(self, seen):
        return self.weight * (seen.features.mean(0) - seen.target_features.mean(0)).square().sum()


@dataclass(frozen=True)
class Watching(Term):
    weight: float = 1.0
    name = "watch"
    needs = frozenset({"target_stream"})

    def bind(self, start):
        return Watch(self.weight)

    def describe(self):
        return "watch"


def run(terms=(), procedure=None, epochs=3, folder=None, target=True, seed=0, steps=None):
    X, y = blobs()
    torch.manual_seed(1)
    how = replace(parse_strategy("finetune"), terms=tuple(terms))
    if procedure:
        how = replace(how, procedure=procedure)
    rows = ArrayRows(blobs(seed=1, shift=1.0)[0]) if target else None
    return adapt(
        on_rows(4, (8,)), how, Classification(("a", "b", "c")), Labelled(ArrayRows(X), y), rows, Optimisation(epochs, 0.01),
        batch_size=30, device=CPU, seed=seed, folder=folder,
    )  # fmt: skip


def test_hooks_are_called_and_what_a_term_says_is_kept():
    fitted = run([Watching()])
    assert fitted.extra["terms"] == {"watch": {"steps": 9}}
    assert "watch" in fitted.history[0]


def test_a_term_that_compares_domains_is_refused_where_there_is_one():
    with pytest.raises(
        HandshakeError, match="term 'watch' compares the source with a second domain, but there is none"
    ):
        run([Watching()], target=False)


def test_the_joint_pass_cuts_the_two_domains_apart_and_weighs():
    torch.manual_seed(0)
    task, how = Classification(("a", "b", "c")), Procedure()
    from headstart.strategies.terms.term import Start
    from headstart.tasks.task import Model

    model = Model(torch.nn.Linear(4, 5), torch.nn.Linear(5, 3))
    x, u, y = torch.randn(6, 4), torch.randn(2, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    start = Start(model, [], task, list, CPU, 0)
    batch = Batch(x, y, target=u, weights=torch.tensor([1.0, 1, 1, 2, 2, 2]))
    seen = how.forward(model, batch, {"watch": Watch(1.0)}, start, 0.0)
    torch.testing.assert_close(seen.features, model.backbone(x))
    torch.testing.assert_close(seen.target_features, model.backbone(u))
    torch.testing.assert_close(seen.target_outputs, model.head(model.backbone(u)))
    torch.testing.assert_close(seen.weights, torch.tensor([1.0, 2, 3, 2, 4, 6]))
    each = torch.nn.functional.cross_entropy(seen.outputs, y, reduction="none")
    torch.testing.assert_close(task_loss(task, seen), (each * seen.weights).sum() / 6)
    assert weighted_mean(each, None) == each.mean()


class Parts(Procedure):
    """Two steps: the head alone, then the backbone alone."""

    def steps(self, progress):
        return (Step("head", frozenset({"head"})), Step("body", frozenset({"backbone"})))

    def losses(self, model, task, batch, penalties, start, progress, step=""):
        found = super().losses(model, task, batch, penalties, start, progress)
        self.seen.append((step, *(next(part.parameters()).detach().clone() for part in (model.backbone, model.head))))
        return {f"{step}_loss": found["loss"]} if step == "body" else found


def test_each_step_moves_what_it_says_alone():
    how = Parts()
    how.seen = []
    fitted = run(procedure=how, epochs=1)
    assert [name for name, *_ in how.seen] == ["head", "body"] * 3
    for (_, body, head), (_, later_body, later_head) in zip(how.seen[::2], how.seen[1::2], strict=True):
        assert torch.equal(body, later_body) and not torch.equal(head, later_head)
    for (_, body, head), (_, later_body, later_head) in zip(how.seen[1::2], how.seen[2::2], strict=False):
        assert not torch.equal(body, later_body) and torch.equal(head, later_head)
    assert {"train_loss", "body_loss"} <= set(fitted.history[0])


def test_the_estimator_learns_repeats_and_clones():
    X, y = blobs()
    names = np.array(["one", "three", "two"])
    Xt, yt = blobs(seed=3)
    model = DeepAdapter("finetune", epochs=20, hidden=(16,))
    fitted = clone(model).fit(X, names[y])
    assert (fitted.predict(Xt) == names[yt]).mean() > 0.95
    assert fitted.predict_proba(Xt).shape == (90, 3) and fitted.transform(Xt).shape == (90, 16)
    np.testing.assert_array_equal(fitted.predict_proba(Xt), model.fit(X, names[y]).predict_proba(Xt))
    np.testing.assert_allclose(fitted.predict_proba(Xt).sum(1), 1, atol=1e-6)


def test_a_few_labels_of_the_target_are_learned_from():
    X, y = blobs()
    Xt = blobs(seed=3)[0]
    turned = (y + 1) % 3  # the target has other names for the classes, so that only its own labels can tell
    few = np.full(90, None, dtype=object)
    few[:30] = turned[:30]
    plain = DeepAdapter("finetune", epochs=20).fit(X, y, X_target=Xt)
    both = DeepAdapter("finetune", epochs=40).fit(X + 5, y, X_target=Xt, y_target=few)
    assert (plain.predict(Xt[30:]) == turned[30:]).mean() < 0.1
    assert (both.predict(Xt[30:]) == turned[30:]).mean() > 0.9


def test_regression():
    rng = np.random.default_rng(0)
    X = rng.normal(0, 1, (200, 3)).astype(np.float32)
    y = X @ [1.0, -2.0, 0.5] + 10
    model = DeepAdapter("finetune", task="regression", epochs=60).fit(X, y)
    assert np.abs(model.predict(X) - y).mean() < 0.3
