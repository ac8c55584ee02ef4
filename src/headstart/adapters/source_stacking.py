"""Stacking on source predictions: what a source model says of a target row becomes a feature (the PRED baseline of H. Daumé III,
D. Marcu, *Domain Adaptation for Statistical Classifiers*, JAIR 2006)."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin, clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from headstart.adapters.labelled_target import LabelledTarget, two_classes_or_more


class Stacked(LabelledTarget):
    """Base of the two: ``source_estimator`` learns on the source; ``estimator`` on target rows beside what it says of them."""

    estimator: Any
    source_estimator: Any
    passthrough: bool

    def _fit(self, Xs: np.ndarray, ys: np.ndarray, Xt: np.ndarray, yt: np.ndarray, default: Any) -> None:
        self.source_estimator_ = clone(default if self.source_estimator is None else self.source_estimator).fit(Xs, ys)
        self._scaler = StandardScaler().fit(self._raw(Xt))
        self.estimator_ = clone(default if self.estimator is None else self.estimator).fit(self._features(Xt), yt)

    def _raw(self, X: np.ndarray) -> np.ndarray:
        if hasattr(self.source_estimator_, "predict_proba"):
            said = np.log(np.maximum(self.source_estimator_.predict_proba(X), 1e-6))
        elif hasattr(self.source_estimator_, "decision_function"):
            said = self.source_estimator_.decision_function(X).reshape(len(X), -1)
        else:
            said = self.source_estimator_.predict(X).reshape(len(X), -1)
        return np.hstack([said, X]) if self.passthrough else said

    def _features(self, X: np.ndarray) -> np.ndarray:
        return self._scaler.transform(self._raw(X))

    def predict(self, X: Any) -> np.ndarray:
        """Labels or values (n,) of target rows X (n, d)."""
        check_is_fitted(self)
        return self.estimator_.predict(self._features(self._rows(X)))


class SourceStacking(ClassifierMixin, Stacked):
    """A target classifier on the log-probabilities of a source classifier, beside the columns themselves.

    Args:
        estimator, source_estimator: default logistic regression.
        passthrough: give the columns, too. Default True.

    Attributes:
        classes_, source_estimator_, estimator_.
    """

    def __init__(self, estimator: Any = None, source_estimator: Any = None, passthrough: bool = True) -> None:
        self.estimator = estimator
        self.source_estimator = source_estimator
        self.passthrough = passthrough

    def fit(self, X: Any, y: Any, *, X_target: Any = None, y_target: Any = None) -> Self:
        """Learn from the source X (n_s, d), y (n_s,) and labelled target rows X_target (n_t, d), y_target (n_t,)."""
        Xs, ys, Xt, yt = self._labelled(X, y, X_target, y_target)
        self.classes_ = two_classes_or_more(yt)
        self._fit(Xs, ys, Xt, yt, LogisticRegression(max_iter=1000))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, C) class probabilities of target rows."""
        rows = self._rows(X)
        return self.estimator_.predict_proba(self._features(rows))


class SourceStackingRegressor(RegressorMixin, Stacked):
    """A target regressor (default ridge) on the value that a source regressor gives, beside the columns themselves."""

    def __init__(self, estimator: Any = None, source_estimator: Any = None, passthrough: bool = True) -> None:
        self.estimator = estimator
        self.source_estimator = source_estimator
        self.passthrough = passthrough

    def fit(self, X: Any, y: Any, *, X_target: Any = None, y_target: Any = None) -> Self:
        """Learn from the source X (n_s, d), y (n_s,) and labelled target rows X_target (n_t, d), y_target (n_t,)."""
        self._fit(*self._labelled(X, y, X_target, y_target, numeric=True), Ridge())
        return self
