"""What `adapt` does between reading and writing: the method, its baselines, the proof."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headstart.data.feature_tables import FeatureTable
from headstart.errors import DataError, sentence
from headstart.progress import Progress

FOLDS = 5
MAP_ROWS = 400


@dataclass(frozen=True)
class Question:
    """The options of `adapt` that the work goes by."""

    method: str
    select: str | None
    target_labels: int
    classifier: str
    task: str
    seed: int


@dataclass
class Answer:
    """What came of it.

    Attributes:
        model: ``{"scaler", "estimator", "classes", "columns", "task"}``, what predicts elsewhere.
        method: used; for auto the one chosen.
        metrics: of ``metrics.json``.
        predictions: columns of ``predictions.csv``.
        maps: "before" and "after": two (n, 2) arrays each, or none.
    """

    model: dict[str, Any]
    method: str
    metrics: dict[str, Any]
    predictions: dict[str, Any]
    extras: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


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


def answer(question: Question, source: FeatureTable, target: FeatureTable, progress: Progress) -> Answer:
    """Scale, adapt, compare and measure.

    Raises:
        DataError: one class in the source, or too few target labels for what was asked.
    """
    from sklearn.preprocessing import StandardScaler

    from headstart.adapters.catalogue import make_method
    from headstart.adapters.distances import domain_distances
    from headstart.verbs.adapt import unusable

    assert source.y is not None
    if question.task == "classification":
        unusable(source.y, source.origin)
    began = time.perf_counter()
    scaler = StandardScaler().fit(source.X)
    Xs, Xt = (scaler.transform(table.X).astype(table.X.dtype, copy=False) for table in (source, target))
    notes = observations(source, target, question)
    few, rest = labelled_rows(target, question)
    progress.start("adapting", 1, "method")
    chosen, model, candidates = fitted(question, Xs, source.y, Xt, few, None if target.y is None else target.y)
    progress.advance(1)
    progress.done()
    seconds = {"adapting": time.perf_counter() - began}
    began = time.perf_counter()
    baseline = make_method("source_only", head(question), task=question.task).fit(Xs, source.y)
    judged = Judge(question, source, target, rest)
    metrics = judged.metrics(Xt, model, baseline, chosen)
    seconds["comparing"] = time.perf_counter() - began
    began = time.perf_counter()
    progress.start("measuring distances", 2, "pair")
    after = both_sides(model, Xs, Xt)
    distances = {"before": as_dict(domain_distances(Xs, Xt, random_state=question.seed))}
    progress.advance(1)
    if after is not None:
        distances["after"] = as_dict(domain_distances(*after, random_state=question.seed))
    progress.advance(1)
    progress.done()
    seconds["distances"] = time.perf_counter() - began
    maps = {"before": flat_map(Xs, Xt, question.seed)}
    if after is not None:
        maps["after"] = flat_map(*after, question.seed)
    extras = {
        "distances": distances,
        "maps": maps,
        "candidates": candidates,
        "facts": facts(model),
        "classes": {"source": labels_of(source, question), "target": labels_of(target, question)},
    }
    saved = {
        "scaler": scaler,
        "estimator": model,
        "columns": source.columns,
        "task": question.task,
        "classes": judged.classes,
    }
    return Answer(saved, chosen, metrics, judged.table(Xt, model, baseline), extras, notes, seconds)


def observations(source: FeatureTable, target: FeatureTable, question: Question) -> list[str]:
    """What a person should know of these two domains before reading any figure."""
    notes = []
    constant = [name for name, spread in zip(source.columns, source.X.std(0), strict=True) if spread == 0]
    if constant:
        notes.append(
            f"{len(constant)} of {len(source.columns)} columns are constant in the source ({', '.join(constant[:3])}) and say nothing."
        )
    if question.task == "classification" and target.y is not None and source.y is not None:
        unknown = sorted(set(target.y) - set(source.y))
        if unknown:
            share = float(np.isin(target.y, unknown).mean())
            notes.append(
                f"The source has no rows of class {', '.join(unknown[:5])}, {share:.1%} of the target: they can never be predicted."
            )
        gone = sorted(set(source.y) - set(target.y))
        if gone:
            notes.append(
                f"The target has no rows of class {', '.join(gone[:5])}: methods that match whole domains may be misled by it."
            )
    return notes


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


def both_sides(model: Any, Xs: np.ndarray, Xt: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Source and target as the adapted classifier sees them; ``None`` for methods that leave the features as they are."""
    steps = getattr(model, "steps", None)
    if not steps or not hasattr(steps[0][1], "transform_source"):
        return None
    mover = steps[0][1]
    return np.asarray(mover.transform_source(Xs)), np.asarray(mover.transform(Xt))


