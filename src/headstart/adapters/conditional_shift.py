"""Class-conditional correction: K. Zhang, B. Schölkopf, K. Muandet, Z. Wang, *Domain Adaptation under Target and Conditional
Shift*, ICML 2013 (location-scale); and weights by class, as in M. Gong et al., *Domain Adaptation with Conditional
Transferable Components*, ICML 2016."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, OneToOneFeatureMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from headstart.adapters.base import TwoDomains, TwoSided
from headstart.adapters.logistic_ratio import LogisticDensityRatio
from headstart.adapters.weights import effective_sample_size
from headstart.errors import RecipeError, sentence
from headstart.functional.label_shift import adjust, em_prior


class LocationScaleShift(OneToOneFeatureMixin, TwoSided):
    """Move and stretch each source class onto where that class lies in the target, as far as the target's posteriors tell.

    x -> (x - m_s^c) * s_t^c / s_s^c + m_t^c by column. The target's moments of a class come from posteriors of a classifier
    fitted on the moved source, under a prior estimated by expectation maximisation; both are repeated ``n_iter`` times.
    Against negative transfer a class moves by the share n_c / (n_c + prior_rows) only, with n_c the effective number of
    target rows that speak for it: a class that the target lacks stays.

    Args:
        estimator: with ``predict_proba``; default logistic regression.
        n_iter: default 5.
        prior_rows: >= 0. Default 10.
        scale: stretch, too; else move only. Default True.

    Attributes:
        shift_, stretch_: (C, d).
        target_prior_: (C,).
        trust_: (C,), the share by which each class moved.

    New source rows (``transform_source``) move by the mean of the classes' maps, weighted by the classifier's posteriors.
    """

    def __init__(self, estimator: Any = None, n_iter: int = 5, prior_rows: float = 10.0, scale: bool = True) -> None:
        self.estimator = estimator
        self.n_iter = n_iter
        self.prior_rows = prior_rows
        self.scale = scale

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def _learn(self, Xs: np.ndarray, y: np.ndarray | None, Xt: np.ndarray) -> None:
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None: classes are moved one by one")
        if self.n_iter < 1 or not self.prior_rows >= 0:
            raise RecipeError(sentence("out of range", got=f"n_iter={self.n_iter}, prior_rows={self.prior_rows}"))
        check_classification_targets(y)
        self.classes_, truth = np.unique(y, return_inverse=True)
        k, d = len(self.classes_), Xs.shape[1]
        base = LogisticRegression(max_iter=1000) if self.estimator is None else self.estimator
        prior = np.bincount(truth) / len(truth)
        self._means = np.array([Xs[truth == c].mean(0) for c in range(k)])
        spread = np.array([Xs[truth == c].std(0) for c in range(k)])
        self.shift_, self.stretch_, self.trust_ = np.zeros((k, d)), np.ones((k, d)), np.zeros(k)
        self.target_prior_ = prior
        self._model = None
        if k < 2 or Xt is Xs:
            return
        for _ in range(self.n_iter):
            self._model = clone(base).fit(self._moved(Xs, truth), truth)
            said = self._model.predict_proba(Xt)
            self.target_prior_ = em_prior(said, prior)
            said = adjust(said, self.target_prior_ / prior)
            mass = said.sum(0)
            rows = np.where(mass > 0, mass**2 / np.maximum((said**2).sum(0), 1e-300), 0) * (mass > 1)
            self.trust_ = rows / (rows + self.prior_rows) if self.prior_rows else (rows > 0).astype(float)
            share = said / np.maximum(mass, 1e-300)
            means = share.T @ Xt
            deviations = np.sqrt(np.maximum(share.T @ Xt**2 - means**2, 0))
            self.shift_ = self.trust_[:, None] * (means - self._means)
            ratio = np.where((spread > 1e-12) & (deviations > 1e-12), deviations / np.maximum(spread, 1e-12), 1.0)
            self.stretch_ = ratio ** self.trust_[:, None] if self.scale else np.ones((k, d))
        self._truth = truth

    def _moved(self, X: np.ndarray, of: np.ndarray) -> np.ndarray:
        return (X - self._means[of]) * self.stretch_[of] + self._means[of] + self.shift_[of]

    def _source_side(self, X: np.ndarray) -> np.ndarray:
        if self._model is None:
            return X
        said = self._model.predict_proba(X)
        out = np.zeros(X.shape)
        for c in range(said.shape[1]):
            out += said[:, [c]] * self._moved(X, np.full(len(X), c))
        return out

    def _fitted_source_side(self, X: np.ndarray) -> np.ndarray:
        return X if self._model is None else self._moved(X, self._truth)

    def _target_side(self, X: np.ndarray) -> np.ndarray:
        return X


class ConditionalWeights(ClassifierMixin, TwoDomains):
    """A classifier on source rows weighted by p_t(y) / p_s(y) * p_t(x | y) / p_s(x | y), class by class.

    The second factor is a logistic density ratio between the source rows of a class and the target rows, each counted by its
    posterior of that class; it is tempered by the share n_c / (n_c + prior_rows), so that a class of which the target shows
    little keeps even weights.

    Args:
        estimator: takes ``sample_weight`` and has ``predict_proba``. Default logistic regression.
        n_iter: rounds of posteriors and weights. Default 3.
        prior_rows: default 10.
        clip: cut weights above it. Default not.

    Attributes:
        classes_, estimator_, target_prior_, trust_ (C,), sample_weight_ (n_s,), effective_sample_size_.
    """

    def __init__(
        self, estimator: Any = None, n_iter: int = 3, prior_rows: float = 10.0, clip: float | None = None
    ) -> None:
        self.estimator = estimator
        self.n_iter = n_iter
        self.prior_rows = prior_rows
        self.clip = clip

    def fit(self, X: Any, y: Any, *, X_target: Any = None) -> Self:
        """Learn from the source X (n_s, d), y (n_s,) and the target's rows X_target (n_t, d)."""
        Xs, _, truth, Xt = self._classified(X, y, X_target)
        k = len(self.classes_)
        base = LogisticRegression(max_iter=1000) if self.estimator is None else self.estimator
        prior = np.bincount(truth) / len(truth)
        weights = np.ones(len(Xs))
        self.target_prior_, self.trust_ = prior, np.zeros(k)
        self.estimator_ = clone(base).fit(Xs, truth)
        for _ in range(self.n_iter if Xt is not Xs else 0):
            said = self.estimator_.predict_proba(Xt)
            # from the second round on the model already speaks under the last estimate of the target's prior
            before, self.target_prior_ = self.target_prior_, em_prior(said, self.target_prior_)
            said = adjust(said, self.target_prior_ / np.maximum(before, 1e-12))
            rows = said.sum(0) ** 2 / np.maximum((said**2).sum(0), 1e-300) * (said.sum(0) > 1)
            self.trust_ = rows / (rows + self.prior_rows) if self.prior_rows else (rows > 0).astype(float)
            for c in range(k):
                mine = truth == c
                target = Xt[said.argmax(1) == c]
                ratio = (
                    LogisticDensityRatio()._ratio(Xs[mine], target)
                    if len(target) > 1 and mine.sum() > 1
                    else np.ones(mine.sum())
                )
                ratio = (ratio / max(ratio.mean(), 1e-300)) ** self.trust_[c]
                weights[mine] = self.target_prior_[c] / prior[c] * ratio / ratio.mean()
            if self.clip is not None:
                weights = np.minimum(weights, self.clip)
            # one rare class at weight 0 would vanish from the classifier
            self.estimator_ = clone(base).fit(Xs, truth, sample_weight=np.maximum(weights, 1e-6))
        self.sample_weight_, self.effective_sample_size_ = weights, effective_sample_size(weights)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, C) class probabilities of target rows."""
        check_is_fitted(self)
        return self.estimator_.predict_proba(validate_data(self, X, reset=False))

    def predict(self, X: Any) -> np.ndarray:
        """Labels (n,) of target rows."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(1)]
