"""From the name of a method to a fitted model."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.data.feature_tables import FeatureTable
from headstart.errors import DataError, sentence
from headstart.verbs.adapt_question import Question


def head(question: Question) -> Any:
    """The classifier or regressor inside every method and baseline."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    if question.task == "regression":
        return Ridge()
    return {
        "logistic": lambda: LogisticRegression(max_iter=2000),
        "1nn": lambda: KNeighborsClassifier(1),
        "svm": lambda: SVC(kernel="linear"),
    }[question.classifier]()


def labelled_rows(target: FeatureTable, question: Question) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the target rows whose labels the method may see, and of those it is judged on."""
    everything = np.arange(len(target.X))
    k = question.target_labels
    if not k:
        return np.empty(0, int), everything
    if target.y is None:
        raise DataError(sentence("--target-labels needs labels in the target", where=target.origin, got="none"))
    rng = np.random.default_rng(question.seed)
    if question.task == "regression":
        groups = [everything]
    else:
        groups = [np.flatnonzero(target.y == c) for c in np.unique(target.y)]
    few = np.sort(np.concatenate([rng.choice(g, min(k, max(1, len(g) - 1)), replace=False) for g in groups]))
    rest = np.setdiff1d(everything, few)
    if len(rest) < 2:
        raise DataError(
            sentence(
                "no target rows are left to judge by",
                got=f"--target-labels {k}",
                allowed=f"fewer than {len(everything)}",
            )
        )
    return few, rest


def fitted(
    question: Question, Xs: np.ndarray, ys: np.ndarray, Xt: np.ndarray, few: np.ndarray, yt: np.ndarray | None
) -> tuple[str, Any, list[dict[str, Any]]]:
    """The name of the method, the fitted model, and, for auto, the candidates with their scores. ``yt`` is read at ``few`` alone."""
    from headstart.adapters.catalogue import DEFAULT_SEARCH, make_method
    from headstart.adapters.search import AdaptationSearchCV

    inside = head(question)
    if question.method == "auto":
        named = [(name, make_method(name, inside, task=question.task)) for name in DEFAULT_SEARCH[question.task]]
        search = AdaptationSearchCV(named, scorer=question.select, task=question.task, random_state=question.seed).fit(
            Xs, ys, X_target=Xt
        )
        r = search.cv_results_
        rows = [
            {
                "method": m,
                "score": None if np.isnan(s) else s,
                "rank": k,
                "seconds": t,
                "error": e,
                "criterion": type(search.scorer_).__name__,
            }
            for m, s, k, t, e in zip(
                r["method"], r["mean_test_score"], r["rank_test_score"], r["fit_seconds"], r["error"], strict=True
            )
        ]
        return search.best_method_, search.best_estimator_, sorted(rows, key=lambda row: row["rank"] or 99)
    model = make_method(question.method, inside, task=question.task)
    if len(few):
        assert yt is not None
        return question.method, model.fit(Xs, ys, X_target=Xt[few], y_target=yt[few]), []
    return question.method, model.fit(Xs, ys, X_target=Xt), []
