"""A classifier or regressor that learns from importance-weighted source rows: H. Shimodaira, *Improving Predictive Inference
under Covariate Shift by Weighting the Log-likelihood Function*, 2000."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin, clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, has_fit_parameter, validate_data

from headstart.adapters.base import TwoDomains
from headstart.adapters.logistic_ratio import LogisticDensityRatio
from headstart.errors import RecipeError, sentence


class Reweighted(TwoDomains):
    """Base of the two. ``fit`` weighs the source by ``reweighter`` and fits ``estimator`` with those sample weights."""

    estimator: Any
    reweighter: Any

    def _default(self) -> Any:
        raise NotImplementedError

    def _fit(self, X: Any, y: Any, X_target: Any, balance: np.ndarray | None) -> None:
        base = self._default() if self.estimator is None else clone(self.estimator)
        if not has_fit_parameter(base, "sample_weight"):
            allowed = "one whose fit takes sample_weight, for example LogisticRegression"
            raise RecipeError(sentence("this estimator cannot be reweighted", got=type(base).__name__, allowed=allowed))
        self.reweighter_ = LogisticDensityRatio() if self.reweighter is None else clone(self.reweighter)
        self.reweighter_.fit(X, X_target=X_target)
        weights = self.reweighter_.weights_.astype(np.float64)
        if not weights.sum() > 0:
            raise RecipeError(
                sentence(
                    "all weights are zero", where=type(self.reweighter_).__name__, fix="a wider kernel (smaller gamma)"
                )
            )
        if balance is not None:
            weights = weights * balance
        # weights of mean 1 leave the strength of the estimator's own penalty as it is
        self.sample_weight_ = weights * (len(weights) / weights.sum())
        self.effective_sample_size_ = self.reweighter_.effective_sample_size_
        self.estimator_ = base.fit(X, y, sample_weight=self.sample_weight_)

    def predict(self, X: Any) -> np.ndarray:
        """Labels or values (n,) of target rows X (n, d)."""
        check_is_fitted(self)
        return self.estimator_.predict(self._rows(X))

    def _rows(self, X: Any) -> np.ndarray:
        return validate_data(self, X, reset=False)


def can_say_probabilities(self: Any) -> bool:
    """Whether the estimator underneath has ``predict_proba``; asked before ``fit`` by hasattr."""
    inner = getattr(self, "estimator_", None) or self.estimator
    return inner is None or hasattr(inner, "predict_proba")


class ReweightedClassifier(ClassifierMixin, Reweighted):
    """``estimator`` fitted on the source's rows, weighted so that they stand for the target's.

    Args:
        estimator: any classifier whose ``fit`` takes ``sample_weight``. Default logistic regression.
        reweighter: :class:`KMM`, :class:`KLIEP`, :class:`ULSIF`, ... Default :class:`LogisticDensityRatio`.
        balanced: scale the weights so that each class weighs the same together, for classes out of balance. Default False.

    Attributes:
        classes_, estimator_, reweighter_.
        sample_weight_: (n_s,), mean 1.
        effective_sample_size_: of the weights; far below n_s, few rows decide.
    """

    def __init__(self, estimator: Any = None, reweighter: Any = None, balanced: bool = False) -> None:
        self.estimator = estimator
        self.reweighter = reweighter
        self.balanced = balanced

    def _default(self) -> Any:
        return LogisticRegression(max_iter=1000)

    def fit(self, X: Any, y: Any, *, X_target: Any = None) -> Self:
        """Learn from the source X (n_s, d), y (n_s,) and the target's rows X_target (n_t, d)."""
        source, labels, index, target = self._classified(X, y, X_target)
        balance = (len(index) / (len(self.classes_) * np.bincount(index)))[index] if self.balanced else None
        self._fit(source, labels, target if X_target is not None else source, balance)
        return self

    @available_if(can_say_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, C) class probabilities of target rows."""
        check_is_fitted(self)
        return self.estimator_.predict_proba(self._rows(X))


class ReweightedRegressor(RegressorMixin, Reweighted):
    """``estimator`` (default ridge regression) fitted on importance-weighted source rows.

    Args:
        estimator: any regressor whose ``fit`` takes ``sample_weight``.
        reweighter: as for :class:`ReweightedClassifier`.
    """

    def __init__(self, estimator: Any = None, reweighter: Any = None) -> None:
        self.estimator = estimator
        self.reweighter = reweighter

    def __sklearn_tags__(self) -> Tags:
        return super().__sklearn_tags__()

    def _default(self) -> Any:
        return Ridge()

    def fit(self, X: Any, y: Any, *, X_target: Any = None) -> Self:
        """Learn from the source X (n_s, d), y (n_s,) and the target's rows X_target (n_t, d)."""
        source, labels, target = self._domains(X, y, X_target)
        self._fit(source, labels, target, None)
        return self
