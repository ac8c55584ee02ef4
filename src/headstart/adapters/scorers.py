"""Scores of an adapted model that need no target labels, as scikit-learn scorers: ``scorer(estimator, X, y, X_target=...)``.

X, y are source rows (held out where the score is about them), X_target the target's. Larger is better for all. With
scikit-learn's metadata routing they ask for ``X_target`` by themselves, and so work as ``scoring=`` of GridSearchCV.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone, is_regressor

from headstart.adapters.logistic_ratio import LogisticDensityRatio
from headstart.errors import ArrayError, RecipeError, sentence


class TargetScorer(BaseEstimator):
    """Base. ``held_out`` says whether the score is about source rows that the model must not have seen."""

    __metadata_request__score = {"X_target": True}
    held_out = False
    regression = False

    def __call__(self, estimator: Any, X: Any, y: Any = None, *, X_target: Any = None) -> float:
        """The score of a fitted ``estimator``; larger is better."""
        return float(self.each(estimator, X, y, X_target=X_target).mean())

    def each(self, estimator: Any, X: Any, y: Any = None, *, X_target: Any = None) -> np.ndarray:
        """(m,): what each row adds to the score, which is their mean; rows of X where it is about held-out ones, else of X_target.

        Two estimators on the same rows can so be compared row by row.

        Raises:
            ArrayError: no X_target.
            RecipeError: a regressor, where the score is about classes.
        """
        if X_target is None:
            raise ArrayError(
                sentence(f"{type(self).__name__} judges a model on the target", got="no X_target", fix="X_target=...")
            )
        if is_regressor(estimator) and not self.regression:
            allowed = "ImportanceWeightedScorer, DeepEmbeddedValidation or ReverseValidation for regression"
            raise RecipeError(
                sentence(f"{type(self).__name__} is for classifiers", got=type(estimator).__name__, allowed=allowed)
            )
        return np.asarray(self._each(estimator, X, y, X_target), dtype=np.float64)

    def score(self, estimator: Any, X: Any, y: Any = None, *, X_target: Any = None) -> float:
        """The same as calling it."""
        return self(estimator, X, y, X_target=X_target)

    def _each(self, estimator: Any, X: Any, y: Any, X_target: Any) -> np.ndarray:
        raise NotImplementedError


def losses(estimator: Any, X: Any, y: Any) -> np.ndarray:
    """(n,): 0/1 loss of a classifier, squared error in units of the variance of y of a regressor."""
    said = estimator.predict(X)
    if is_regressor(estimator):
        return (np.asarray(said) - y) ** 2 / max(float(np.var(y)), 1e-300)
    return (said != np.asarray(y)).astype(np.float64)


def probabilities(estimator: Any, X: Any) -> np.ndarray:
    """(n, C): of ``predict_proba``; else a softmax of its scores; else 0/1 of what it predicts."""
    for name in ("predict_proba", "decision_function", "decision_scores"):
        if hasattr(estimator, name):
            said = np.asarray(getattr(estimator, name)(X), dtype=np.float64)
            if name == "predict_proba":
                return said
            said = np.column_stack([-said, said]) / 2 if said.ndim == 1 else said
            said = np.exp(said - said.max(1, keepdims=True))
            return said / said.sum(1, keepdims=True)
    labels = np.asarray(estimator.predict(X))
    return (labels[:, None] == np.unique(labels)[None, :]).astype(np.float64)


def entropy(p: np.ndarray, axis: int = -1) -> np.ndarray:
    """Shannon entropy in nats."""
    return -(p * np.log(np.maximum(p, 1e-300))).sum(axis)


class ImportanceWeightedScorer(TargetScorer):
    """Accuracy (or minus squared error) on held-out source rows weighted by p_t / p_s: M. Sugiyama, M. Krauledat, K.-R. Müller,
    *Covariate Shift Adaptation by Importance Weighted Cross Validation*, JMLR 8, 2007.

    Args:
        reweighter: gives the weights, by ``predict_weights``. Default logistic density ratio.
    """

    held_out = True
    regression = True

    def __init__(self, reweighter: Any = None) -> None:
        self.reweighter = reweighter

    def _weights(self, X: Any, X_target: Any) -> np.ndarray:
        model = LogisticDensityRatio() if self.reweighter is None else clone(self.reweighter)
        weights = np.asarray(model.fit(X, X_target=X_target).weights_, dtype=np.float64)
        return weights / max(float(weights.mean()), 1e-300)

    def _each(self, estimator: Any, X: Any, y: Any, X_target: Any) -> np.ndarray:
        risk = self._weights(X, X_target) * losses(estimator, X, y)
        return -risk if is_regressor(estimator) else 1 - risk


class DeepEmbeddedValidation(ImportanceWeightedScorer):
    """Importance-weighted risk with a control variate: K. You, X. Wang, M. Long, M. Jordan, *Towards Accurate Model Selection in
    Deep Unsupervised Domain Adaptation*, ICML 2019, eq. 7: mean(w l) + eta mean(w) - eta, eta = -cov(w l, w) / var(w).

    Weights are estimated on the features that the estimator's last step sees where it is a pipeline, else on the rows.
    """

    def _each(self, estimator: Any, X: Any, y: Any, X_target: Any) -> np.ndarray:
        source, target = X, X_target
        if hasattr(estimator, "steps") and len(estimator.steps) > 1:
            source, target = (estimator[:-1].transform(rows) for rows in (X, X_target))
        weights, loss = self._weights(source, target), losses(estimator, X, y)
        weighted = weights * loss
        variance = float(weights.var())
        eta = (
            -float(np.mean((weighted - weighted.mean()) * (weights - weights.mean()))) / variance
            if variance > 0
            else 0.0
        )
        risk = weighted + eta * weights - eta
        return -risk if is_regressor(estimator) else 1 - risk


class SoftNeighborhoodDensity(TargetScorer):
    """How densely target rows lie in the space of class probabilities: K. Saito, D. Kim, P. Teterwak, S. Sclaroff, T. Darrell,
    K. Saenko, *Tune it the Right Way: Unsupervised Validation of Domain Adaptation via Soft Neighborhood Density*, ICCV 2021.

    The mean entropy of softmax over the other rows of p_i^T p_j / T, with p_i of unit norm.

    Args:
        temperature: T. Default 0.05.
        max_rows: drawn at random beyond. Default 3,000.
    """

    def __init__(self, temperature: float = 0.05, max_rows: int = 3000) -> None:
        self.temperature = temperature
        self.max_rows = max_rows

    def _each(self, estimator: Any, X: Any, y: Any, X_target: Any) -> np.ndarray:
        p = probabilities(estimator, X_target)
        if len(p) > self.max_rows:
            p = p[np.random.default_rng(0).choice(len(p), self.max_rows, replace=False)]
        p = p / np.maximum(np.linalg.norm(p, axis=1, keepdims=True), 1e-300)
        near = p @ p.T / self.temperature
        np.fill_diagonal(near, -np.inf)
        near = np.exp(near - near.max(1, keepdims=True))
        return entropy(near / near.sum(1, keepdims=True)) if len(p) > 1 else np.zeros(1)


class EntropyScorer(TargetScorer):
    """Minus the mean entropy of the target's class probabilities (P. Morerio, J. Cavazza, V. Murino, ICLR 2018). A model that says
    one class everywhere gets the best score: read it beside :class:`InfoMaxScorer`."""

    def _each(self, estimator: Any, X: Any, y: Any, X_target: Any) -> np.ndarray:
        return -entropy(probabilities(estimator, X_target))


class InfoMaxScorer(TargetScorer):
    """Mutual information of row and predicted class on the target, H(mean p) - mean H(p) in nats: J. Bridle, A. Heading, D. MacKay,
    *Unsupervised Classifiers, Mutual Information and 'Phantom Targets'*, NIPS 1991. Certain and spread over the classes is best.

    Row i adds KL(p_i || mean p)."""

    def _each(self, estimator: Any, X: Any, y: Any, X_target: Any) -> np.ndarray:
        p = probabilities(estimator, X_target)
        return -(p * np.log(np.maximum(p.mean(0), 1e-300))).sum(1) - entropy(p)


class ReverseValidation(TargetScorer):
    """Circular validation: E. Zhong, W. Fan, Q. Yang, O. Verscheure, J. Ren, *Cross Validation Framework to Choose Amongst Models and
    Datasets for Transfer Learning*, ECML PKDD 2010.

    The target with the labels that the model gives it becomes the source, a clone of the model adapts back, and is judged on
    the held-out source rows: accuracy, or R^2. A model that says one class only scores 0.
    """

    held_out = True
    regression = True

    def _each(self, estimator: Any, X: Any, y: Any, X_target: Any) -> np.ndarray:
        said = estimator.predict(X_target)
        if not is_regressor(estimator) and len(np.unique(said)) < 2:
            return np.zeros(len(np.asarray(y)))
        return 1 - losses(clone(estimator).fit(X_target, said, X_target=X), X, y)


class HeldOutSource(TargetScorer):
    """Accuracy, or R^2, on held-out source rows. It does not look at the target: read what it chooses as the best model of the source."""

    held_out = True
    regression = True

    def _each(self, estimator: Any, X: Any, y: Any, X_target: Any) -> np.ndarray:
        return 1 - losses(estimator, X, y)


SCORERS = {
    "iwv": ImportanceWeightedScorer,
    "dev": DeepEmbeddedValidation,
    "snd": SoftNeighborhoodDensity,
    "entropy": EntropyScorer,
    "infomax": InfoMaxScorer,
    "reverse": ReverseValidation,
    "source": HeldOutSource,
}


def scorer_by_name(name: Any) -> TargetScorer:
    """A scorer by its name, or the scorer itself.

    Raises:
        RecipeError: not one of ``iwv``, ``dev``, ``snd``, ``entropy``, ``infomax``, ``reverse``, ``source``.
    """
    if isinstance(name, str):
        if name not in SCORERS:
            raise RecipeError(sentence("unknown scorer", got=name, allowed=list(SCORERS)))
        return SCORERS[name]()
    return name
