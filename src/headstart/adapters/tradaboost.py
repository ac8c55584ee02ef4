"""TrAdaBoost: W. Dai, Q. Yang, G.-R. Xue, Y. Yu, *Boosting for Transfer Learning*, ICML 2007."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, clone
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.validation import check_is_fitted

from headstart.adapters.labelled_target import LabelledTarget, two_classes_or_more
from headstart.errors import RecipeError, sentence


class TrAdaBoost(ClassifierMixin, LabelledTarget):
    """Boosting that raises the weight of target rows it gets wrong and lowers that of source rows it gets wrong.

    Source rows fall by beta = 1 / (1 + sqrt(2 ln n_s / N)), target rows rise by 1 / beta_t, beta_t = e_t / (1 - e_t) with the
    error e_t on the target; the second half of the rounds votes. With more than two classes an error is any wrong label and
    beta_t follows SAMME (Zhu et al. 2009).

    Args:
        estimator: takes ``sample_weight``. Default a decision tree of depth 3.
        n_estimators: N, rounds. Default 20.
        keep_source_mass: scale the source's weights each round so that they lose no mass to the target's by the known drift
            of the algorithm (Al-Stouhi and Reddy 2011, *Adaptive Boosting for Transfer Learning Using Dynamic Updates*).
            Default False.
        balanced: start with weights under which each class of a domain weighs the same. Default False.
        random_state: of the estimator where it takes one. Default 0.

    Attributes:
        classes_, estimators_, betas_ (one a round).
        source_weight_: (n_s,), at the end, of sum 1 with the target's: source rows near 0 were of no use.
    """

    def __init__(
        self,
        estimator: Any = None,
        n_estimators: int = 20,
        keep_source_mass: bool = False,
        balanced: bool = False,
        random_state: int | None = 0,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.keep_source_mass = keep_source_mass
        self.balanced = balanced
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, X_target: Any = None, y_target: Any = None) -> Self:
        """Learn from the source X (n_s, d), y (n_s,) and labelled target rows X_target (n_t, d), y_target (n_t,)."""
        if self.n_estimators < 1:
            raise RecipeError(sentence("n_estimators is out of range", got=self.n_estimators, allowed="1 or more"))
        Xs, ys, Xt, yt = self._labelled(X, y, X_target, y_target)
        self.classes_ = two_classes_or_more(ys, yt)
        k, n_s, n_t = len(self.classes_), len(Xs), len(Xt)
        rows, labels = np.concatenate([Xs, Xt]), np.searchsorted(self.classes_, np.concatenate([ys, yt]))
        weight = np.r_[balanced(labels[:n_s]), balanced(labels[n_s:])] if self.balanced else np.ones(n_s + n_t)
        fall = 1 / (1 + np.sqrt(2 * np.log(max(n_s, 2)) / self.n_estimators))
        base = DecisionTreeClassifier(max_depth=3) if self.estimator is None else self.estimator
        self.estimators_, self.betas_ = [], []
        for _ in range(self.n_estimators):
            weight /= weight.sum()
            model = clone(base)
            if "random_state" in model.get_params():
                model.set_params(random_state=self.random_state)
            model.fit(rows, labels, sample_weight=weight)
            wrong = model.predict(rows) != labels
            error = float(weight[n_s:] @ wrong[n_s:] / weight[n_s:].sum())
            # more than chance is needed to vote: half for two classes, (K - 1) / K for K
            error = min(max(error, 1e-10), (k - 1) / k - 1e-3)
            beta = error / ((1 - error) * (k - 1))
            self.estimators_.append(model)
            self.betas_.append(beta)
            correction = 2 * (1 - error) if self.keep_source_mass else 1.0
            weight[:n_s] *= correction * np.where(wrong[:n_s], fall, 1.0)
            weight[n_s:] *= np.where(wrong[n_s:], 1 / beta, 1.0)
        self.source_weight_ = (weight / weight.sum())[:n_s]
        return self

    def decision_scores(self, X: Any) -> np.ndarray:
        """(n, C) votes of the second half of the rounds, each weighing -log beta."""
        rows = self._rows(X)
        votes = np.zeros((len(rows), len(self.classes_)))
        for model, beta in list(zip(self.estimators_, self.betas_, strict=True))[len(self.betas_) // 2 :]:
            votes[np.arange(len(rows)), model.predict(rows)] += -np.log(beta)
        return votes

    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, C): shares of the votes."""
        votes = self.decision_scores(X)
        total = votes.sum(1, keepdims=True)
        return np.where(total > 0, votes / np.where(total > 0, total, 1), 1 / votes.shape[1])

    def predict(self, X: Any) -> np.ndarray:
        """Labels (n,)."""
        check_is_fitted(self)
        return self.classes_[self.decision_scores(X).argmax(1)]


def balanced(labels: np.ndarray) -> np.ndarray:
    """(n,) weights of mean 1 under which each class that occurs weighs the same together."""
    counts = np.bincount(labels)
    return len(labels) / ((counts > 0).sum() * counts[labels])
