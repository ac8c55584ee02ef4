"""Two-stage TrAdaBoost.R2: D. Pardoe, P. Stone, *Boosting for Regression Transfer*, ICML 2010."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin, clone
from sklearn.model_selection import KFold
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.validation import check_is_fitted

from headstart.adapters.labelled_target import LabelledTarget
from headstart.errors import RecipeError, sentence


class TrAdaBoostR2(RegressorMixin, LabelledTarget):
    """Regression that first lowers the weight of the whole source step by step, and boosts on the target at each step.

    Stage 1: in step t source weights fall by beta^e_i so that the target's rows weigh n_t / n + t / (S - 1) (1 - n_t / n)
    together. Stage 2: AdaBoost.R2 (Drucker 1997) on all rows with the source's weights held. The step with the least
    cross-validated error on the target rows is kept.

    Args:
        estimator: takes ``sample_weight``. Default a decision tree of depth 4.
        n_estimators: of each boosting. Default 10.
        n_steps: S, default 10.
        cv: folds over the target rows. Default 5.
        random_state: default 0.

    Attributes:
        step_: kept; ``errors_`` (S,) mean absolute errors of the steps.
        estimators_, estimator_weights_: of the kept step.
    """

    def __init__(
        self,
        estimator: Any = None,
        n_estimators: int = 10,
        n_steps: int = 10,
        cv: int = 5,
        random_state: int | None = 0,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.n_steps = n_steps
        self.cv = cv
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, X_target: Any = None, y_target: Any = None) -> Self:
        """Learn from the source X (n_s, d), y (n_s,) and labelled target rows X_target (n_t, d), y_target (n_t,)."""
        if self.n_estimators < 1 or self.n_steps < 2 or self.cv < 2:
            got = f"n_estimators={self.n_estimators}, n_steps={self.n_steps}, cv={self.cv}"
            raise RecipeError(sentence("out of range", got=got, allowed="n_estimators >= 1, n_steps >= 2, cv >= 2"))
        Xs, ys, Xt, yt = self._labelled(X, y, X_target, y_target, numeric=True)
        n_s, n_t = len(Xs), len(Xt)
        folds = min(self.cv, n_t)
        splits = list(KFold(folds, shuffle=True, random_state=self.random_state).split(Xt)) if folds > 1 else []
        weight = np.full(n_s + n_t, 1 / (n_s + n_t))
        rows, values = np.concatenate([Xs, Xt]), np.concatenate([ys, yt])
        self.errors_, best = [], np.inf
        for step in range(self.n_steps):
            missed = []
            for keep, out in splits:
                use = np.r_[np.arange(n_s), n_s + keep]
                models, votes = self._boost(rows[use], values[use], weight[use], n_s)
                missed.append(np.abs(weighted_median(models, votes, Xt[out]) - yt[out]))
            error = float(np.concatenate(missed).mean()) if missed else float(-step)
            self.errors_.append(error)
            if error < best:
                best, self.step_, kept = error, step, weight.copy()
            share = n_t / (n_s + n_t) + (step + 1) / (self.n_steps - 1) * (1 - n_t / (n_s + n_t))
            weight = self._lowered(rows, values, weight, n_s, min(share, 1 - 1e-9))
        self.estimators_, self.estimator_weights_ = self._boost(rows, values, kept, n_s)
        return self

    def _model(self) -> Any:
        base = DecisionTreeRegressor(max_depth=4) if self.estimator is None else self.estimator
        model = clone(base)
        if "random_state" in model.get_params():
            model.set_params(random_state=self.random_state)
        return model

    def _lowered(self, rows: np.ndarray, values: np.ndarray, weight: np.ndarray, n_s: int, share: float) -> np.ndarray:
        """Source weights times beta^e_i, with the beta under which the target weighs ``share``, by bisection."""
        off = np.abs(self._model().fit(rows, values, sample_weight=weight).predict(rows) - values)
        e = off[:n_s] / max(float(off.max()), 1e-300)
        target = float(weight[n_s:].sum())
        low, high = 0.0, 1.0  # of -log beta; doubled until it is enough, or until the source has nothing left to lose
        held = lambda t: target / (target + float((weight[:n_s] * np.exp(-t * e)).sum()))  # noqa: E731
        while held(high) < share and high < 1e9:
            high *= 2
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if held(middle) < share else (low, middle)
        out = weight.copy()
        out[:n_s] *= np.exp(-high * e)
        return out / out.sum()

    def _boost(
        self, rows: np.ndarray, values: np.ndarray, weight: np.ndarray, n_s: int
    ) -> tuple[list[Any], list[float]]:
        """AdaBoost.R2 with the source's weights held (AdaBoost.R2')."""
        weight = weight / weight.sum()
        models: list[Any] = []
        votes: list[float] = []
        for _ in range(self.n_estimators):
            model = self._model().fit(rows, values, sample_weight=weight)
            off = np.abs(model.predict(rows) - values)
            e = off / max(float(off[n_s:].max(initial=0)), 1e-300)
            error = float(weight[n_s:] @ np.minimum(e[n_s:], 1) / weight[n_s:].sum())
            if models and error >= 0.5:
                break
            beta = max(error, 1e-10) / max(1 - error, 1e-10)
            models.append(model)
            votes.append(max(-np.log(beta), 1e-10))
            if error <= 1e-10 or error >= 0.5:
                break
            mass = weight[n_s:].sum()
            changed = weight[n_s:] * beta ** (1 - np.minimum(e[n_s:], 1))
            weight = np.r_[weight[:n_s], changed * (mass / changed.sum())]
        return models, votes

    def predict(self, X: Any) -> np.ndarray:
        """Values (n,): the weighted median of the estimators."""
        check_is_fitted(self)
        return weighted_median(self.estimators_, self.estimator_weights_, self._rows(X))


def weighted_median(models: list[Any], votes: list[float], X: np.ndarray) -> np.ndarray:
    """The least prediction (n,) at which half of the votes is reached."""
    said = np.column_stack([m.predict(X) for m in models])
    order = said.argsort(1)
    reached = np.cumsum(np.asarray(votes)[order], axis=1)
    at = (reached >= 0.5 * reached[:, -1:]).argmax(1)
    return said[np.arange(len(X)), order[np.arange(len(X)), at]]
