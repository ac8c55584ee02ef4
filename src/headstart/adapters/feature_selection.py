"""Feature selection for transfer: columns that predict the label and do not tell the domain. In the manner of S. Uguroglu,
J. Carbonell, *Feature Selection for Transfer Learning*, ECML PKDD 2011, with mutual information on both sides."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.feature_selection import SelectorMixin, mutual_info_classif, mutual_info_regression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.utils import Tags
from sklearn.utils.multiclass import type_of_target

from headstart.adapters.base import TwoSided, components_wanted
from headstart.adapters.logistic_ratio import LogisticDensityRatio
from headstart.errors import RecipeError, sentence


class TransferFeatureSelector(SelectorMixin, TwoSided):
    """Keep the columns of greatest I(x_j; y) - penalty * I(x_j; domain), both in nats and estimated by nearest neighbours.

    Args:
        n_features: how many; ``"cv"`` (default) takes the size on ``path_`` with the best importance-weighted cross-validated
            score of ``estimator`` (weights estimated anew on the columns of each size).
        penalty: >= 0, weight of the domain's information. Default 1.
        estimator: for ``"cv"``; default logistic regression, or ridge for a continuous y.
        cv: folds. Default 3.
        max_rows: rows of a domain used to estimate information. Default 2,000.
        random_state: default 0.

    Attributes:
        relevance_, discrepancy_, scores_: (d,).
        order_: (d,) columns, best first.
        path_: list of (size, score) for ``"cv"``.
        n_features_: kept.
    """

    _min_rows = 2

    def __init__(
        self,
        n_features: int | str = "cv",
        penalty: float = 1.0,
        estimator: Any = None,
        cv: int = 3,
        max_rows: int = 2000,
        random_state: int | None = 0,
    ) -> None:
        self.n_features = n_features
        self.penalty = penalty
        self.estimator = estimator
        self.cv = cv
        self.max_rows = max_rows
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def _learn(self, Xs: np.ndarray, y: np.ndarray | None, Xt: np.ndarray) -> None:
        if y is None:
            raise ValueError(
                "requires y to be passed, but the target y is None: columns are judged by the source's labels"
            )
        if (
            not self.penalty >= 0
            or self.cv < 2
            or not (self.n_features == "cv" or isinstance(self.n_features, (int, np.integer)))
        ):
            got = f"n_features={self.n_features!r}, penalty={self.penalty}, cv={self.cv}"
            raise RecipeError(
                sentence(
                    "TransferFeatureSelector cannot use this", got=got, allowed="a count or 'cv', penalty >= 0, cv >= 2"
                )
            )
        continuous = type_of_target(y) == "continuous"
        rng = np.random.default_rng(self.random_state)
        s, t = (np.sort(rng.permutation(len(X))[: self.max_rows]) for X in (Xs, Xt))
        information = mutual_info_regression if continuous else mutual_info_classif
        near = min(3, len(s) - 1)
        self.relevance_ = information(Xs[s], y[s], n_neighbors=max(1, near), random_state=self.random_state)
        if Xt is Xs:
            self.discrepancy_ = np.zeros(Xs.shape[1])
        else:
            both, domain = np.concatenate([Xs[s], Xt[t]]), np.r_[np.zeros(len(s), int), np.ones(len(t), int)]
            self.discrepancy_ = mutual_info_classif(both, domain, random_state=self.random_state)
        self.scores_ = self.relevance_ - self.penalty * self.discrepancy_
        self.order_ = np.argsort(-self.scores_, kind="stable")
        self.path_: list[tuple[int, float]] = []
        if self.n_features == "cv":
            self.n_features_ = self._by_validation(Xs, y, Xt, continuous)
        else:
            self.n_features_ = components_wanted(int(self.n_features), Xs.shape[1], "n_features", "columns")
        self._mask = np.zeros(Xs.shape[1], bool)
        self._mask[self.order_[: self.n_features_]] = True

    def _by_validation(self, Xs: np.ndarray, y: np.ndarray, Xt: np.ndarray, continuous: bool) -> int:
        d = Xs.shape[1]
        sizes = sorted({*np.unique(np.geomspace(1, d, min(d, 8)).round().astype(int)), d})
        base = (
            (Ridge() if continuous else LogisticRegression(max_iter=1000)) if self.estimator is None else self.estimator
        )
        counts = len(y) if continuous else int(np.unique(y, return_counts=True)[1].min())
        if min(counts, len(y)) < 2:
            return d
        folds = min(self.cv, counts)
        kind = KFold if continuous else StratifiedKFold
        splits = list(kind(folds, shuffle=True, random_state=self.random_state).split(Xs, y))
        for size in sizes:
            use = self.order_[:size]
            weights = np.ones(len(Xs)) if Xt is Xs else LogisticDensityRatio()._ratio(Xs[:, use], Xt[:, use])
            total = hit = 0.0
            for train, test in splits:
                said = clone(base).fit(Xs[train][:, use], y[train]).predict(Xs[test][:, use])
                good = -((said - y[test]) ** 2) if continuous else (said == y[test])
                hit += float(weights[test] @ good)
                total += float(weights[test].sum())
            self.path_.append((int(size), hit / max(total, 1e-300)))
        return max(self.path_, key=lambda item: (item[1], -item[0]))[0]

    def _get_support_mask(self) -> np.ndarray:
        return self._mask

    def _target_side(self, X: np.ndarray) -> np.ndarray:
        return X[:, self._mask]

    _source_side = _target_side

    def transform(self, X: Any) -> np.ndarray:
        """The kept columns of X (n, d): (n, n_features_)."""
        return self._one_side(X, self._target_side)
