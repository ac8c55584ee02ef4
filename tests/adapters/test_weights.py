"""Importance weights against generic optimisers, closed forms and densities that are known."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from headstart.adapters import (
    KLIEP,
    KMM,
    RULSIF,
    ULSIF,
    LogisticDensityRatio,
    NearestNeighborWeights,
    ReweightedClassifier,
    ReweightedRegressor,
    effective_sample_size,
)
from headstart.errors import RecipeError
from headstart.functional.box_qp import Dense, accelerated, interior_point, nystroem

ALL = [KMM, KLIEP, ULSIF, RULSIF, LogisticDensityRatio, NearestNeighborWeights]


def shifted(n=400, m=300, d=2, seed=0, spread=0.7):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), rng.standard_normal((m, d)) * spread + 0.7


@pytest.mark.parametrize("seed", range(10))
def test_kmm_is_not_above_a_generic_optimiser(seed):
    rng = np.random.default_rng(seed)
    Xs, Xt = shifted(120, 80, 3, seed)
    B, eps, gamma = rng.choice([1.5, 5.0, 1000.0]), rng.choice([0.0, 0.05, 0.9]), rng.choice([0.05, 0.3, 2.0])
    K = rbf_kernel(Xs, gamma=gamma)
    kappa = 120 * rbf_kernel(Xs, Xt, gamma=gamma).mean(1)
    model = KMM(gamma=gamma, B=B, eps=eps, tol=1e-9).fit(Xs, X_target=Xt)
    w = model.weights_
    assert w.min() >= 0
    assert w.max() <= B + 1e-9
    assert 120 * (1 - eps) - 1e-6 <= w.sum() <= 120 * (1 + eps) + 1e-6
    other = minimize(
        lambda b: (b @ K @ b / 2 - kappa @ b, K @ b - kappa), np.ones(120), jac=True, method="SLSQP", bounds=[(0, B)] * 120,
        constraints=[
            {"type": "ineq", "fun": lambda b: 120 * (1 + eps) - b.sum(), "jac": lambda b: -np.ones(120)},
            {"type": "ineq", "fun": lambda b: b.sum() - 120 * (1 - eps), "jac": lambda b: np.ones(120)},
        ],
        options={"maxiter": 500, "ftol": 1e-12},
    )  # fmt: skip
    reached = w @ K @ w / 2 - kappa @ w
    np.testing.assert_allclose(model.objective_, reached, rtol=1e-9)
    assert reached <= other.fun + 1e-7 * abs(other.fun)
    assert model.gap_ <= 1e-5 * abs(reached)


def test_the_way_for_many_rows_reaches_what_the_exact_one_does():
    Xs, Xt = shifted(600, 500, 20)
    K, kappa = rbf_kernel(Xs), 600 * rbf_kernel(Xs, Xt).mean(1)
    exact = interior_point(Dense(K), kappa, 1000.0, 30.0, 1170.0, 1e-10)
    near = interior_point(nystroem(K, 150), kappa, 1000.0, 30.0, 1170.0, 1e-4)
    assert near.b @ K @ near.b / 2 - kappa @ near.b <= exact.objective + 0.05 * abs(exact.objective)
    quick = accelerated(K, kappa, 1000.0, 30.0, 1170.0, 1e-8)
    assert quick.objective <= exact.objective + 1e-6 * abs(exact.objective)
    assert quick.b.min() >= 0


def test_kliep_is_not_above_a_generic_optimiser():
    Xs, Xt = shifted(150, 100)
    model = KLIEP(gamma=0.5, n_centers=30).fit(Xs, X_target=Xt)
    target, mean = rbf_kernel(Xt, model.centers_, gamma=0.5), rbf_kernel(Xs, model.centers_, gamma=0.5).mean(0)
    other = minimize(
        lambda a: -np.log(np.maximum(target @ a, 1e-300)).mean(), np.full(30, 1 / mean.sum()), method="SLSQP", bounds=[(0, None)] * 30,
        constraints=[{"type": "eq", "fun": lambda a: mean @ a - 1}], options={"maxiter": 1000, "ftol": 1e-12},
    )  # fmt: skip
    assert model.objective_ >= -other.fun - 1e-6
    np.testing.assert_allclose(model.weights_.mean(), 1, rtol=1e-9)


def test_ulsif_is_its_closed_form():
    Xs, Xt = shifted(100, 60)
    model = ULSIF(gamma=0.4, lam=0.1, n_centers=20).fit(Xs, X_target=Xt)
    ks, kt = rbf_kernel(Xs, model.centers_, gamma=0.4), rbf_kernel(Xt, model.centers_, gamma=0.4)
    alpha = np.maximum(np.linalg.solve(ks.T @ ks / 100 + 0.1 * np.eye(20), kt.mean(0)), 0)
    np.testing.assert_allclose(model.weights_, ks @ alpha, rtol=1e-8, atol=1e-10)
    relative = RULSIF(alpha=0.3, gamma=0.4, lam=0.1, n_centers=20).fit(Xs, X_target=Xt)
    H = 0.7 * ks.T @ ks / 100 + 0.3 * kt.T @ kt / 60
    want = ks @ np.maximum(np.linalg.solve(H + 0.1 * np.eye(20), kt.mean(0)), 0)
    np.testing.assert_allclose(relative.weights_, want, rtol=1e-8, atol=1e-10)


def test_the_logistic_ratio_is_that_of_scikit_learn():
    Xs, Xt = shifted(200, 100)
    X, y = np.concatenate([Xs, Xt]), np.r_[np.zeros(200), np.ones(100)]
    scaler = StandardScaler().fit(X)
    other = LogisticRegression(C=0.5, tol=1e-10, max_iter=5000).fit(scaler.transform(X), y)
    p = other.predict_proba(scaler.transform(Xs))
    model = LogisticDensityRatio(C=0.5, max_iter=2000).fit(Xs, X_target=Xt)
    np.testing.assert_allclose(model.weights_, 2 * p[:, 1] / p[:, 0], rtol=1e-4)
    np.testing.assert_allclose(model.predict_weights(Xs), model.weights_, rtol=1e-12)


def test_nearest_neighbour_weights_count_by_hand():
    Xs, Xt = np.array([[0.0], [10.0], [20.0]]), np.array([[1.0], [2.0], [11.0], [4.9]])
    np.testing.assert_allclose(
        NearestNeighborWeights(laplace=False).fit(Xs, X_target=Xt).weights_, np.array([3, 1, 0]) * 3 / 4
    )
    np.testing.assert_allclose(NearestNeighborWeights().fit(Xs, X_target=Xt).weights_, np.array([4, 2, 1]) * 3 / 7)


@pytest.mark.parametrize("kind", ALL, ids=lambda k: k.__name__)
def test_a_known_density_ratio_is_recovered_in_rank(kind):
    Xs, Xt = shifted(600, 600, spread=1.0)
    truth = multivariate_normal([0.7, 0.7], np.eye(2)).pdf(Xs) / multivariate_normal([0, 0], np.eye(2)).pdf(Xs)
    model = (kind(laplace=False) if kind is NearestNeighborWeights else kind()).fit(Xs, X_target=Xt)
    if kind not in (KMM, NearestNeighborWeights):  # their weights match means and counts, and are noisy row by row
        assert spearmanr(model.weights_, truth).statistic > 0.8
    weighted, plain = (model.weights_ @ Xs / model.weights_.sum()), Xs.mean(0)
    assert np.linalg.norm(weighted - 0.7) < 0.5 * np.linalg.norm(plain - 0.7)
    assert 1 <= model.effective_sample_size_ < 600


@pytest.mark.parametrize("kind", ALL, ids=lambda k: k.__name__)
def test_weights_are_clipped_only_when_asked(kind):
    Xs, Xt = shifted()
    free, cut = kind().fit(Xs, X_target=Xt), kind(clip=1.2).fit(Xs, X_target=Xt)
    assert free.n_clipped_ == 0
    assert cut.weights_.max() <= 1.2
    assert cut.n_clipped_ == (free.weights_ > 1.2).sum() > 0
    assert cut.effective_sample_size_ > free.effective_sample_size_


def test_effective_sample_size_by_hand():
    assert effective_sample_size(np.ones(7)) == 7
    assert effective_sample_size(np.array([1.0, 0, 0])) == 1
    assert effective_sample_size(np.array([2.0, 1.0])) == pytest.approx(9 / 5)
    assert effective_sample_size(np.zeros(3)) == 0


def test_reweighting_helps_where_a_wrong_model_meets_covariate_shift():
    rng = np.random.default_rng(0)
    Xs, Xt = rng.standard_normal((800, 1)), rng.standard_normal((800, 1)) * 0.4 + 1.5
    curve = lambda x: np.sin(1.5 * x[:, 0]) + 0.05 * rng.standard_normal(len(x))  # noqa: E731
    ys, yt = curve(Xs), curve(Xt)
    plain = ReweightedRegressor().fit(Xs, ys, X_target=Xs)
    for reweighter in (KMM(), KLIEP(), ULSIF(), RULSIF(), LogisticDensityRatio(), NearestNeighborWeights()):
        adapted = ReweightedRegressor(reweighter=reweighter).fit(Xs, ys, X_target=Xt)
        # counts of neighbours are smoothed by one row each, and correct less
        share = 0.9 if isinstance(reweighter, NearestNeighborWeights) else 0.5
        assert ((adapted.predict(Xt) - yt) ** 2).mean() < share * ((plain.predict(Xt) - yt) ** 2).mean(), reweighter


def test_sample_weights_reach_the_estimator_and_balance_the_classes():
    Xs, Xt = shifted()
    y = (np.arange(400) % 10 == 0).astype(int)
    model = ReweightedClassifier(DecisionTreeClassifier(max_depth=2), balanced=True).fit(Xs, y, X_target=Xt)
    np.testing.assert_allclose(model.sample_weight_.mean(), 1)
    ratio = model.sample_weight_ / model.reweighter_.weights_
    assert ratio[y == 1].mean() / ratio[y == 0].mean() == pytest.approx(9)
    with pytest.raises(RecipeError, match="cannot be reweighted"):
        from sklearn.neighbors import KNeighborsClassifier

        ReweightedClassifier(KNeighborsClassifier()).fit(Xs, y, X_target=Xt)


@pytest.mark.parametrize("model", [KMM(B=0.5, eps=0.0), KMM(eps=2), LogisticDensityRatio(C=0), RULSIF(alpha=1.0)])
def test_settings_out_of_range_are_refused(model):
    with pytest.raises(RecipeError):
        model.fit(*shifted()[:1], X_target=shifted()[1])
