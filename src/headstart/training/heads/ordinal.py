"""Ranks: the conditional questions of CORN, each a logistic regression on the images that it is asked of."""

from __future__ import annotations

import numpy as np

from headstart.tasks.ordinal import Ordinal
from headstart.training.heads.solved import Solved
from headstart.training.probe import fit_probe


def solve_ordinal(X: np.ndarray, labels: np.ndarray, task: Ordinal, *, groups: np.ndarray | None, seed: int) -> Solved:
    """Question j, "above rank j?", by :func:`headstart.training.probe.fit_probe` on the images with rank >= j.

    The questions share no parameter, so that solving each minimises CORN's loss with a penalty of its own.
    """
    weight = np.zeros((task.rows, X.shape[1]), dtype=np.float32)
    bias = np.zeros(task.rows, dtype=np.float32)
    strengths = []
    for j in range(task.rows):
        asked = np.flatnonzero(labels >= j)
        above = (labels[asked] > j).astype(np.int64)
        if len(above) == 0 or above.min() == above.max():
            bias[j] = 20.0 if len(above) and above[0] else -20.0
            continue
        probe = fit_probe(X[asked], above, 2, groups=None if groups is None else groups[asked], seed=seed)
        weight[j], bias[j] = probe.weight[1] - probe.weight[0], probe.bias[1] - probe.bias[0]
        strengths.append(probe.strength)
    span = f"C = {min(strengths):.3g} to {max(strengths):.3g}" if strengths else "nothing to choose"
    said = f"one strength a question ({span}), chosen by cross-validation on {len(labels)} training labels"
    return Solved(weight, bias, said)