def as_dict(distances: dict[str, Any]) -> dict[str, Any]:
    """Of distances, for JSON."""
    return {name: {"value": d.value, "p_value": d.p_value, "null95": d.null95} for name, d in distances.items()}


def flat_map(Xs: np.ndarray, Xt: np.ndarray, seed: int) -> dict[str, Any]:
    """Two principal components of both domains together, of at most 400 rows each, and which rows they are."""
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(seed)
    use = [np.sort(rng.permutation(len(X))[:MAP_ROWS]) for X in (Xs, Xt)]
    rows = np.concatenate([Xs[use[0]], Xt[use[1]]]).astype(np.float64)
    flat = PCA(min(2, *rows.shape), svd_solver="full").fit_transform(rows)
    if flat.shape[1] == 1:
        flat = np.column_stack([flat, np.zeros(len(flat))])
    # one far row would leave the rest a speck: rows beyond the outer half percent are drawn at the edge
    low, high = np.percentile(flat, [0.5, 99.5], axis=0)
    flat = np.clip(flat, low - 0.1 * (high - low), high + 0.1 * (high - low))
    cut = len(use[0])
    return {
        "source": flat[:cut].round(4).tolist(),
        "target": flat[cut:].round(4).tolist(),
        "rows": [u.tolist() for u in use],
    }


def facts(model: Any) -> dict[str, Any]:
    """What the method learned that a person can read: effective sample size, the target's prior, what was kept."""
    found: dict[str, Any] = {}
    for part in (model, *(step for _, step in getattr(model, "steps", ()))):
        if hasattr(part, "effective_sample_size_"):
            found["effective_sample_size"] = float(part.effective_sample_size_)
        if hasattr(part, "target_prior_") and hasattr(part, "classes_"):
            found["target_prior"] = {
                str(c): {
                    "value": float(p),
                    "ci95": [float(v) for v in getattr(part, "target_prior_interval_", np.full((99, 2), np.nan))[i]],
                }
                for i, (c, p) in enumerate(zip(part.classes_, part.target_prior_, strict=True))
            }
            if not hasattr(part, "target_prior_interval_"):
                for cell in found["target_prior"].values():
                    cell["ci95"] = None
        if hasattr(part, "n_features_") and hasattr(part, "get_support"):
            found["columns_kept"] = int(part.n_features_)
        if hasattr(part, "eigenvalues_") or hasattr(part, "angles_"):
            found["components"] = int(part._n_features_out)
    return found


def labels_of(table: FeatureTable, question: Question) -> list[str] | None:
    """Labels as text for the map's markers; ``None`` for values."""
    return None if table.y is None or question.task == "regression" else table.y.tolist()


