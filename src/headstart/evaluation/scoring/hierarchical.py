"""Nested classes: accuracy at each level, and how far up the tree truth and prediction meet."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.evaluation.scoring.classification import class_columns, worst_classes
from headstart.evaluation.scoring.scoring import Metric, SumScoring, Worst
from headstart.tasks.hierarchical import levels_of, node_probabilities
from headstart.tasks.task import Task


class HierarchicalScoring(SumScoring):
    """Of leaf probabilities (n, K) and leaves (n,). A level's prediction is the node with the largest sum of its leaves."""

    name = "hierarchical"
    headline = "accuracy"

    def metrics(self, classes: tuple[str, ...]) -> dict[str, Metric]:
        upper = {f"accuracy_level_{i + 1}": Metric() for i in range(len(levels_of(classes)) - 1)}
        return {
            "accuracy": Metric(),
            **upper,
            "hierarchical_distance": Metric(larger=False, percent=False, unit=" levels"),
        }

    def points(self, found: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, float]:
        values = self.of_sums(_right(found, labels, classes).sum(0, keepdims=True), classes)
        own = found[np.arange(len(labels)), labels].astype(np.float64)
        return {name: float(v[0]) for name, v in values.items()} | {"loss": float(-np.log(own.clip(1e-7, 1)).mean())}

    def parts(self, found: np.ndarray, labels: np.ndarray, task: Task) -> np.ndarray:
        return _right(found, labels, task.classes)

    def of_sums(self, sums: np.ndarray, classes: tuple[str, ...]) -> dict[str, np.ndarray]:
        n, distance, levels = sums[:, 0], sums[:, 1], sums[:, 2:].T
        upper = {f"accuracy_level_{i + 1}": right / n for i, right in enumerate(levels[:-1])}
        return {"accuracy": levels[-1] / n, **upper, "hierarchical_distance": distance / n}

    def worst(self, found: np.ndarray, labels: np.ndarray, task: Task, names: tuple[str, ...]) -> list[Worst]:
        """Those that are off by the most levels first."""
        return worst_classes(found, labels, names, found.argmax(1), _right(found, labels, task.classes)[:, 1])

    def columns(
        self, found: np.ndarray, labels: np.ndarray | None, task: Task, names: tuple[str, ...]
    ) -> dict[str, Any]:
        """Of each level above the leaves the node and its probability come after those of the leaf."""
        table = class_columns(found, labels, task.classes, found.argmax(1))
        for i, (names, node) in enumerate(levels_of(task.classes)[:-1]):
            p = node_probabilities(found, node)
            table[f"level_{i + 1}"] = [names[j] for j in p.argmax(1)]
            table[f"level_{i + 1}_confidence"] = p.max(1)
        return table


def _right(found: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """(n, 2 + L): 1, the tree distance of the predicted leaf, and whether each level is right."""
    levels = levels_of(classes)
    said = found.argmax(1)
    right = [node_probabilities(found, node).argmax(1) == node[labels] for _, node in levels]
    # how many levels below the lowest node that holds both leaves
    distance = sum((node[said] != node[labels]).astype(np.float64) for _, node in levels)
    return np.column_stack([np.ones(len(labels)), distance, *right])
