"""Ridge regression against scikit-learn: one strength, and the cross-validated choice by brute force."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge as Peer
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from headstart.functional.ridge import fit_ridge
from headstart.training.folds import assign_folds


def problem(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * rng.uniform(0.1, 9, d) + rng.normal(size=d)
    return X, X[:, :3] @ [1.0, -2.0, 0.3] + 5 + rng.normal(size=n)


@pytest.mark.parametrize("shape", [(60, 8), (20, 50)])
def test_one_strength_is_scikit_learns(shape):
    X, y = problem(*shape)
    peer = Peer(alpha=3.0).fit(Z := StandardScaler().fit_transform(X), y)
    ours = fit_ridge(X, y, np.full(len(y), -1), (3.0,))
    np.testing.assert_allclose(X @ ours.weight + ours.bias, peer.predict(Z), rtol=1e-7)
    assert np.isnan(ours.errors).all() and np.isnan(ours.oof).all()


def test_the_strength_is_that_of_a_cross_validation_by_brute_force():
    X, y = problem(50, 30)
    fold = assign_folds(np.zeros(50, dtype=int), folds=5)
    alphas = tuple(np.logspace(-2, 3, 6))
    Z, errors, oof = StandardScaler().fit_transform(X), [], {}
    for alpha in alphas:
        said = np.empty(50)
        for f in range(5):
            said[fold == f] = Peer(alpha=alpha).fit(Z[fold != f], y[fold != f]).predict(Z[fold == f])
        errors.append(np.mean((said - y) ** 2))
        oof[alpha] = said
    ours = fit_ridge(X, y, fold, alphas)
    np.testing.assert_allclose(ours.errors, errors, rtol=1e-6)
    np.testing.assert_allclose(ours.oof, oof[ours.strength], rtol=1e-6)
    cv = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(5)]
    assert ours.strength == RidgeCV(alphas, cv=cv, scoring="neg_mean_squared_error").fit(Z, y).alpha_


def test_a_constant_column_has_no_part():
    X, y = problem(30, 4)
    ours = fit_ridge(np.column_stack([X, np.full(30, 7.0)]), y, np.full(30, -1), (1.0,))
    assert ours.weight[-1] == 0
