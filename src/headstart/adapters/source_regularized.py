"""Linear models on few target rows, held to a source model: R(theta, theta_s) = 1/2 ||theta - theta_s||^2.

Ridge and logistic: C. Chelba, A. Acero, *Adaptation of Maximum Entropy Capitalizer: Little Data Can Help a Lot*, EMNLP 2004. SVM: J. Yang, R. Yan,
A. Hauptmann, *Cross-Domain Video Concept Detection Using Adaptive SVMs*, ACM Multimedia 2007."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.linalg import solve
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import LinearSVC
from sklearn.utils.validation import check_is_fitted

from headstart.adapters.labelled_target import LabelledTarget, two_classes_or_more
from headstart.errors import RecipeError, sentence


def positive(name: str, value: float) -> float:
    """``value``, which has to be above 0."""
    if not value > 0:
        raise RecipeError(sentence(f"{name} is out of range", got=value, allowed="above 0", fix=f"{name}=1.0"))
    return float(value)


class SourceRegularizedRidge(RegressorMixin, LabelledTarget):
    """min over w, b of ||y_t - X_t w - b||^2 + lam ||w - w_s||^2, with w_s from ridge regression on the source; closed form.

    Args:
        lam: > 0, hold to the source. Default 1.
        source_alpha: > 0, ridge strength on the source. Default 1.

    Attributes:
        coef_ (d,), intercept_; source_coef_ (d,), source_intercept_.
    """

    def __init__(self, lam: float = 1.0, source_alpha: float = 1.0) -> None:
        self.lam = lam
        self.source_alpha = source_alpha

    def fit(self, X: Any, y: Any, *, X_target: Any = None, y_target: Any = None) -> Self:
        """Learn from the source X (n_s, d), y (n_s,) and labelled target rows X_target (n_t, d), y_target (n_t,)."""
        lam, alpha = positive("lam", self.lam), positive("source_alpha", self.source_alpha)
        Xs, ys, Xt, yt = self._labelled(X, y, X_target, y_target, numeric=True)
        source = Ridge(alpha=alpha).fit(Xs, ys)
        self.source_coef_, self.source_intercept_ = source.coef_.astype(np.float64), float(source.intercept_)
        mean, middle = Xt.mean(0, dtype=np.float64), yt.mean()
        A = Xt - mean
        rest = yt - middle - A @ self.source_coef_
        if A.shape[1] <= len(A):
            move = solve(A.T @ A + lam * np.eye(A.shape[1]), A.T @ rest, assume_a="pos")
        else:
            move = A.T @ solve(A @ A.T + lam * np.eye(len(A)), rest, assume_a="pos")
        self.coef_ = self.source_coef_ + move
        self.intercept_ = float(middle - mean @ self.coef_)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Values (n,)."""
        check_is_fitted(self)
        return self._rows(X) @ self.coef_ + self.intercept_


