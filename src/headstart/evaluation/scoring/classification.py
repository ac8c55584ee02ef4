"""Classes: accuracy, balanced accuracy, macro F1, log loss, calibration error, ROC AUC."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.evaluation.calibration import calibration
from headstart.evaluation.gain import METRICS, paired_gain
from headstart.evaluation.metrics import classification_metrics, point_metrics
from headstart.evaluation.scoring.scoring import Metric, Scoring, Worst
from headstart.tasks.task import Task


class ClassScoring(Scoring):
    """Of class probabilities (n, K) and indices (n,)."""

    name = "classification"
    headline = "accuracy"

    def metrics(self, classes: tuple[str, ...]) -> dict[str, Metric]:
        return {name: Metric() for name in METRICS}

    def points(self, found: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, float]:
        return point_metrics(found, labels)

    def scores(self, found: np.ndarray, labels: np.ndarray, task: Task) -> dict[str, dict[str, Any]]:
        return classification_metrics(found, labels, task.classes)

    def gain(
        self, a: np.ndarray, b: np.ndarray, labels: np.ndarray, metric: str, tasks: tuple[Task, Task]
    ) -> dict[str, Any]:
        return paired_gain(a, b, labels, metric=metric)

    def columns(
        self, found: np.ndarray, labels: np.ndarray | None, task: Task, names: tuple[str, ...]
    ) -> dict[str, Any]:
        return class_columns(found, labels, task.classes, found.argmax(1))

    def worst(self, found: np.ndarray, labels: np.ndarray, task: Task, names: tuple[str, ...]) -> list[Worst]:
        return worst_classes(found, labels, names, found.argmax(1))

    def details(self, found: np.ndarray, labels: np.ndarray, task: Task) -> dict[str, Any]:
        return {"calibration": calibration(found, labels)}


def class_columns(
    found: np.ndarray, labels: np.ndarray | None, classes: tuple[str, ...], said: np.ndarray
) -> dict[str, Any]:
    """label (where known), predicted, confidence, one probability column a class."""
    table: dict[str, Any] = {} if labels is None else {"label": [classes[i] for i in labels]}
    table["predicted"] = [classes[i] for i in said]
    table["confidence"] = found[np.arange(len(found)), said]
    return table | {f"prob_{name}": found[:, k] for k, name in enumerate(classes)}


def worst_classes(
    found: np.ndarray, labels: np.ndarray, names: tuple[str, ...], said: np.ndarray, off: np.ndarray | None = None
) -> list[Worst]:
    """The wrong ones, the most confident first; those with the largest ``off`` (n,) before them, where it is given."""
    confidence = found[np.arange(len(found)), said]
    wrong = np.flatnonzero(said != labels)
    keys = (-confidence[wrong],) if off is None else (-confidence[wrong], -off[wrong])
    return [Worst(int(i), names[labels[i]], names[said[i]], float(confidence[i])) for i in wrong[np.lexsort(keys)]]
