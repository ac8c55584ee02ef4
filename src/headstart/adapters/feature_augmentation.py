"""Feature augmentation (EasyAdapt): H. Daumé III, *Frustratingly Easy Domain Adaptation*, ACL 2007."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from headstart.adapters.labelled_target import LabelledTarget, two_classes_or_more
from headstart.adapters.reweighted import can_say_probabilities


class Augmented(LabelledTarget):
    """Base of the two: source rows become (x, x, 0), target rows (x, 0, x); ``estimator`` learns from both."""

    estimator: BaseEstimator | None

    def _fit(self, Xs: np.ndarray, ys: np.ndarray, Xt: np.ndarray, yt: np.ndarray, base: Any) -> None:
        rows = np.concatenate([np.hstack([Xs, Xs, np.zeros_like(Xs)]), target_side(Xt)])
        self.estimator_ = clone(base).fit(rows, np.concatenate([ys, yt]))

    def predict(self, X: Any) -> np.ndarray:
        """Labels or values (n,) of target rows X (n, d)."""
        check_is_fitted(self)
        return self.estimator_.predict(target_side(self._rows(X)))


def target_side(X: np.ndarray) -> np.ndarray:
    """(x, 0, x), (n, 3 d)."""
    return np.hstack([X, np.zeros_like(X), X])


class FeatureAugmentation(ClassifierMixin, Augmented):
    """EasyAdapt for classification: shared, source-only and target-only copies of the columns, one linear model on all.

    Args:
        estimator: default logistic regression.

    Attributes:
        classes_, estimator_.
    """

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: Any, *, X_target: Any = None, y_target: Any = None) -> Self:
        """Learn from the source X (n_s, d), y (n_s,) and labelled target rows X_target (n_t, d), y_target (n_t,)."""
        Xs, ys, Xt, yt = self._labelled(X, y, X_target, y_target)
        self.classes_ = two_classes_or_more(ys, yt)
        self._fit(Xs, ys, Xt, yt, LogisticRegression(max_iter=1000) if self.estimator is None else self.estimator)
        return self

    @available_if(can_say_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, C) class probabilities of target rows."""
        rows = self._rows(X)
        return self.estimator_.predict_proba(target_side(rows))


class FeatureAugmentationRegressor(RegressorMixin, Augmented):
    """EasyAdapt for regression. ``estimator`` defaults to ridge regression."""

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: Any, *, X_target: Any = None, y_target: Any = None) -> Self:
        """Learn from the source X (n_s, d), y (n_s,) and labelled target rows X_target (n_t, d), y_target (n_t,)."""
        self._fit(
            *self._labelled(X, y, X_target, y_target, numeric=True),
            Ridge() if self.estimator is None else self.estimator,
        )
        return self
