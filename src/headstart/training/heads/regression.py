"""A quantity: ridge regression."""

from __future__ import annotations

import numpy as np

from headstart.functional.ridge import fit_ridge
from headstart.tasks.regression import Regression
from headstart.training.folds import assign_folds
from headstart.training.heads.solved import Solved, finite


def solve_regression(
    X: np.ndarray, labels: np.ndarray, task: Regression, *, groups: np.ndarray | None, seed: int
) -> Solved:
    """:func:`headstart.functional.ridge.fit_ridge` on the task's standardised scale; folds even in fifths of the quantity."""
    fifth = np.searchsorted(np.unique(np.quantile(labels, [0.2, 0.4, 0.6, 0.8])), labels, side="right")
    fold = assign_folds(np.unique(fifth, return_inverse=True)[1], groups=groups, seed=seed)
    ridge = fit_ridge(X, (labels - task.center) / task.scale, fold)
    held = np.isfinite(ridge.oof)
    value = 1 - ridge.errors.min() if held.any() else np.nan  # R^2: the scale is the labels' own
    said = f"ridge strength alpha = {ridge.strength:.3g}, the lowest held-out error of {len(ridge.strengths)} on {len(labels)} training labels"
    return Solved(
        ridge.weight[None].astype(np.float32), np.array([ridge.bias], dtype=np.float32), said, finite(value),
        (ridge.oof * task.scale + task.center)[:, None].astype(np.float32) if held.any() else None,
    )  # fmt: skip
