"""Methods that learn from a few labelled target rows, against closed forms, generic optimisers and hand counts."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier

from headstart.adapters import (
    FeatureAugmentation,
    FeatureAugmentationRegressor,
    SourceRegularizedLogistic,
    SourceRegularizedRidge,
    SourceRegularizedSVM,
    SourceStacking,
    SourceStackingRegressor,
    TrAdaBoost,
    TrAdaBoostR2,
)
from headstart.adapters.tradaboost_r2 import weighted_median
from headstart.errors import ArrayError, RecipeError


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    ys, yt = rng.integers(0, 3, 200), rng.integers(0, 3, 400)
    centres = 2.5 * rng.standard_normal((3, 5))
    Xs = centres[ys] + rng.standard_normal((200, 5))
    Xt = centres[yt] + 0.8 * rng.standard_normal(5) + rng.standard_normal((400, 5))
    few = np.concatenate([np.flatnonzero(yt == c)[:4] for c in range(3)])
    return Xs, ys, Xt, yt, few


def test_the_ridge_is_its_normal_equations_in_either_shape(data):
    Xs, _, Xt, _, few = data
    w = np.array([1.0, -2, 0.5, 0, 3])
    for columns in (slice(0, 5), slice(0, 2)):
        A, B = Xs[:, columns], Xt[few][:, columns]
        ys, yt = A @ w[columns] + 1, B @ (w[columns] + 0.3) - 1
        model = SourceRegularizedRidge(lam=2.0).fit(A, ys, X_target=B, y_target=yt)
        source = Ridge(alpha=1.0).fit(A, ys)

        def objective(v, A=A, B=B, yt=yt, source=source):
            return ((yt - B @ v[:-1] - v[-1]) ** 2).sum() + 2.0 * ((v[:-1] - source.coef_) ** 2).sum()

        other = minimize(objective, np.zeros(A.shape[1] + 1), method="BFGS", options={"gtol": 1e-9})
        np.testing.assert_allclose(np.r_[model.coef_, model.intercept_], other.x, atol=1e-5)
    wide = np.random.default_rng(1).standard_normal((6, 20))
    long = np.random.default_rng(2).standard_normal((50, 20))
    model = SourceRegularizedRidge(lam=0.5).fit(long, long[:, 0], X_target=wide, y_target=wide[:, 1])
    A = wide - wide.mean(0)
    want = model.source_coef_ + np.linalg.solve(
        A.T @ A + 0.5 * np.eye(20), A.T @ (wide[:, 1] - wide[:, 1].mean() - A @ model.source_coef_)
    )
    np.testing.assert_allclose(model.coef_, want, atol=1e-9)


def test_the_logistic_is_the_least_of_its_objective(data):
    Xs, ys, Xt, yt, few = data
    model = SourceRegularizedLogistic(C=0.7).fit(Xs, ys, X_target=Xt[few], y_target=yt[few])
    source = LogisticRegression(C=1.0, max_iter=1000).fit(Xs, ys)
    hot = np.eye(3)[yt[few]]

    def objective(v):
        W, b = v[:15].reshape(3, 5), v[15:]
        z = Xt[few] @ W.T + b
        fit = -0.7 * ((z - logsumexp(z, axis=1, keepdims=True)) * hot).sum()
        return fit + ((W - source.coef_) ** 2).sum() / 2 + 1e-3 * ((b - source.intercept_) ** 2).sum() / 2

    other = minimize(objective, np.zeros(18), method="BFGS", options={"gtol": 1e-7, "maxiter": 5000})
    found = objective(np.r_[model.coef_.ravel(), model.intercept_])
    assert found <= other.fun + 1e-6
    tight = SourceRegularizedLogistic(C=1e-9).fit(Xs, ys, X_target=Xt[few], y_target=yt[few])
    np.testing.assert_allclose(tight.coef_, source.coef_, atol=1e-6)


def test_the_svm_closes_the_gap_between_primal_and_dual(data):
    Xs, ys, Xt, yt, few = data
    model = SourceRegularizedSVM(C=0.5).fit(Xs, ys, X_target=Xt[few], y_target=yt[few])
    A = np.column_stack([Xt[few], np.ones(len(few))])
    for c in range(3):
        sign = np.where(yt[few] == c, 1.0, -1.0)
        start = np.r_[model.source_coef_[c], model.source_intercept_[c]]

        def primal(w, sign=sign, start=start):
            return 0.5 * np.maximum(0, 1 - sign * (A @ w)).sum() + ((w - start) ** 2).sum() / 2

        found = primal(np.r_[model.coef_[c], model.intercept_[c]])
        near = [minimize(primal, s, method="Nelder-Mead", options={"maxiter": 20000, "maxfev": 20000, "xatol": 1e-8, "fatol": 1e-10}).fun for s in (start, np.r_[model.coef_[c], model.intercept_[c]])]  # fmt: skip
        assert found <= min(near) + 1e-4


def test_augmented_rows_are_the_three_copies():
    seen = {}

    class Spy(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            seen["X"], seen["y"] = X, y
            return super().fit(X, y, sample_weight)

    Xs, Xt = np.array([[1.0, 2], [3, 4]]), np.array([[5.0, 6]])
    FeatureAugmentation(Spy()).fit(Xs, np.array([0, 1]), X_target=Xt, y_target=np.array([1]))
    np.testing.assert_array_equal(seen["X"], [[1, 2, 1, 2, 0, 0], [3, 4, 3, 4, 0, 0], [5, 6, 0, 0, 5, 6]])
    np.testing.assert_array_equal(seen["y"], [0, 1, 1])


def test_one_round_of_tradaboost_by_hand():
    Xs, ys = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 0])
    Xt, yt = np.array([[0.5], [2.5], [2.6], [2.7], [2.8]]), np.array([0, 1, 1, 1, 0])
    stump = DecisionTreeClassifier(max_depth=1)
    model = TrAdaBoost(stump, n_estimators=1).fit(Xs, ys, X_target=Xt, y_target=yt)
    weight = np.full(9, 1 / 9)
    rows, labels = np.r_[Xs, Xt], np.r_[ys, yt]
    wrong = (
        DecisionTreeClassifier(max_depth=1, random_state=0).fit(rows, labels, sample_weight=weight).predict(rows)
        != labels
    )
    error = weight[4:] @ wrong[4:] / weight[4:].sum()
    assert 0 < error < 0.5
    beta = error / (1 - error)
    assert model.betas_ == [pytest.approx(beta)]
    fall = 1 / (1 + np.sqrt(2 * np.log(4)))
    weight[:4] *= np.where(wrong[:4], fall, 1)
    weight[4:] *= np.where(wrong[4:], 1 / beta, 1)
    np.testing.assert_allclose(model.source_weight_, (weight / weight.sum())[:4])


def test_source_rows_with_wrong_labels_lose_their_weight():
    rng = np.random.default_rng(0)
    Xs, Xt = rng.standard_normal((200, 3)), rng.standard_normal((60, 3))
    ys, yt = (Xs[:, 0] > 0).astype(int), (Xt[:, 0] > 0).astype(int)
    ys[:80] = 1 - ys[:80]
    model = TrAdaBoost(n_estimators=15).fit(Xs, ys, X_target=Xt, y_target=yt)
    assert model.source_weight_[:80].mean() < 0.2 * model.source_weight_[80:].mean()
    Xn = rng.standard_normal((500, 3))
    assert model.score(Xn, (Xn[:, 0] > 0).astype(int)) > 0.9
    np.testing.assert_allclose(model.predict_proba(Xn).sum(1), 1)


def test_the_steps_of_tradaboost_r2_raise_the_targets_share():
    rng = np.random.default_rng(0)
    Xs, Xt = rng.standard_normal((100, 2)), rng.standard_normal((20, 2))
    ys, yt = Xs[:, 0], Xt[:, 0] + 2
    model = TrAdaBoostR2(n_steps=5)
    weight = np.full(120, 1 / 120)
    rows, values = np.r_[Xs, Xt], np.r_[ys, yt]
    for share in (0.3, 0.6, 0.95):
        assert model._lowered(rows, values, weight, 100, share)[100:].sum() == pytest.approx(share, abs=1e-6)
    model.fit(Xs, ys, X_target=Xt, y_target=yt)
    assert len(model.errors_) == 5
    assert model.step_ == int(np.argmin(model.errors_)) > 0
    Xn = rng.standard_normal((300, 2))
    assert (
        np.abs(model.predict(Xn) - Xn[:, 0] - 2).mean() < np.abs(Ridge().fit(Xs, ys).predict(Xn) - Xn[:, 0] - 2).mean()
    )


def test_the_weighted_median_by_hand():
    class Says:
        def __init__(self, value):
            self.value = value

        def predict(self, X):
            return np.full(len(X), self.value)

    models = [Says(1.0), Says(5.0), Says(2.0)]
    assert weighted_median(models, [1.0, 1.0, 1.0], np.zeros((1, 1))) == [2.0]
    assert weighted_median(models, [1.0, 5.0, 1.0], np.zeros((1, 1))) == [5.0]


def test_with_few_labels_the_source_helps(data):
    Xs, ys, Xt, yt, few = data
    rest = np.setdiff1d(np.arange(400), few)
    alone = LogisticRegression(max_iter=1000).fit(Xt[few[::4]], yt[few[::4]]).score(Xt[rest], yt[rest])
    for model in (SourceRegularizedLogistic(), SourceRegularizedSVM(), FeatureAugmentation(), SourceStacking()):
        found = model.fit(Xs, ys, X_target=Xt[few], y_target=yt[few]).score(Xt[rest], yt[rest])
        assert found > alone - 0.02, (model, found, alone)
    for model in (FeatureAugmentationRegressor(), SourceStackingRegressor(), SourceRegularizedRidge()):
        model.fit(Xs, Xs.sum(1), X_target=Xt[few], y_target=Xt[few].sum(1) + 1)
        assert model.score(Xt[rest], Xt[rest].sum(1) + 1) > 0.9


@pytest.mark.parametrize("kind", [TrAdaBoost, FeatureAugmentation, SourceRegularizedLogistic, SourceStacking])
def test_labels_that_are_missing_or_too_few_are_said(data, kind):
    Xs, ys, Xt, yt, few = data
    with pytest.raises(ArrayError, match="X_target without y_target"):
        kind().fit(Xs, ys, X_target=Xt[few])
    with pytest.raises(ArrayError, match="another length"):
        kind().fit(Xs, ys, X_target=Xt[few], y_target=yt[few][:-1])
    with pytest.raises(RecipeError):
        SourceRegularizedRidge(lam=0).fit(Xs, ys, X_target=Xt[few], y_target=yt[few])
