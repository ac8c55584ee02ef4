"""Feature selection, several sources, and domains with other columns."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from headstart.adapters import (
    CoOptimalTransport,
    CoupledCCA,
    KernelCCA,
    KernelManifoldAlignment,
    MultiSourceTransport,
    SourceEnsemble,
    TransferFeatureSelector,
    WeightedSources,
)
from headstart.adapters.manifold_alignment import class_laplacians
from headstart.adapters.several_sources import kappa, mixture_weights
from headstart.errors import ArrayError, RecipeError

CENTRES = np.array([[0, 0, 0, 0], [2.5, 0, 1, 0], [0, 2.5, 0, 1]], float)


def drawn(n, rng, shift=0.0):
    y = rng.choice(3, n)
    return rng.standard_normal((n, 4)) + CENTRES[y] + shift, y


def test_columns_that_tell_the_domain_are_left_out():
    rng = np.random.default_rng(0)
    ys, yt = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
    useful = lambda y: rng.standard_normal((len(y), 2)) + 2 * y[:, None]  # noqa: E731
    Xs = np.column_stack([useful(ys), 2 * ys + rng.standard_normal(400), rng.standard_normal((400, 3))])
    Xt = np.column_stack([useful(yt), 6 - 2 * yt + rng.standard_normal(400), rng.standard_normal((400, 3))])
    model = TransferFeatureSelector(2).fit(Xs, ys, X_target=Xt)
    np.testing.assert_array_equal(model.get_support(indices=True), [0, 1])
    assert model.discrepancy_[2] > 0.3
    blind = TransferFeatureSelector(3, penalty=0.0).fit(Xs, ys, X_target=Xt)
    assert 2 in blind.get_support(indices=True)
    chosen = TransferFeatureSelector().fit(Xs, ys, X_target=Xt)
    assert 2 not in chosen.get_support(indices=True)[: chosen.n_features_] or chosen.n_features_ == 6
    assert [size for size, _ in chosen.path_] == sorted(size for size, _ in chosen.path_)
    with pytest.raises(ArrayError):
        TransferFeatureSelector(7).fit(Xs, ys, X_target=Xt)


@pytest.fixture
def four_sources():
    rng = np.random.default_rng(0)
    (A, a), (B, b), (C, c), (D, d) = (
        drawn(300, rng, 0.3),
        drawn(300, rng, [0, 8, 0, 8]),
        drawn(300, rng, -0.2),
        drawn(300, rng, 0.1),
    )
    X, y = np.concatenate([A, B, C, D]), np.concatenate([a, b, (c + 1) % 3, d])
    return X, y, np.repeat(["near", "far", "lies", "fine"], 300), *drawn(400, rng, 0.2)


@pytest.mark.parametrize("kind", [WeightedSources, SourceEnsemble, MultiSourceTransport], ids=lambda k: k.__name__)
def test_a_source_from_elsewhere_gets_no_weight_and_is_named(four_sources, kind):
    X, y, names, Xt, yt = four_sources
    model = kind().fit(X, y, sources=names, X_target=Xt)
    weight = dict(zip(model.source_names_, model.source_weights_, strict=True))
    assert weight["far"] < 0.01
    assert "far" in model.dropped_
    assert sum(weight.values()) == pytest.approx(1)
    pooled = LogisticRegression(max_iter=1000).fit(X, y).score(Xt, yt)
    assert model.score(Xt, yt) > pooled
    with pytest.raises(ArrayError, match="another length"):
        kind().fit(X, y, sources=names[:-1], X_target=Xt)


def test_a_source_with_wrong_labels_is_found_by_what_the_others_say(four_sources):
    X, y, names, Xt, yt = four_sources
    model = SourceEnsemble().fit(X, y, sources=names, X_target=Xt)
    assert set(model.dropped_) == {"far", "lies"}
    assert model.score(Xt, yt) > 0.82


def test_the_weights_of_a_known_mixture_are_recovered():
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((800, 2)) - 2, rng.standard_normal((800, 2)) + 2
    T = np.concatenate([rng.standard_normal((240, 2)) - 2, rng.standard_normal((560, 2)) + 2])
    np.testing.assert_allclose(mixture_weights([A, B], T, 1e-6, 1000, 0), [0.3, 0.7], atol=0.05)
    assert kappa(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), 2) == 1
    assert kappa(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), 2) == 0


def pairs(rng, n=300):
    hidden = rng.standard_normal((n, 2))
    A = hidden @ rng.standard_normal((2, 5)) + 0.3 * rng.standard_normal((n, 5))
    return hidden, A


def test_cca_gives_the_canonical_correlations():
    rng = np.random.default_rng(0)
    hidden, A = pairs(rng)
    B = hidden @ rng.standard_normal((2, 3)) + 0.3 * rng.standard_normal((300, 3))
    model = CoupledCCA(reg=0.0, scale_by_correlation=False)
    Z = model.fit_transform(A, X_target=B)
    W = model.transform(B)
    Qa, Qb = (np.linalg.qr(X - X.mean(0))[0] for X in (A, B))
    want = np.linalg.svd(Qa.T @ Qb, compute_uv=False)
    np.testing.assert_allclose(model.correlations_, want, rtol=1e-8)
    for j in range(3):
        assert np.corrcoef(Z[:, j], W[:, j])[0, 1] == pytest.approx(want[j], rel=1e-8)
    np.testing.assert_allclose(Z.T @ Z / 300, np.eye(3), atol=1e-8)
    with pytest.raises(ArrayError, match="300 source rows, 299 target rows"):
        CoupledCCA().fit(A, X_target=B[:-1])
    with pytest.raises(ArrayError, match="another width"):
        model.transform(B[:, :2])


def test_kernel_cca_carries_labels_over_a_bent_space():
    rng = np.random.default_rng(0)
    A, a = drawn(300, rng)
    T, t = drawn(300, rng)
    W = rng.standard_normal((4, 6))
    bend = lambda X: np.tanh(X @ W * 0.5) + 0.1 * rng.standard_normal((len(X), 6))  # noqa: E731
    model = KernelCCA()
    Z = model.fit_transform(A, X_target=bend(A))
    assert LogisticRegression(max_iter=1000).fit(Z, a).score(model.transform(bend(T)), t) > 0.75


def test_co_transport_couples_columns_that_are_the_same_in_another_order():
    rng = np.random.default_rng(0)
    A = rng.gamma(np.array([0.5, 1, 3, 9]), size=(60, 4)) ** np.array([2, 1, 1, 0.5])
    order = [2, 0, 3, 1]
    model = CoOptimalTransport(standardize=True).fit(A, X_target=A[::-1][:, order])
    coupled = model.column_plan_.argmax(1)
    assert [order[j] for j in coupled] == [0, 1, 2, 3]
    assert model.cost_ == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(model.fit_transform(A, X_target=A[::-1][:, order]), A[:, order], atol=1e-9)


def test_labels_keep_classes_apart_in_co_transport_and_alignment_uses_few():
    rng = np.random.default_rng(0)
    A, a = drawn(200, rng)
    T, t = drawn(300, rng)
    H = T @ rng.standard_normal((4, 12)) + 1.5 * rng.standard_normal((300, 12))
    few = np.concatenate([np.flatnonzero(t == c)[:3] for c in range(3)])
    rest = np.setdiff1d(np.arange(300), few)
    plan = CoOptimalTransport().fit(A, a, X_target=H[few], y_target=t[few]).row_plan_
    assert plan[a[:, None] != t[few][None, :]].sum() < 0.25 * plan.sum()
    model = KernelManifoldAlignment().fit(A, a, X_target=H[few], y_target=t[few], X_unlabeled=H[rest])
    # classes of the source, told by their centres in the common space, are found again among target rows of other columns
    centres = np.array([model.transform_source(A)[a == c].mean(0) for c in range(3)])
    rows = model.transform(H[rest])
    said = ((rows[:, None] - centres[None]) ** 2).sum(2).argmin(1)
    assert (said == t[rest]).mean() > 0.55
    with pytest.raises(ArrayError, match="needs labels of its target rows"):
        KernelManifoldAlignment().fit(A, a, X_target=H[few])
    with pytest.raises(RecipeError):
        KernelManifoldAlignment(mu=2).fit(A, a, X_target=H[few], y_target=t[few])


def test_class_laplacians_are_those_written_out():
    rng = np.random.default_rng(0)
    code, owner, G = rng.integers(0, 3, 20), rng.integers(0, 2, 20), rng.standard_normal((20, 4))
    count = np.array([[((code == c) & (owner == o)).sum() for c in range(3)] for o in (0, 1)])
    w = 1 / count[owner, code]
    same, other = (
        np.outer(w, w) * (code[:, None] == code[None, :]),
        np.outer(w, w) * (code[:, None] != code[None, :]),
    )
    want = [G.T @ (np.diag(W.sum(1)) - W) @ G for W in (same, other)]
    np.testing.assert_allclose(class_laplacians(code, owner, G), want, atol=1e-10)
