"""Choosing an adaptation method and its parameters without target labels."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_regressor
from sklearn.model_selection import KFold, ParameterGrid, StratifiedKFold
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, indexable

from headstart.adapters.base import AdaptationWarning
from headstart.adapters.scorers import scorer_by_name
from headstart.errors import HeadstartError, RecipeError, sentence
from headstart.progress import SILENT, Progress

Candidate = tuple[Any, ...]
MARGIN = 1.0
"""Standard errors by which a candidate has to beat the baseline."""


def has_method(name: str) -> Any:
    """The best estimator, once there is one, has a method of this name."""
    return lambda self: not hasattr(self, "best_estimator_") or hasattr(self.best_estimator_, name)


def paired_error(a: np.ndarray, b: np.ndarray) -> float:
    """Standard error of the mean of a - b, row by row: sd / sqrt(m)."""
    difference = a - b
    return float(difference.std(ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else float("inf")


def take(X: Any, rows: np.ndarray) -> Any:
    """Rows of an array or a frame."""
    return X.iloc[rows] if hasattr(X, "iloc") else np.asarray(X)[rows]


class AdaptationSearchCV(MetaEstimatorMixin, BaseEstimator):
    """Fit candidates on the source and the unlabelled target, score each by a criterion that needs no target labels, keep the best.

    Unlike GridSearchCV, folds are made of the source alone: each fit sees the whole target, and ``X_target`` is never cut
    however many rows it has. Criteria that do not look at source rows need no folds, and their candidates are fitted once.

    Args:
        candidates: names of ``headstart adapt --method`` (see :func:`list_methods`), or tuples (name, estimator) or
            (name, estimator, grid) with a scikit-learn parameter grid. Default: source_only, scaler, coral, sa, tca, jda, emd, kmm, bbse.
        scorer: ``"reverse"`` (default: the one that chose best on 22 real pairs, docs/results.md), ``"iwv"``, ``"dev"``, ``"snd"``,
            ``"entropy"``, ``"infomax"``, ``"source"``, or a scorer object. For regression only ``reverse``, ``iwv``, ``dev`` and
            ``source`` are defined.
        task: ``"classification"`` (default) or ``"regression"``; of candidates given by name.
        cv: folds of the source for criteria about held-out rows. Default 3.
        refit: fit the best on all rows. Default True.
        baseline: name of a candidate that stays the choice unless the best one beats it by more than the criterion's noise: a
            standard error of their difference, row by row. Default ``"source_only"``; ``None``: the largest score is taken.
        max_rows: rows of a domain, drawn at random beyond, that candidates are compared on; the best is fitted on all. Default 1,000.
        random_state: of the folds. Default 0.

    Attributes:
        best_method_, best_params_, best_score_, best_index_, best_estimator_.
        cv_results_: dict of equally long lists: ``method``, ``params``, ``mean_test_score``, ``std_test_score``,
            ``rank_test_score``, ``fit_seconds``, ``error`` ("" where none), ``noise`` (standard error of the difference to the
            baseline; ``None`` where there is none), ``target_predictions`` (of the rows ``compared_``, by the fit of the last fold).
        compared_: int, rows of X_target that the candidates were compared on.
        cautious_: whether the baseline was taken though another had a larger score.

    A candidate that fails is named in a warning, scores NaN and does not stop the others.
    """

    __metadata_request__fit = {"X_target": True}

    def __init__(
        self,
        candidates: Sequence[Any] | None = None,
        scorer: Any = None,
        task: str = "classification",
        cv: int = 3,
        refit: bool = True,
        random_state: int | None = 0,
        max_rows: int = 1000,
        baseline: str | None = "source_only",
    ) -> None:
        self.candidates = candidates
        self.scorer = scorer
        self.task = task
        self.cv = cv
        self.refit = refit
        self.random_state = random_state
        self.max_rows = max_rows
        self.baseline = baseline

    def _listed(self) -> list[tuple[str, Any, dict[str, Any]]]:
        from headstart.adapters.catalogue import DEFAULT_SEARCH, make_method

        names: Sequence[Any] = DEFAULT_SEARCH[self.task] if self.candidates is None else self.candidates
        out: list[tuple[str, Any, dict[str, Any]]] = []
        for entry in names:
            if isinstance(entry, str):
                out.append((entry, make_method(entry, task=self.task), {}))
                continue
            name, estimator, *grid = entry
            out += [(name, estimator, params) for params in ParameterGrid(grid[0] if grid else {})]
        if not out:
            raise RecipeError(sentence("nothing to choose from", where="candidates", got=names))
        return out

    def fit(self, X: Any, y: Any, *, X_target: Any, progress: Progress = SILENT) -> Self:
        """Choose among the candidates with the source X (n_s, d), y (n_s,) and X_target (n_t, d)."""
        if self.task not in ("classification", "regression") or self.cv < 2:
            got = f"task={self.task!r}, cv={self.cv}"
            raise RecipeError(
                sentence("the search cannot use this", got=got, allowed="classification or regression; cv >= 2")
            )
        X, y = indexable(X, y)
        y = np.asarray(y)
        scorer = scorer_by_name(self.scorer or "reverse")
        rng = np.random.default_rng(self.random_state)
        few, few_target = (np.sort(rng.permutation(len(rows))[: self.max_rows]) for rows in (y, X_target))
        everything, X, X_target = (X, y, X_target), take(X, few), take(X_target, few_target)
        y = y[few]
        folds = self._folds(X, y) if getattr(scorer, "held_out", True) else None
        names = ("method", "params", "mean_test_score", "std_test_score", "fit_seconds", "error", "target_predictions")
        rows: dict[str, list[Any]] = {name: [] for name in names}
        listed, each = self._listed(), list[np.ndarray]()
        progress.start("comparing methods", len(listed), "method")
        for name, estimator, params in listed:
            began = time.perf_counter()
            found, said = [np.full(1, np.nan)], None
            try:
                found, said = self._scores(clone(estimator).set_params(**params), X, y, X_target, scorer, folds)
                error = ""
            except (HeadstartError, ValueError, ArithmeticError, np.linalg.LinAlgError) as problem:
                error = str(problem).splitlines()[0]
                warnings.warn(f"{name} failed and is left out: {error}", AdaptationWarning, stacklevel=2)
            scores = [float(part.mean()) for part in found]
            each.append(np.concatenate(found))
            mean, spread, seconds = float(np.mean(scores)), float(np.std(scores)), time.perf_counter() - began
            for key, value in zip(names, (name, params, mean, spread, seconds, error, said), strict=True):
                rows[key].append(value)
            progress.advance(1)
        progress.done()
        means = np.array(rows["mean_test_score"])
        if np.isnan(means).all():
            raise RecipeError(
                sentence(
                    "every candidate failed",
                    got="; ".join(f"{m}: {e}" for m, e in zip(rows["method"], rows["error"], strict=True)),
                )
            )
        ranks = np.where(np.isnan(means), np.nan, 1 + (means[:, None] < means[None, :]).sum(1))
        rows["rank_test_score"] = [None if np.isnan(r) else int(r) for r in ranks]
        self.best_index_, self.cautious_, rows["noise"] = self._choice(rows["method"], means, each)
        self.cv_results_ = rows
        self.compared_ = few_target
        self.best_method_, best, self.best_params_ = listed[self.best_index_]
        self.best_score_ = float(means[self.best_index_])
        self.scorer_ = scorer
        X, y, X_target = everything
        if self.refit:
            self.best_estimator_ = clone(best).set_params(**self.best_params_).fit(X, y, X_target=X_target)
            if hasattr(self.best_estimator_, "classes_"):
                self.classes_ = self.best_estimator_.classes_
        return self

    def _folds(self, X: Any, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        if self.task == "regression":
            return list(KFold(min(self.cv, len(y)), shuffle=True, random_state=self.random_state).split(X, y))
        counts = np.unique(y, return_counts=True)[1]
        kind = StratifiedKFold if counts.min() >= 2 else KFold
        n = min(self.cv, int(counts.min())) if counts.min() >= 2 else min(self.cv, len(y))
        return list(kind(n, shuffle=True, random_state=self.random_state).split(X, y))

    def _choice(
        self, methods: list[str], means: np.ndarray, each: list[np.ndarray]
    ) -> tuple[int, bool, list[float | None]]:
        """Place of the choice, whether the baseline was taken for want of a clear winner, and the noise of each difference."""
        best = int(np.nanargmax(means))
        base = methods.index(self.baseline) if self.baseline in methods else None
        if base is None or np.isnan(means[base]):
            return best, False, [None] * len(methods)
        noise = [
            None if np.isnan(means[i]) or i == base else paired_error(row, each[base]) for i, row in enumerate(each)
        ]
        if best == base or means[best] - means[base] > MARGIN * (noise[best] or 0.0):
            return best, False, noise
        return base, True, noise

    def _scores(
        self, estimator: Any, X: Any, y: np.ndarray, X_target: Any, scorer: Any, folds: Any
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """What each row adds to the score, fold by fold; and what the last fit says of the target."""
        if folds is None:
            fitted = estimator.fit(X, y, X_target=X_target)
            return [scorer.each(fitted, X, y, X_target=X_target)], fitted.predict(X_target)
        found = []
        for a, b in folds:
            fitted = clone(estimator).fit(take(X, a), y[a], X_target=X_target)
            found.append(scorer.each(fitted, take(X, b), y[b], X_target=X_target))
        return found, fitted.predict(X_target)

    def predict(self, X: Any) -> np.ndarray:
        """Of the best estimator, for target rows X (n, d)."""
        check_is_fitted(self, "best_estimator_")
        return self.best_estimator_.predict(X)

    @available_if(has_method("predict_proba"))
    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, C), of the best estimator."""
        check_is_fitted(self, "best_estimator_")
        return self.best_estimator_.predict_proba(X)

    def score(self, X: Any, y: Any) -> float:
        """Accuracy, or R^2 for regression, on labelled target rows."""
        from sklearn.metrics import accuracy_score, r2_score

        return float((r2_score if is_regressor(self.best_estimator_) else accuracy_score)(y, self.predict(X)))