class LinearClassifier(ClassifierMixin, LabelledTarget):
    """Base of the two classifiers: one row of ``coef_`` a class (one for two classes of the SVM)."""

    C: float
    source_C: float

    def fit(self, X: Any, y: Any, *, X_target: Any = None, y_target: Any = None) -> Self:
        """Learn from the source X (n_s, d), y (n_s,) and labelled target rows X_target (n_t, d), y_target (n_t,)."""
        positive("C", self.C), positive("source_C", self.source_C)
        Xs, ys, Xt, yt = self._labelled(X, y, X_target, y_target)
        self.classes_ = two_classes_or_more(ys, yt)
        index = [np.searchsorted(self.classes_, labels) for labels in (ys, yt)]
        if len(np.unique(index[0])) < 2:
            raise ValueError(f"The source has one class only ({ys[0]!r}); a classifier needs two or more")
        d, k = Xs.shape[1], len(self.classes_)
        # a class that the source lacks starts at zero
        self.source_coef_, self.source_intercept_ = np.zeros((k, d)), np.zeros(k)
        self._source(Xs, index[0])
        self.coef_, self.intercept_ = self._tuned(Xt.astype(np.float64), index[1])
        return self

    def _source(self, X: np.ndarray, y: np.ndarray) -> None:
        raise NotImplementedError

    def _tuned(self, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError

    def _scores(self, X: Any) -> np.ndarray:
        return self._rows(X) @ self.coef_.T + self.intercept_

    def predict(self, X: Any) -> np.ndarray:
        """Labels (n,)."""
        check_is_fitted(self)
        return self.classes_[self._scores(X).argmax(1)]


class SourceRegularizedLogistic(LinearClassifier):
    """min C sum -log softmax(W x + b)[y] + 1/2 ||W - W_s||^2 over labelled target rows; W_s from the source alike.

    Args:
        C: > 0, weight of the target's loss against the hold to the source. Default 1.
        source_C: > 0, scikit-learn's C on the source. Default 1.

    Attributes:
        classes_, coef_ (K, d), intercept_ (K,), source_coef_, source_intercept_.
    """

    def __init__(self, C: float = 1.0, source_C: float = 1.0) -> None:
        self.C = C
        self.source_C = source_C

    def _source(self, X: np.ndarray, y: np.ndarray) -> None:
        model = LogisticRegression(C=self.source_C, max_iter=1000).fit(X, y)
        if len(model.classes_) == 2:
            coef, bias = np.vstack([-model.coef_, model.coef_]) / 2, np.r_[-model.intercept_, model.intercept_] / 2
        else:
            coef, bias = model.coef_, model.intercept_
        self.source_coef_[model.classes_], self.source_intercept_[model.classes_] = coef, bias

    def _tuned(self, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        k, d = self.source_coef_.shape
        hot = np.eye(k)[y]

        def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
            W, b = theta[: k * d].reshape(k, d), theta[k * d :]
            z = X @ W.T + b
            log_p = z - logsumexp(z, axis=1, keepdims=True)
            move, shift = W - self.source_coef_, b - self.source_intercept_
            pull = self.C * (np.exp(log_p) - hot)
            # the offsets are held a thousand times less: else a class without target rows would fall without end
            loss = -self.C * (log_p * hot).sum() + (move**2).sum() / 2 + 1e-3 * (shift**2).sum() / 2
            return float(loss), np.r_[(pull.T @ X + move).ravel(), pull.sum(0) + 1e-3 * shift]

        start = np.r_[self.source_coef_.ravel(), self.source_intercept_]
        options = {"maxiter": 5000, "ftol": 1e-14, "gtol": 1e-8}
        found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
        return found.x[: k * d].reshape(k, d), found.x[k * d :]

    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, K) class probabilities."""
        z = self._scores(X)
        return np.exp(z - logsumexp(z, axis=1, keepdims=True))


class SourceRegularizedSVM(LinearClassifier):
    """Adaptive SVM: min C sum hinge(y f(x)) + 1/2 ||w - w_s||^2 + 1/2 (b - b_s)^2, one class against the rest.

    Solved in its dual, max sum a_i (1 - y_i f_s(x_i)) - 1/2 ||sum a_i y_i [x_i; 1]||^2 over 0 <= a_i <= C: the source's
    decision takes the place of part of the margin.

    Args:
        C: > 0. Default 1.
        source_C: > 0, of the linear SVM on the source. Default 1.

    Attributes:
        classes_, coef_ (K, d), intercept_ (K,), source_coef_, source_intercept_.
    """

    def __init__(self, C: float = 1.0, source_C: float = 1.0) -> None:
        self.C = C
        self.source_C = source_C

    def _source(self, X: np.ndarray, y: np.ndarray) -> None:
        for c in np.unique(y):
            model = LinearSVC(C=self.source_C, dual="auto", max_iter=10_000, random_state=0).fit(
                X, np.where(y == c, 1, -1)
            )
            self.source_coef_[c], self.source_intercept_[c] = model.coef_[0], model.intercept_[0]

    def _tuned(self, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        extended = np.column_stack([X, np.ones(len(X))])
        coef, bias = self.source_coef_.copy(), self.source_intercept_.copy()
        for c in range(len(self.classes_)):
            sign = np.where(y == c, 1.0, -1.0)
            rows = sign[:, None] * extended
            missing = 1 - sign * (X @ coef[c] + bias[c])

            def dual(a: np.ndarray, rows: np.ndarray = rows, missing: np.ndarray = missing) -> tuple[float, np.ndarray]:
                w = a @ rows
                return float(w @ w / 2 - a @ missing), rows @ w - missing

            options = {"maxiter": 10_000, "ftol": 1e-15, "gtol": 1e-9}
            found = minimize(
                dual, np.zeros(len(X)), jac=True, method="L-BFGS-B", bounds=[(0, self.C)] * len(X), options=options
            )
            move = found.x @ rows
            coef[c] += move[:-1]
            bias[c] += move[-1]
        return coef, bias

    def decision_scores(self, X: Any) -> np.ndarray:
        """(n, K), one class against the rest."""
        return self._scores(X)
