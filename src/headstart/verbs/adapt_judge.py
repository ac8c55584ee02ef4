"""How good the adapted model is, beside the source's model and one that learned on the target's own labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.data.feature_tables import FeatureTable
from headstart.verbs.adapt_methods import head
from headstart.verbs.adapt_question import Question

FOLDS = 5


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
