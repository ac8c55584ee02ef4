"""Several labels: one logistic regression a label, each with a strength of its own."""

from __future__ import annotations

import numpy as np

from headstart.tasks.multilabel import Multilabel
from headstart.training.heads.solved import Solved, finite
from headstart.training.probe import fit_probe


def solve_multilabel(
    X: np.ndarray, labels: np.ndarray, task: Multilabel, *, groups: np.ndarray | None, seed: int
) -> Solved:
    """Each label against its absence by :func:`headstart.training.probe.fit_probe`; the two rows of a label become one.

    A label that all rows have, or none, is predicted by a constant.
    """
    n, K = labels.shape
    weight, bias = np.zeros((K, X.shape[1]), dtype=np.float32), np.zeros(K, dtype=np.float32)
    held_out = np.full((n, K), np.nan, dtype=np.float32)
    strengths, right = [], []
    for k in range(K):
        y = (labels[:, k] > 0).astype(np.int64)
        if y.min() == y.max():
            bias[k], held_out[:, k] = (20.0, 1.0) if y[0] else (-20.0, 0.0)
            continue
        factor = None if task.positive_weights is None else np.where(y, float(task.positive_weights[k]), 1.0)
        probe = fit_probe(X, y, 2, groups=groups, seed=seed, sample_weight=factor)
        weight[k], bias[k] = probe.weight[1] - probe.weight[0], probe.bias[1] - probe.bias[0]
        strengths.append(probe.strength)
        right.append(probe.cv_accuracy[list(probe.strengths).index(probe.strength)])
        if probe.oof is not None:
            held_out[:, k] = probe.oof[:, 1]
    span = f"C = {min(strengths):.3g} to {max(strengths):.3g}" if strengths else "nothing to choose"
    said = f"one strength a label ({span}), chosen by cross-validation on {n} training images"
    held = held_out if np.isfinite(held_out).any() else None
    return Solved(weight, bias, said, finite(np.mean(right)) if right else None, held)
