"""Solved heads against scikit-learn, and on problems whose answer is known."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from headstart.evaluation.verification import equal_error_rate, make_pairs
from headstart.tasks.classification import Classification
from headstart.tasks.embedding import Embedding
from headstart.tasks.hierarchical import Hierarchical
from headstart.tasks.multilabel import Multilabel
from headstart.tasks.ordinal import Ordinal
from headstart.tasks.regression import Regression
from headstart.training.heads.catalogue import SOLVERS


def logits(found, X):
    return X @ found.weight.T + found.bias


def assert_solves(weight, bias, peer, C, X, y):
    """Our head has scikit-learn's objective on standardised features, to the solver's tolerance (1e-4 nats an example)."""
    scaler = StandardScaler().fit(X)
    Z = scaler.transform(X)

    def objective(v, b):
        return C * np.log1p(np.exp(-(2 * y - 1) * (Z @ v + b))).sum() + v @ v / 2

    v = weight * scaler.scale_
    ours, theirs = objective(v, bias + weight @ scaler.mean_), objective(peer.coef_[0], peer.intercept_[0])
    assert theirs - 1e-6 <= ours <= theirs + 2e-4 * C * len(y)
    assert objective(0.9 * v, bias + weight @ scaler.mean_) > theirs + 2e-4 * C * len(y), "the test sees a tenth less"


def test_each_label_is_scikit_learns_logistic_regression():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 6)).astype(np.float32) * [1, 5, 0.2, 1, 1, 3]
    labels = (X[:, :3] / [1, 5, 0.2] + rng.normal(size=(90, 3)) > [0, 0.5, 1]).astype(np.float32)
    task = Multilabel(("a", "b", "c"))
    found = SOLVERS["multilabel"](X.astype(np.float32), labels, task, groups=None, seed=0)
    Z = StandardScaler().fit_transform(X)
    from headstart.training.probe import fit_probe

    for k in range(3):
        C = fit_probe(X.astype(np.float32), labels[:, k].astype(int), 2, seed=0).strength
        peer = LogisticRegression(C=C, tol=1e-8, max_iter=5000).fit(Z, labels[:, k])
        assert_solves(found.weight[k], found.bias[k], peer, C, X, labels[:, k])
    assert found.held_out.shape == (90, 3) and np.isfinite(found.held_out).all()
    assert (found.held_out != task.decode(torch.tensor(logits(found, X))).numpy()).any(), "held out, not fitted"


def test_a_label_that_nobody_has_is_a_constant():
    X = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    labels = np.column_stack([X[:, 0] > 0, np.zeros(30), np.ones(30)]).astype(np.float32)
    task = Multilabel(("a", "b", "c"))
    p = task.decode(torch.tensor(logits(SOLVERS["multilabel"](X, labels, task, groups=None, seed=0), X))).numpy()
    assert (p[:, 1] < 1e-6).all() and (p[:, 2] > 1 - 1e-6).all()


def test_regression_comes_back_in_the_unit_of_the_label():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 5)).astype(np.float32)
    y = 1000 + 50 * X[:, 0] - 20 * X[:, 3] + rng.normal(size=120)
    task = Regression(("weight",), center=y.mean(), scale=y.std())
    found = SOLVERS["regression"](X, y, task, groups=None, seed=0)
    said = task.decode(torch.tensor(logits(found, X)))[:, 0].numpy()
    assert np.abs(said - y).mean() < 1.2
    assert found.cross_validated > 0.99 and np.abs(found.held_out[:, 0] - y).mean() < 1.5


def test_ordinal_questions_are_scikit_learns_on_the_images_that_they_are_asked_of():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 4)).astype(np.float32)
    labels = np.digitize(X[:, 0] + 0.3 * rng.normal(size=150), [-0.7, 0.0, 0.8])
    task = Ordinal(("0", "1", "2", "3"))
    found = SOLVERS["ordinal"](X, labels, task, groups=None, seed=0)
    assert found.weight.shape == (3, 4)
    from headstart.training.probe import fit_probe

    asked = labels >= 1
    C = fit_probe(X[asked], (labels[asked] > 1).astype(int), 2, seed=0).strength
    scaler = StandardScaler().fit(X[asked])
    peer = LogisticRegression(C=C, tol=1e-8, max_iter=5000).fit(scaler.transform(X[asked]), labels[asked] > 1)
    assert_solves(found.weight[1], found.bias[1], peer, C, X[asked], labels[asked] > 1)
    p = task.decode(torch.tensor(logits(found, X))).numpy()
    assert (p.argmax(1) == labels).mean() > 0.7


def test_leaves_are_solved_as_classes():
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    X = (rng.normal(size=(3, 4))[labels] + 0.3 * rng.normal(size=(90, 4))).astype(np.float32)
    names = ("a/x", "a/y", "b/z")
    one = SOLVERS["hierarchical"](X, labels, Hierarchical(names), groups=None, seed=0)
    other = SOLVERS["classification"](X, labels, Classification(names), groups=None, seed=0)
    np.testing.assert_array_equal(one.weight, other.weight)


@pytest.mark.parametrize("size", [3, 8])
def test_the_metric_undoes_what_varies_within_identities(size):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(20), 12)
    signal = rng.normal(size=(20, 4))[labels]
    X = np.column_stack([signal, 8 * rng.normal(size=(240, 2))]) + 0.2 * rng.normal(size=(240, 6))
    X = (X @ np.linalg.qr(rng.normal(size=(6, 6)))[0]).astype(np.float32)
    learn = labels < 14
    task = Embedding(tuple(map(str, range(14))), size=size)
    found = SOLVERS["embedding"](X[learn], labels[learn], task, groups=None, seed=0)
    assert found.weight.shape == (size, 6)
    e = task.decode(torch.tensor(logits(found, X[~learn]))).numpy()
    plain = X[~learn] - X[learn].mean(0)
    plain /= np.linalg.norm(plain, axis=1, keepdims=True)
    rates = [equal_error_rate(make_pairs(z, labels[~learn]))[0] for z in (e, plain)]
    assert rates[0] < 0.15 < 0.3 < rates[1], rates
