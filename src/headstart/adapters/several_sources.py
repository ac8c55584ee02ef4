"""Several sources: each row of X names the source it comes from."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted, column_or_1d, has_fit_parameter, validate_data

from headstart.adapters.base import TwoDomains
from headstart.adapters.optimal_transport import OptimalTransport
from headstart.errors import ArrayError, RecipeError, sentence
from headstart.functional.box_qp import solve_box_qp
from headstart.functional.kernels import kernel_matrix, median_gamma

NEAR_ZERO = 0.01  # a source whose weight is below this share of an even one is named as dropped


class SeveralSources(ClassifierMixin, TwoDomains):
    """Base: ``fit(X, y, sources=..., X_target=...)``; ``sources`` (n_s,) names the source of each row, default one for all.

    Attributes:
        source_names_: (S,).
        source_weights_: (S,), of sum 1.
        dropped_: names of sources whose weight is near zero: they would hurt.
    """

    __metadata_request__fit = {"X_target": True, "sources": True}

    def _several(
        self, X: Any, y: Any, sources: Any, X_target: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        Xs, labels, _, Xt = self._classified(X, y, X_target)
        names = np.full(len(Xs), "source") if sources is None else column_or_1d(np.asarray(sources))
        if len(names) != len(Xs):
            raise ArrayError(sentence("sources has another length than X", got=len(names), allowed=len(Xs)))
        self.source_names_, of = np.unique(names, return_inverse=True)
        return Xs, labels, of, Xt

    def _name_dropped(self) -> None:
        bar = NEAR_ZERO / len(self.source_names_)
        self.dropped_ = [str(n) for n, w in zip(self.source_names_, self.source_weights_, strict=True) if w < bar]

    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, C) class probabilities of target rows X (n, d)."""
        raise NotImplementedError

    def predict(self, X: Any) -> np.ndarray:
        """Labels (n,) of target rows X (n, d)."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(1)]

    def _rows(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return validate_data(self, X, reset=False)


def weighted_base(estimator: Any) -> Any:
    """``estimator`` or logistic regression; it has to take sample weights and give probabilities."""
    base = LogisticRegression(max_iter=1000) if estimator is None else estimator
    if not (has_fit_parameter(base, "sample_weight") and hasattr(base, "predict_proba")):
        allowed = "one with predict_proba whose fit takes sample_weight"
        raise RecipeError(
            sentence("several sources cannot be combined with this", got=type(base).__name__, allowed=allowed)
        )
    return base


def mixture_weights(
    domains: list[np.ndarray], Xt: np.ndarray, ridge: float, max_rows: int, seed: int | None
) -> np.ndarray:
    """pi (S,) >= 0 of sum 1 with the least MMD^2 between the mixture of sources and the target, plus ridge ||pi||^2.

    The distribution-weighted combination of Y. Mansour, M. Mohri, A. Rostamizadeh (NIPS 2008), with weights by kernel means.
    """
    rng = np.random.default_rng(seed)
    drawn = [X if len(X) <= max_rows else X[rng.choice(len(X), max_rows, replace=False)] for X in (*domains, Xt)]
    gamma = median_gamma(np.concatenate(drawn[:-1]), drawn[-1])
    S = len(domains)
    inner = np.empty((S + 1, S + 1))
    for i in range(S + 1):
        for j in range(i, S + 1):
            K = kernel_matrix("rbf", drawn[i], drawn[j], gamma)
            n = len(K)
            # without the diagonal: a mean over pairs of different rows is not biased by how many there are
            inner[i, j] = inner[j, i] = (K.sum() - n) / (n * (n - 1)) if i == j and n > 1 else K.mean()
    low = np.linalg.eigvalsh(inner[:S, :S])[0]
    K = inner[:S, :S] + (max(0.0, -low) + ridge) * np.eye(S)
    return simplex(solve_box_qp(K, inner[:S, S], 1.0, 1.0, 1.0, 1e-10).b)


def simplex(weights: np.ndarray) -> np.ndarray:
    """Non-negative, of sum 1."""
    weights = np.maximum(weights, 0)
    return weights / weights.sum() if weights.sum() > 0 else np.full(len(weights), 1 / len(weights))


class WeightedSources(SeveralSources):
    """One classifier on all rows, each source weighing what it has in common with the target.

    The weights are those of the mixture of sources whose kernel mean is nearest to the target's: a source from elsewhere
    gets none.

    Args:
        estimator: default logistic regression.
        ridge: pulls the weights towards even ones. Default 1e-3.
        max_rows: of a domain used for the weights. Default 1,000.
        random_state: default 0.
    """

    def __init__(
        self, estimator: Any = None, ridge: float = 1e-3, max_rows: int = 1000, random_state: int | None = 0
    ) -> None:
        self.estimator = estimator
        self.ridge = ridge
        self.max_rows = max_rows
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, sources: Any = None, X_target: Any = None) -> Self:
        """Learn from all sources X (n_s, d), y (n_s,), their names ``sources`` (n_s,), and X_target (n_t, d)."""
        base = weighted_base(self.estimator)
        Xs, labels, of, Xt = self._several(X, y, sources, X_target)
        S = len(self.source_names_)
        domains = [Xs[of == s] for s in range(S)]
        self.source_weights_ = (
            mixture_weights(domains, Xt, self.ridge, self.max_rows, self.random_state) if S > 1 else np.ones(1)
        )
        self._name_dropped()
        weight = (self.source_weights_ / np.bincount(of))[of] * len(Xs)
        for c in self.classes_:  # a class that only dropped sources have is kept, lightly
            weight[labels == c] = np.maximum(weight[labels == c], 1e-6)
        self.sample_weight_ = weight
        self.estimator_ = clone(base).fit(Xs, labels, sample_weight=weight)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, C) class probabilities of target rows X (n, d)."""
        rows = self._rows(X)
        return self.estimator_.predict_proba(rows)


