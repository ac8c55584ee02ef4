"""How good the adapted model is, beside the source's model and one that learned on the target's own labels."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import Any

import numpy as np

from headstart.data.feature_tables import FeatureTable
from headstart.evaluation.open_set import open_codes
from headstart.functional.rejection import UNKNOWN
from headstart.progress import Progress
from headstart.verbs.adapt_baselines import LABELLED, NETWORK
from headstart.verbs.adapt_methods import Adapted
from headstart.verbs.adapt_question import Question


class SourceSide:
    """A method as it answers to rows of the source: features that it moved are those of the source's side."""

    def __init__(self, model: Any) -> None:
        self.mover, self.rest = model.steps[0][1], model.steps[-1][1]
        for name in ("predict_proba", "decision_function"):
            if hasattr(self.rest, name):
                setattr(self, name, partial(self._through, name))
        self.classes_ = getattr(self.rest, "classes_", ())

    def _through(self, name: str, X: Any) -> np.ndarray:
        return getattr(self.rest, name)(self.mover.transform_source(X))

    def predict(self, X: Any) -> np.ndarray:
        """Labels or values (n,)."""
        return self._through("predict", X)


def on_source(model: Any) -> Any:
    """What answers to rows of the source."""
    if hasattr(model, "threshold_"):  # an open set's, around what answers
        twin = copy(model)
        twin.estimator_ = on_source(model.estimator_)
        return twin
    steps: Any = getattr(model, "steps", ())
    return SourceSide(model) if len(steps) == 2 and hasattr(steps[0][1], "transform_source") else model