class Judge:
    """Scores the adapted model and its baselines on the same target rows."""

    def __init__(self, question: Question, source: FeatureTable, target: FeatureTable, rest: np.ndarray) -> None:
        assert source.y is not None
        self.question, self.source, self.target, self.rest = question, source, target, rest
        self.classes: list[str] = []
        if question.task == "classification":
            known = set(source.y) | (set() if target.y is None else set(target.y))
            self.classes = sorted(
                known, key=lambda c: (len(c), c) if all(k.lstrip("-").isdigit() for k in known) else c
            )

    def said(self, model: Any, X: np.ndarray) -> np.ndarray:
        """Values (n,), or probabilities (n, C) over all classes; 0 for classes that the model does not know."""
        if self.question.task == "regression":
            return np.asarray(model.predict(X), dtype=np.float64)
        from headstart.adapters.scorers import probabilities

        found = probabilities(model, X)
        out = np.zeros((len(X), len(self.classes)))
        known = [str(c) for c in getattr(model, "classes_", ())]
        if found.shape[1] == len(known):
            out[:, [self.classes.index(c) for c in known]] = found
        # what predict says decides; it may differ from the largest probability (votes, ties)
        label = np.array([self.classes.index(str(c)) for c in model.predict(X)])
        top = out.argmax(1) != label
        out[top] *= 0.5
        out[np.flatnonzero(top), label[top]] = 0.5 + 0.5 * out[top].max(1, initial=0)
        return out / np.maximum(out.sum(1, keepdims=True), 1e-12)

    def target_only(self, Xt: np.ndarray) -> np.ndarray | None:
        """Cross-validated predictions of a model that learns on the target's own labels; ``None`` where there are too few."""
        from sklearn.model_selection import KFold, StratifiedKFold

        y = self.target.y
        assert y is not None
        X, y = Xt[self.rest], y[self.rest]
        if self.question.task == "regression":
            if len(y) < 2 * FOLDS:
                return None
            splits = KFold(FOLDS, shuffle=True, random_state=self.question.seed).split(X)
            out = np.zeros(len(y))
        else:
            counts = np.unique(y, return_counts=True)[1]
            if len(counts) < 2 or counts.min() < 2:
                return None
            splits = StratifiedKFold(
                min(FOLDS, int(counts.min())), shuffle=True, random_state=self.question.seed
            ).split(X, y)
            out = np.zeros((len(y), len(self.classes)))
        for train, test in splits:
            out[test] = self.said(head(self.question).fit(X[train], y[train]), X[test])
        return out

    def scores(self, said: np.ndarray, y: np.ndarray) -> dict[str, Any]:
        from headstart.evaluation.metrics import classification_metrics
        from headstart.evaluation.regression import regression_metrics

        if self.question.task == "regression":
            return regression_metrics(said, y, seed=self.question.seed)
        return classification_metrics(said, self.codes(y), tuple(self.classes), seed=self.question.seed)

    def codes(self, y: np.ndarray) -> np.ndarray:
        return np.array([self.classes.index(str(c)) for c in y])

    def metrics(self, Xt: np.ndarray, model: Any, baseline: Any, method: str) -> dict[str, Any]:
        """``metrics.json`` but for seconds."""
        from headstart.evaluation.adaptation import adaptation_verdict
        from headstart.evaluation.gain import paired_gain
        from headstart.evaluation.regression import paired_error_gain

        regression = self.question.task == "regression"
        metric = "mae" if regression else "accuracy"
        n = {
            "source": len(self.source.X),
            "target": len(self.target.X),
            "evaluated": len(self.rest),
            "labelled": len(Xt) - len(self.rest),
        }
        out: dict[str, Any] = {
            "kind": "adaptation",
            "task": self.question.task,
            "method": method,
            "metric": metric,
            "n": n,
        }
        out |= {"target": None, "source": None, "baselines": {}, "transfer_gain": None, "per_class": None}
        if self.target.y is not None:
            y = self.target.y[self.rest]
            X = Xt[self.rest]
            said, before = self.said(model, X), self.said(baseline, X)
            out["target"] = self.scores(said, y)
            out["baselines"]["source_only"] = self.scores(before, y)
            own = self.target_only(Xt)
            if own is not None:
                out["baselines"]["target_only"] = self.scores(own, y)
            if regression:
                gain = paired_error_gain(said, before, y, seed=self.question.seed)
            else:
                gain = paired_gain(said, before, self.codes(y), seed=self.question.seed)
                out["per_class"] = self.per_class(y, said, before, own)
            out["transfer_gain"] = {"versus": "source_only", "metric": metric, **gain}
        unit = "label" if regression else "points"
        what = "mean absolute error" if regression else "accuracy"
        return out | adaptation_verdict(out["transfer_gain"], method, what, unit)

    def per_class(
        self, y: np.ndarray, said: np.ndarray, before: np.ndarray, own: np.ndarray | None
    ) -> list[dict[str, Any]]:
        """Recall of each class of the target: source-only, adapted, target-only."""
        rows = []
        for i, name in enumerate(self.classes):
            mine = y == name
            if mine.any():
                recall = {
                    k: float((p[mine].argmax(1) == i).mean()) for k, p in (("source_only", before), ("adapted", said))
                }
                recall["target_only"] = float((own[mine].argmax(1) == i).mean()) if own is not None else None  # type: ignore[assignment]
                rows.append({"class": name, "n": int(mine.sum()), **recall})
        return rows

    def table(self, Xt: np.ndarray, model: Any, baseline: Any) -> dict[str, Any]:
        """Columns of ``predictions.csv``: one row a target row."""
        said = self.said(model, Xt)
        out: dict[str, Any] = {"row": self.target.ids}
        if self.target.y is not None:
            out["label"] = self.target.y
        out["split"] = np.where(np.isin(np.arange(len(Xt)), self.rest), "evaluated", "labelled")
        if self.question.task == "regression":
            return out | {"predicted": said, "source_only": self.said(baseline, Xt)}
        names = np.array(self.classes)
        out |= {
            "predicted": names[said.argmax(1)],
            "confidence": said.max(1),
            "source_only": names[self.said(baseline, Xt).argmax(1)],
        }
        return out | {f"prob_{name}": said[:, i] for i, name in enumerate(self.classes)}
