"""From the name of a shallow method, or from ``auto``, to fitted models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headstart.data.feature_tables import FeatureTable
from headstart.errors import DataError, sentence
from headstart.progress import Progress
from headstart.verbs.adapt_names import is_deep
from headstart.verbs.adapt_question import Question

FOLDS = 5
"""Of the model that learns on the target's own labels."""
DEEP_SEARCH: dict[str, tuple[str, ...]] = {"classification": ("dan", "dann"), "regression": ("dan", "dann")}
"""Deep methods that ``auto`` tries beside the shallow ones of :data:`headstart.adapters.catalogue.DEFAULT_SEARCH`."""

UPDATES = 300
"""That a deep candidate of ``auto`` takes, about, where the user names no epochs: fewer than a method that was named."""


@dataclass
class Adapted:
    """What a method and its baseline came to.

    Attributes:
        method: its name; for auto the one chosen.
        model, baseline: adapted, and from the source alone.
        inputs: what both read of the source (n_s) and of the target (n_t): arrays, or rows of images.
        own: () -> a fresh model to be fitted on labelled target rows, and in how many folds that is done.
        held: int, source rows that ``model_without`` and ``baseline_without`` have not seen.
        candidates: rows of the table, for auto.
        choices: how methods and epochs were chosen, see :mod:`headstart.verbs.adapt_choice`.
        baseline_is: what the baseline is, in words.
        beside: further fitted baselines, see :mod:`headstart.verbs.adapt_baselines`.
    """

    method: str
    model: Any
    baseline: Any
    inputs: tuple[Any, Any]
    own: Callable[[], Any]
    folds: int
    held: np.ndarray
    model_without: Any
    baseline_without: Any
    candidates: list[dict[str, Any]] = field(default_factory=list)
    choices: list[Any] = field(default_factory=list)
    baseline_is: str = ""
    beside: dict[str, Any] = field(default_factory=dict)


def head(question: Question) -> Any:
    """The classifier or regressor inside every shallow method and its baselines."""
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


def fewer_than_asked(y: np.ndarray | None, few: np.ndarray, question: Question) -> str:
    """A sentence on classes of the target that have no more rows than labels were asked for; empty where all have."""
    if y is None or question.task == "regression":
        return ""
    scarce = [str(c) for c in np.unique(y) if (y == c).sum() <= question.target_labels]
    if not scarce:
        return ""
    return (
        f"The target has no more than {question.target_labels} rows of class {', '.join(scarce[:5])}: all but one are learned from, "
        f"and {len(y) - len(few)} of {len(y)} target rows are left to judge by."
    )


def fitted(
    question: Question,
    Xs: np.ndarray,
    ys: np.ndarray,
    Xt: np.ndarray,
    few: np.ndarray,
    yt: np.ndarray | None,
    progress: Progress,
) -> Adapted:
    """The fitted method, shallow or chosen by auto, and its baseline. ``yt`` is read at ``few`` alone."""
    from sklearn.base import clone

    from headstart.adapters.catalogue import make_method
    from headstart.training.selecting import held_out
    from headstart.verbs.adapt_baselines import LABELLED, NETWORK, learner, network_alone, with_labels

    inside = head(question)
    candidates: list[dict[str, Any]] = []
    choices: list[Any] = []
    if question.method == "auto":
        name, model, candidates, choices = chosen(question, Xs, ys, Xt, progress)
    else:
        name, model = question.method, make_method(question.method, inside, task=question.task)
    plain = make_method("source_only", inside, task=question.task)
    if question.open_set is not None:
        model, plain = (with_threshold(each, question) for each in (model, plain))
    given: dict[str, Any] = {"X_target": Xt}
    if len(few):
        assert yt is not None
        given = {"X_target": Xt[few], "y_target": yt[few]}
    beside: dict[str, Any] = {}
    progress.start("adapting", 4, "fit")

    def fit(estimator: Any, rows: Any = slice(None), **more: Any) -> Any:
        made = clone(estimator).fit(Xs[rows], ys[rows], **more)
        progress.advance(1)
        return made

    held = held_out(ys, question.seed, classes=question.task != "regression")
    keep = np.setdiff1d(np.arange(len(ys)), held)
    if question.method == "auto" and question.open_set is None:
        best = model
        progress.advance(1)
    else:
        best = fit(model, **given)
    baseline = fit(plain)
    without = baseline_without = None
    if len(held) > 1:
        own = getattr(best, "held_out_", None)
        if own is not None:  # a network that has not seen its own share of the source
            held, keep, without = own, np.setdiff1d(np.arange(len(ys)), own), best
            progress.advance(1)
        else:
            without = fit(model, keep, **given)
        baseline_without = fit(plain, keep)
    if len(few):
        beside[LABELLED] = with_labels(inside, Xs, ys, given["X_target"], given["y_target"])
    if is_deep(name):
        beside[NETWORK] = network_alone(question, getattr(best, "estimator_", best), Xs, ys)
    progress.done()
    return Adapted(
        name,
        best,
        baseline,
        (Xs, Xt),
        lambda: clone(inside),
        FOLDS,
        held,
        without,
        baseline_without,
        candidates,
        choices,
        learner(question),
        beside,
    )


def with_threshold(model: Any, question: Question) -> Any:
    """Unfitted, and with an answer for rows that it is not sure enough of."""
    from sklearn.base import clone

    from headstart.adapters.open_set import OpenSetClassifier

    assert question.open_set is not None
    return OpenSetClassifier(clone(model), question.open_set, random_state=question.seed)


def chosen(
    question: Question, Xs: np.ndarray, ys: np.ndarray, Xt: np.ndarray, progress: Progress
) -> tuple[str, Any, list[dict[str, Any]], list[Any]]:
    """What auto takes: its name, the fitted estimator, the table of candidates, and how it and its epoch were chosen."""
    from headstart.adapters.catalogue import DEFAULT_SEARCH, make_method
    from headstart.adapters.search import AdaptationSearchCV
    from headstart.verbs.adapt_choice import of_candidates, of_epochs
    from headstart.verbs.adapt_deep import network

    task = question.task
    named: list[tuple[str, Any]] = [
        (name, make_method(name, head(question), task=task)) for name in DEFAULT_SEARCH[task]
    ]
    steps = max(1, min(len(ys), 1000) // (question.batch_size or 32))
    epochs = question.epochs or min(100, max(10, round(UPDATES / steps)))
    named += [(name, network(question, name, epochs=epochs)) for name in DEEP_SEARCH[task]]
    search = AdaptationSearchCV(named, scorer=question.select, task=task, random_state=question.seed).fit(
        Xs, ys, X_target=Xt, progress=progress
    )
    r = search.cv_results_
    rows = [
        {
            "method": m, "score": None if np.isnan(s) else s, "rank": k, "noise": noise, "seconds": t, "error": e,
            "criterion": type(search.scorer_).__name__,
        }
        for m, s, k, noise, t, e in zip(
            r["method"], r["mean_test_score"], r["rank_test_score"], r["noise"], r["fit_seconds"], r["error"], strict=True
        )
    ]  # fmt: skip
    choices = [of_candidates(search, question), *of_epochs(search.best_estimator_)]
    name = search.best_method_
    table = sorted(rows, key=lambda row: (row["method"] != name, row["rank"] or 99))
    return name, search.best_estimator_, table, choices