class Judge:
    """Scores an adapted model and its baselines on the same target rows, and on the same held-out source rows."""

    def __init__(
        self,
        question: Question,
        source: FeatureTable | None,
        target: FeatureTable,
        rest: np.ndarray,
        adapted: Adapted,
        progress: Progress,
    ) -> None:
        """``source`` is ``None`` where a trained model is adapted without its data."""
        self.question, self.source, self.target, self.rest = question, source, target, rest
        self.adapted, self.progress = adapted, progress
        self.classes: list[str] = []
        self.open = False
        if question.task == "classification":
            self.open = UNKNOWN in map(str, getattr(adapted.model, "classes_", ()))
            own = map(str, adapted.baseline.classes_) if source is None else source.y
            assert own is not None
            known = set(own) | (set() if target.y is None or self.open else set(target.y))
            self.classes = sorted(
                known, key=lambda c: (len(c), c) if all(k.lstrip("-").isdigit() for k in known) else c
            )
            self.classes += [UNKNOWN] * self.open
        self.said = {
            "adapted": self.says(adapted.model, adapted.inputs[1]),
            "source_only": self.says(adapted.baseline, adapted.inputs[1]),
        } | {name: self.says(model, adapted.inputs[1]) for name, model in adapted.beside.items()}

    def says(self, model: Any, X: Any) -> np.ndarray:
        """Values (n,), or probabilities (n, C) over all classes; 0 for classes that the model does not know."""
        if self.question.task == "regression":
            return np.asarray(model.predict(X), dtype=np.float64)
        from headstart.adapters.scorers import probabilities

        found = probabilities(model, X)
        out = np.zeros((len(X), len(self.classes)))
        known = [str(c) for c in getattr(model, "classes_", ())]
        if found.shape[1] == len(known):
            out[:, [self.classes.index(c) for c in known]] = found
        if hasattr(model, "history_"):  # a network says the class of its largest probability
            return out
        # what predict says decides; it may differ from the largest probability (votes, ties)
        label = np.array([self.classes.index(str(c)) for c in model.predict(X)])
        top = out.argmax(1) != label
        out[top] *= 0.5
        out[np.flatnonzero(top), label[top]] = 0.5 + 0.5 * out[top].max(1, initial=0)
        return out / np.maximum(out.sum(1, keepdims=True), 1e-12)

    def target_only(self) -> np.ndarray | None:
        """Cross-validated predictions of a model that learns on the target's own labels; ``None`` where there are too few."""
        from sklearn.model_selection import KFold, StratifiedKFold

        assert self.target.y is not None
        X, y, folds = self.adapted.inputs[1][self.rest], self.target.y[self.rest], self.adapted.folds
        if self.open:
            y = np.array(self.classes, dtype=object)[self.codes(y)]
        places = np.zeros(len(y))
        if self.question.task == "regression":
            if len(y) < 2 * folds:
                return None
            splits = list(KFold(folds, shuffle=True, random_state=self.question.seed).split(places))
            out = np.zeros(len(y))
        else:
            counts = np.unique(y, return_counts=True)[1]
            if len(counts) < 2 or counts.min() < 2:
                return None
            kind = StratifiedKFold(min(folds, int(counts.min())), shuffle=True, random_state=self.question.seed)
            splits = list(kind.split(places, y))
            out = np.zeros((len(y), len(self.classes)))
        self.progress.start("learning the target's own labels", len(splits), "fold")
        for train, test in splits:
            out[test] = self.says(self.adapted.own().fit(X[train], y[train]), X[test])
            self.progress.advance(1)
        self.progress.done()
        return out

    def scores(self, said: np.ndarray, y: np.ndarray) -> dict[str, Any]:
        """Metrics with intervals."""
        from headstart.evaluation.metrics import classification_metrics
        from headstart.evaluation.open_set import open_set_metrics
        from headstart.evaluation.regression import regression_metrics

        if self.question.task == "regression":
            return regression_metrics(said, y, seed=self.question.seed)
        codes, seed = self.codes(y), self.question.seed
        found = classification_metrics(said, codes, tuple(self.classes), seed=seed)
        return found | (open_set_metrics(said.argmax(1), codes, len(self.classes) - 1, seed=seed) if self.open else {})

    def codes(self, y: np.ndarray) -> np.ndarray:
        """Places of the labels among the classes; in an open set, that of the unknown for what the source has not."""
        if self.open:
            return open_codes(y, self.classes[:-1])
        return np.array([self.classes.index(str(c)) for c in y])

    def gain(self, said: np.ndarray, before: np.ndarray, y: np.ndarray, name: str) -> dict[str, Any]:
        """Paired gain of one over the other."""
        from headstart.evaluation.gain import paired_gain
        from headstart.evaluation.regression import paired_error_gain

        seed, regression = self.question.seed, self.question.task == "regression"
        found = (
            paired_error_gain(said, before, y, seed=seed)
            if regression
            else paired_gain(said, before, self.codes(y), seed=seed)
        )
        return {"versus": name, "metric": "mae" if regression else "accuracy", **found}

    def metrics(self) -> dict[str, Any]:
        """``metrics.json`` but for seconds."""
        from headstart.evaluation.adaptation import adaptation_verdict

        regression = self.question.task == "regression"
        n = {
            "source": 0 if self.source is None else len(self.source.X),
            "target": len(self.target.X),
            "evaluated": len(self.rest),
            "labelled": len(self.target.X) - len(self.rest),
        }
        told = self.baselines(n["labelled"])
        versus = LABELLED if LABELLED in told else "source_only"
        out: dict[str, Any] = {
            "kind": "adaptation",
            "task": self.question.task,
            "method": self.adapted.method,
            "metric": "mae" if regression else "accuracy",
            "n": n,
            "judged_against": versus,
            "baselines_are": told,
        }
        out |= {"target": None, "source": None, "baselines": {}, "transfer_gain": None, "per_class": None}
        if self.target.y is not None:
            y = self.target.y[self.rest]
            said = {name: found[self.rest] for name, found in self.said.items()}
            out["target"] = self.scores(said["adapted"], y)
            out["baselines"] = {name: self.scores(found, y) for name, found in said.items() if name != "adapted"}
            own = self.target_only()
            if own is not None:
                out["baselines"]["target_only"] = self.scores(own, y)
            out["gains"] = {
                name: self.gain(said["adapted"], found, y, name) for name, found in said.items() if name != "adapted"
            }
            out["transfer_gain"] = out["gains"][versus]
            if not regression:
                out["per_class"] = self.per_class(y, said["adapted"], said["source_only"], own)
        out |= self.kept()
        unit = "label" if regression else "points"
        what = "mean absolute error" if regression else "accuracy"
        return out | adaptation_verdict(out["transfer_gain"], self.adapted.method, what, unit, told[versus])

    def baselines(self, labels: int) -> dict[str, str]:
        """What each baseline is, in words. Where one has the same labels of the target, the verdict is against that one."""
        own = self.adapted.baseline_is
        kind = "the same network" if own.startswith("the same network") else own
        words = {
            LABELLED: f"{kind} with the same {labels:,} labels of the target and no adaptation",
            NETWORK: "the same network without the target",
        }
        return {"source_only": f"source only, {own}", **{name: words[name] for name in self.adapted.beside}}

    def kept(self) -> dict[str, Any]:
        """What is left of the source's accuracy, on rows of it that neither model was trained on."""
        a = self.adapted
        if a.model_without is None or len(a.held) < 2:
            return {}
        assert self.source is not None and self.source.y is not None
        X, y = a.inputs[0][a.held], self.source.y[a.held]
        said, before = (self.says(on_source(model), X) for model in (a.model_without, a.baseline_without))
        return {
            "source": self.scores(said, y),
            "source_before": self.scores(before, y),
            "source_gain": self.gain(said, before, y, "source_only"),
        }

    def per_class(
        self, y: np.ndarray, said: np.ndarray, before: np.ndarray, own: np.ndarray | None
    ) -> list[dict[str, Any]]:
        """Recall of each class of the target: source-only, adapted, target-only."""
        rows, codes = [], self.codes(y)
        for i, name in enumerate(self.classes):
            mine = codes == i
            if mine.any():
                recall = {
                    k: float((p[mine].argmax(1) == i).mean()) for k, p in (("source_only", before), ("adapted", said))
                }
                recall["target_only"] = float((own[mine].argmax(1) == i).mean()) if own is not None else None  # type: ignore[assignment]
                rows.append({"class": name, "n": int(mine.sum()), **recall})
        return rows

    def table(self) -> dict[str, Any]:
        """Columns of ``predictions.csv``: one row a target row."""
        said, before = self.said["adapted"], self.said["source_only"]
        out: dict[str, Any] = {"row": self.target.ids}
        if self.target.y is not None:
            out["label"] = self.target.y
        out["split"] = np.where(np.isin(np.arange(len(said)), self.rest), "evaluated", "labelled")
        if self.question.task == "regression":
            return out | {"predicted": said, "source_only": before}
        names = np.array(self.classes)
        out |= {
            "predicted": names[said.argmax(1)],
            "confidence": said.max(1),
            "source_only": names[before.argmax(1)],
        }
        return out | {f"prob_{name}": said[:, i] for i, name in enumerate(self.classes)}