class SourceEnsemble(SeveralSources):
    """A model for each source, their probabilities averaged by how near the source is and how far the others agree with it.

    weight_s is proportional to pi_s (see :class:`WeightedSources`) times max(0, agreement_s) ** sharpness: agreement_s is
    Cohen's kappa between model s and the weighted vote of the others on the target's rows. A source with the right looks but
    wrong labels agrees no more than chance and gets no weight.

    Args:
        estimator: default logistic regression.
        sharpness: >= 0; 0 leaves agreement out. Default 2.
        ridge, max_rows, random_state: as for :class:`WeightedSources`; default ridge 1e-2.

    Attributes:
        estimators_: one a source. agreement_: (S,).
    """

    def __init__(
        self,
        estimator: Any = None,
        sharpness: float = 2.0,
        ridge: float = 1e-2,
        max_rows: int = 1000,
        random_state: int | None = 0,
    ) -> None:
        self.estimator = estimator
        self.sharpness = sharpness
        self.ridge = ridge
        self.max_rows = max_rows
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, sources: Any = None, X_target: Any = None) -> Self:
        """Learn from all sources X (n_s, d), y (n_s,), their names ``sources`` (n_s,), and X_target (n_t, d)."""
        base = weighted_base(self.estimator)
        Xs, labels, of, Xt = self._several(X, y, sources, X_target)
        S = len(self.source_names_)
        for s in range(S):
            if len(np.unique(labels[of == s])) < 2:
                raise ArrayError(
                    sentence("a source has one class only", got=str(self.source_names_[s]), fix="WeightedSources")
                )
        self.estimators_ = [clone(base).fit(Xs[of == s], labels[of == s]) for s in range(S)]
        near = np.ones(1)
        if S > 1:
            near = mixture_weights([Xs[of == s] for s in range(S)], Xt, self.ridge, self.max_rows, self.random_state)
        said = [self._one(s, Xt) for s in range(S)]
        self.agreement_ = np.ones(S)
        for _ in range(5 if S > 2 else 0):
            trust = near * np.maximum(self.agreement_, 0) ** self.sharpness + 1e-9
            for s in range(S):
                rest = sum(trust[o] * said[o] for o in range(S) if o != s)
                self.agreement_[s] = kappa(said[s].argmax(1), np.asarray(rest).argmax(1), len(self.classes_))
        self.source_weights_ = simplex(near * np.maximum(self.agreement_, 0) ** self.sharpness)
        self._name_dropped()
        return self

    def _one(self, s: int, rows: np.ndarray) -> np.ndarray:
        out = np.zeros((len(rows), len(self.classes_)))
        out[:, np.searchsorted(self.classes_, self.estimators_[s].classes_)] = self.estimators_[s].predict_proba(rows)
        return out

    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, C) class probabilities of target rows X (n, d)."""
        rows = self._rows(X)
        return np.asarray(sum(w * self._one(s, rows) for s, w in enumerate(self.source_weights_) if w > 0))


class MultiSourceTransport(SeveralSources):
    """Each source moved onto the target by optimal transport; a classifier on all moved rows, weighing cheap transports more.

    weight_s is proportional to exp(-cost_s / temperature) with the mean transport cost of a row in units of the target's own
    spread: a source that has to be bent far weighs little. (E. F. Montesuma, F. Mboula, *Wasserstein Barycenter Transport for
    Acoustic Adaptation*, 2021, is the case in which the sources are first averaged; here the target takes that place.)

    Args:
        estimator: default logistic regression.
        method, reg: of :class:`OptimalTransport`; default ``"emd"``.
        temperature: > 0, default 0.25.
        max_rows: of a source that is transported; drawn by class beyond. Default 2,000.
        random_state: default 0.

    Attributes:
        transport_costs_: (S,).
    """

    def __init__(
        self,
        estimator: Any = None,
        method: str = "emd",
        reg: float = 0.005,
        temperature: float = 0.25,
        max_rows: int = 2000,
        random_state: int | None = 0,
    ) -> None:
        self.estimator = estimator
        self.method = method
        self.reg = reg
        self.temperature = temperature
        self.max_rows = max_rows
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, sources: Any = None, X_target: Any = None) -> Self:
        """Learn from all sources X (n_s, d), y (n_s,), their names ``sources`` (n_s,), and X_target (n_t, d)."""
        base = weighted_base(self.estimator)
        if not self.temperature > 0:
            raise RecipeError(sentence("temperature is out of range", got=self.temperature, allowed="above 0"))
        Xs, labels, of, Xt = self._several(X, y, sources, X_target)
        rng, S = np.random.default_rng(self.random_state), len(self.source_names_)
        rows, said, owner, costs = [], [], [], []
        spread = float(((Xt - Xt.mean(0)) ** 2).sum(1).mean()) or 1.0
        for s in range(S):
            mine = np.flatnonzero(of == s)
            if len(mine) > self.max_rows:
                mine = np.sort(rng.choice(mine, self.max_rows, replace=False))
            moved = OptimalTransport(self.method, reg=self.reg).fit_transform(Xs[mine], labels[mine], X_target=Xt)
            costs.append(float(((moved - Xs[mine]) ** 2).sum(1).mean()) / spread)
            rows.append(moved)
            said.append(labels[mine])
            owner.append(np.full(len(mine), s))
        self.transport_costs_ = np.array(costs)
        self.source_weights_ = simplex(np.exp(-(self.transport_costs_ - min(costs)) / self.temperature))
        self._name_dropped()
        of = np.concatenate(owner)
        weight = np.maximum((self.source_weights_ / np.bincount(of))[of] * len(of), 1e-6)
        self.estimator_ = clone(base).fit(np.concatenate(rows), np.concatenate(said), sample_weight=weight)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, C) class probabilities of target rows X (n, d)."""
        rows = self._rows(X)
        return self.estimator_.predict_proba(rows)


def kappa(a: np.ndarray, b: np.ndarray, k: int) -> float:
    """Cohen's kappa of two labellings (n,) in 0..k-1: 1 the same, 0 as by chance."""
    agree = float((a == b).mean())
    chance = float((np.bincount(a, minlength=k) / len(a)) @ (np.bincount(b, minlength=k) / len(b)))
    return (agree - chance) / (1 - chance) if chance < 1 else float(agree == 1)
