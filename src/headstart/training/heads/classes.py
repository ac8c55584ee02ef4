"""Classes: multinomial logistic regression (classification, and the leaves of a hierarchy)."""

from __future__ import annotations

import numpy as np

from headstart.tasks.classification import Classification
from headstart.tasks.hierarchical import Hierarchical
from headstart.training.heads.solved import Solved, finite
from headstart.training.probe import fit_probe


def solve_classes(
    X: np.ndarray, labels: np.ndarray, task: Classification | Hierarchical, *, groups: np.ndarray | None, seed: int
) -> Solved:
    """:func:`headstart.training.probe.fit_probe` with the task's class weights.

    For a hierarchy the leaves alone are fitted: the loss of the coarser levels is not convex in the head.
    """
    weights = None if task.class_weights is None else task.class_weights.numpy()[labels]
    probe = fit_probe(X, labels, len(task.classes), groups=groups, seed=seed, sample_weight=weights)
    value = probe.cv_accuracy[list(probe.strengths).index(probe.strength)]
    said = f"strength C = {probe.strength:g}, chosen by cross-validation on {len(labels)} training labels"
    return Solved(probe.weight, probe.bias, said, finite(value), probe.oof)
