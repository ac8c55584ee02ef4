"""Joint distribution optimal transport: N. Courty, R. Flamary, A. Habrard, A. Rakotomamonjy, *Joint Distribution Optimal
Transportation for Domain Adaptation*, NIPS 2017."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin, clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.validation import check_is_fitted, has_fit_parameter, validate_data

from headstart.adapters.base import TwoDomains
from headstart.errors import RecipeError, sentence
from headstart.functional.kernels import squared_distances


class JDOT(TwoDomains):
    """Base: min over f and plans P of sum P_ij (alpha ||x_i - z_j||^2 + L(y_i, f(z_j))), one after the other in turn.

    Squared distances are divided by their maximum before ``alpha`` is applied.
    """

    alpha: float
    n_iter: int
    tol: float

    def _plan(self, cost: np.ndarray) -> np.ndarray:
        import ot

        n, m = cost.shape
        return ot.emd(
            np.full(n, 1 / n), np.full(m, 1 / m), np.ascontiguousarray(cost, dtype=np.float64), numItermax=1_000_000
        )

    def _distances(self, Xs: np.ndarray, Xt: np.ndarray) -> np.ndarray:
        if not self.alpha >= 0 or self.n_iter < 1:
            got = f"alpha={self.alpha}, n_iter={self.n_iter}"
            raise RecipeError(sentence("JDOT cannot use this", got=got, allowed="alpha 0 or more, n_iter 1 or more"))
        distances = squared_distances(Xs, Xt).astype(np.float64, copy=False)
        return self.alpha * distances / max(float(distances.max()), 1e-300)

    def predict(self, X: Any) -> np.ndarray:
        """Labels or values (n,) of target rows X (n, d)."""
        check_is_fitted(self)
        return self.estimator_.predict(validate_data(self, X, reset=False))  # type: ignore[attr-defined]


class JDOTClassifier(ClassifierMixin, JDOT):
    """JDOT with cross-entropy; f is any classifier with ``predict_proba`` whose ``fit`` takes ``sample_weight``.

    Args:
        estimator: default logistic regression.
        alpha: weight of distances. Default 1.
        n_iter: alternations at most. Default 10.
        tol: stop where the joint cost falls by less, relatively. Default 1e-4.

    Attributes:
        classes_, estimator_ (fitted on the target with transported labels), costs_ (joint cost by iteration).
        target_proba_: (n_t, C), the transported labels.
    """

    def __init__(self, estimator: Any = None, alpha: float = 1.0, n_iter: int = 10, tol: float = 1e-4) -> None:
        self.estimator = estimator
        self.alpha = alpha
        self.n_iter = n_iter
        self.tol = tol

    def fit(self, X: Any, y: Any, *, X_target: Any = None) -> Self:
        """Learn from the source X (n_s, d), y (n_s,) and the target's rows X_target (n_t, d)."""
        Xs, labels, truth, Xt = self._classified(X, y, X_target)
        k = len(self.classes_)
        base = LogisticRegression(max_iter=1000) if self.estimator is None else self.estimator
        if not (has_fit_parameter(base, "sample_weight") and hasattr(base, "predict_proba")):
            allowed = "one with predict_proba whose fit takes sample_weight"
            raise RecipeError(sentence("JDOT cannot use this classifier", got=type(base).__name__, allowed=allowed))
        distances, hot = self._distances(Xs, Xt), np.eye(k)[truth]
        self.estimator_ = clone(base).fit(Xs, labels)
        self.costs_: list[float] = []
        for _ in range(self.n_iter):
            loss = -np.log(np.maximum(self.estimator_.predict_proba(Xt), 1e-9))
            cost = distances + loss.T[truth]
            plan = self._plan(cost)
            self.costs_.append(float((plan * cost).sum()))
            self.target_proba_ = len(Xt) * plan.T @ hot
            rows, of = np.nonzero(self.target_proba_ > 1e-6)
            if len(np.unique(of)) < 2:
                break
            self.estimator_ = clone(base).fit(Xt[rows], self.classes_[of], sample_weight=self.target_proba_[rows, of])
            if len(self.estimator_.classes_) < k:
                self.estimator_ = clone(base).fit(
                    np.concatenate([Xt[rows], Xs]),
                    np.concatenate([self.classes_[of], labels]),
                    sample_weight=np.r_[self.target_proba_[rows, of], np.full(len(Xs), 1e-6)],
                )
            if len(self.costs_) > 1 and self.costs_[-2] - self.costs_[-1] <= self.tol * abs(self.costs_[-2]):
                break
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, C) class probabilities of target rows."""
        check_is_fitted(self)
        return self.estimator_.predict_proba(validate_data(self, X, reset=False))


class JDOTRegressor(RegressorMixin, JDOT):
    """JDOT with squared error (y in units of its standard deviation on the source).

    Args:
        estimator: default ridge regression.
        alpha, n_iter, tol: as for :class:`JDOTClassifier`.

    Attributes:
        estimator_, costs_, target_values_ (n_t,).
    """

    def __init__(self, estimator: Any = None, alpha: float = 1.0, n_iter: int = 10, tol: float = 1e-4) -> None:
        self.estimator = estimator
        self.alpha = alpha
        self.n_iter = n_iter
        self.tol = tol

    def fit(self, X: Any, y: Any, *, X_target: Any = None) -> Self:
        """Learn from the source X (n_s, d), y (n_s,) and the target's rows X_target (n_t, d)."""
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None: JDOT moves the source's values")
        Xs, values, Xt = self._domains(X, y, X_target)
        assert values is not None
        values = values.astype(np.float64)
        scale = float(values.std()) or 1.0
        base = Ridge() if self.estimator is None else self.estimator
        distances = self._distances(Xs, Xt)
        self.estimator_ = clone(base).fit(Xs, values)
        self.costs_: list[float] = []
        for _ in range(self.n_iter):
            cost = distances + ((values[:, None] - self.estimator_.predict(Xt)) / scale) ** 2
            plan = self._plan(cost)
            self.costs_.append(float((plan * cost).sum()))
            self.target_values_ = len(Xt) * plan.T @ values
            self.estimator_ = clone(base).fit(Xt, self.target_values_)
            if len(self.costs_) > 1 and self.costs_[-2] - self.costs_[-1] <= self.tol * abs(self.costs_[-2]):
                break
        return self
