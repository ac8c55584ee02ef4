"""The source's model as it is: what every adaptation is measured against."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import Tags, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted


class SourceOnly(MetaEstimatorMixin, BaseEstimator):
    """``estimator`` fitted on the source; ``X_target`` is taken and left unused, so that it stands beside the adapted ones.

    Attributes:
        estimator_; classes_ of a classifier.
    """

    __metadata_request__fit = {"X_target": True}

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def __sklearn_tags__(self) -> Tags:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.estimator_type, tags.classifier_tags, tags.regressor_tags = (
            inner.estimator_type,
            inner.classifier_tags,
            inner.regressor_tags,
        )
        tags.input_tags = inner.input_tags
        tags.target_tags.required = True
        return tags

    def fit(self, X: Any, y: Any, *, X_target: Any = None) -> Self:
        """Fit on the source X (n_s, d), y (n_s,)."""
        self.estimator_ = clone(self.estimator).fit(X, y)
        return self

    @property
    def classes_(self) -> np.ndarray:
        """Of the classifier inside."""
        return self.estimator_.classes_

    @property
    def n_features_in_(self) -> int:
        """Columns of the source."""
        return self.estimator_.n_features_in_

    def predict(self, X: Any) -> np.ndarray:
        """Labels or values (n,)."""
        check_is_fitted(self, "estimator_")
        return self.estimator_.predict(X)

    @available_if(lambda self: hasattr(getattr(self, "estimator_", self.estimator), "predict_proba"))
    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, C) class probabilities."""
        check_is_fitted(self, "estimator_")
        return self.estimator_.predict_proba(X)

    @available_if(lambda self: hasattr(getattr(self, "estimator_", self.estimator), "decision_function"))
    def decision_function(self, X: Any) -> np.ndarray:
        """Scores."""
        check_is_fitted(self, "estimator_")
        return self.estimator_.decision_function(X)

    def score(self, X: Any, y: Any) -> float:
        """Of the estimator inside."""
        check_is_fitted(self, "estimator_")
        return self.estimator_.score(X, y)
