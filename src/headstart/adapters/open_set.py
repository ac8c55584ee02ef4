"""Any classifier or adapter on an open set: what it is not sure enough of is *unknown*."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone, is_regressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from headstart.adapters.pipeline import AdaptationPipeline
from headstart.adapters.scorers import probabilities
from headstart.errors import ArrayError, RecipeError, sentence
from headstart.functional.rejection import rejection, unknown_label, with_unknown
from headstart.functional.temperature import log_probabilities

BY_ROW = ("domain", "sample_weight")


class OpenSetClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """``estimator`` with a threshold on its confidence, for a target with classes that the source does not have.

    A share of the source's rows is held out (a deep adapter with ``select`` holds out its own, on which it chose the epoch too). On them the probabilities are calibrated by one temperature (Guo et al. 2017), and
    the threshold is the confidence that a share ``keep`` of them reaches; target rows below it are *unknown*
    (Hendrycks and Gimpel, ICLR 2017: maximum softmax probability). It needs no unknown example, and promises nothing for the target: rows that
    the shift makes uncertain are rejected with the unknown ones.

    Args:
        estimator: ``fit(X, y)``, with ``X_target`` where it takes one (a plain classifier learns from the source alone), and
            ``predict_proba``; default logistic regression. One that
            answers *unknown* itself (a strategy with ``osbp``) is refused.
        keep: share of the held-out source rows that stay known, in (0, 1). Default 0.95.
        held_out: share of the source's rows that is held out, in (0, 1). Default 0.2.
        random_state: of the held-out rows. Default 0.

    Attributes:
        estimator_: fitted on the other rows.
        classes_: its classes, and last the label of the unknown: ``"unknown"``, or -1 beside numbers.
        temperature_, threshold_.
        held_out_: int, the rows of X that these come from.
    """

    __metadata_request__fit = {"X_target": True}

    def __init__(
        self, estimator: Any = None, keep: float = 0.95, held_out: float = 0.2, random_state: int | None = 0
    ) -> None:
        self.estimator = estimator
        self.keep = keep
        self.held_out = held_out
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, X_target: Any = None, **more: Any) -> Self:
        """Learn from the source X (n_s, d), y (n_s,) and the target's rows X_target (n_t, d).

        Args:
            more: what the estimator's ``fit`` takes besides; ``domain`` and ``sample_weight`` have a value a row of X.

        Raises:
            RecipeError: shares out of range, or an estimator that cannot be used.
            ArrayError: too few source rows to hold out, or a class of the source with one row.
        """
        base = LogisticRegression(max_iter=1000) if self.estimator is None else clone(self.estimator)
        self._check(base)
        y = np.asarray(y)
        least = int(np.ceil(1 / (1 - self.keep) - 1e-9))
        classes, counts = np.unique(y, return_counts=True)
        label = unknown_label(classes)
        if self.held_out * len(y) < max(least, len(classes)) or counts.min() < 2:
            raise ArrayError(
                sentence(
                    "too few source rows to find a threshold on those held out",
                    got=f"{len(y)} rows, {counts.min()} of the smallest class",
                    allowed=f"{int(np.ceil(max(least, len(classes)) / self.held_out))} rows and 2 a class for "
                    f"keep={self.keep:g}, held_out={self.held_out:g}",
                    fix="a smaller keep, or a larger held_out",
                )
            )
        rest = everything = np.arange(len(y))
        if getattr(base, "select", None) is None:
            rest, held = train_test_split(
                everything, test_size=self.held_out, random_state=self.random_state, stratify=y
            )
        given = {
            name: take(value, rest) if name in BY_ROW and value is not None else value for name, value in more.items()
        }
        if X_target is not None and (has_fit_parameter(base, "X_target") or isinstance(base, AdaptationPipeline)):
            given["X_target"] = X_target
        self.estimator_ = base.fit(take(X, rest), y[rest], **given)
        if rest is everything:
            held = self.estimator_.held_out_
        known = np.asarray(self.estimator_.classes_)
        said = log_probabilities(source_probabilities(self.estimator_, take(X, held)))
        self.temperature_, self.threshold_ = rejection(said, np.searchsorted(known, y[held]), self.keep)
        self.classes_ = np.append(known, label)
        self.held_out_ = held
        return self

    def _check(self, base: Any) -> None:
        for name, value in (("keep", self.keep), ("held_out", self.held_out)):
            if not 0 < value < 1:
                raise RecipeError(sentence(f"{name} is out of range", got=value, allowed="above 0 and below 1"))
        if getattr(base, "answers_unknown", False):
            raise RecipeError(
                sentence("this strategy answers 'unknown' by itself, and a second threshold would act on top of it",
                         got=base.strategy, fix="one of the two: leave out osbp, or the threshold (--open-set)")
            )  # fmt: skip
        if is_regressor(base) or not hasattr(base, "predict_proba"):
            raise RecipeError(
                sentence("unknown classes are told by class probabilities, and this estimator gives none",
                         got=type(base).__name__, allowed="a classifier with predict_proba")
            )  # fmt: skip

    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, K + 1) scores of target rows, summing to 1; see :func:`headstart.functional.rejection.with_unknown`."""
        check_is_fitted(self)
        return with_unknown(log_probabilities(probabilities(self.estimator_, X)), self.temperature_, self.threshold_)

    def predict(self, X: Any) -> np.ndarray:
        """(n,) labels of target rows, the unknown among them."""
        return self.classes_[self.predict_proba(X).argmax(1)]


def take(X: Any, rows: np.ndarray) -> Any:
    """Rows of an array, a frame, a list, or of rows that are read when needed."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    return X[rows] if hasattr(X, "stream") else np.asarray(X)[rows]


def source_probabilities(model: Any, X: Any) -> np.ndarray:
    """(n, C) of *source* rows: through the source side of the steps of a pipeline, where these have one."""
    *before, last = [step for _, step in getattr(model, "steps", [("", model)])]
    for step in before:
        X = step.transform_source(X) if hasattr(step, "transform_source") else step.transform(X)
    return probabilities(last, X)
