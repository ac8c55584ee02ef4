"""Thresholds of independent labels: those with the best F1."""

from __future__ import annotations

import numpy as np


def best_thresholds(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """For each label the threshold whose F1 is the highest, half-way between the two probabilities that it parts.

    Of several with the same F1 the one nearest to 0.5. A label without a positive example keeps 0.5.

    Args:
        probabilities: float (n, K) in [0, 1], nan for what was not predicted.
        labels: 0 or 1, (n, K).

    Returns:
        float64 (K,), in (0, 1); ``probability >= threshold`` says the label.
    """
    found = np.full(probabilities.shape[1], 0.5)
    for k in range(probabilities.shape[1]):
        seen = np.isfinite(probabilities[:, k])
        p, y = probabilities[seen, k].astype(np.float64), labels[seen, k] > 0
        if not y.any():
            continue
        order = np.argsort(-p, kind="stable")
        p, y = p[order], y[order]
        last = np.append(p[1:] < p[:-1], True)  # a threshold lies between two different probabilities
        said = np.arange(1, len(p) + 1)
        f1 = np.where(last, 2 * np.cumsum(y) / (said + y.sum()), -1.0)
        below = np.append(p[1:], 0.0)
        cuts = (p + below) / 2
        best = np.flatnonzero(f1 >= f1.max() - 1e-12)
        # inside (below, p] every cut is equal: take 0.5 where it lies there
        cuts = np.where((below < 0.5) & (p >= 0.5), 0.5, cuts)
        found[k] = np.clip(cuts[best[np.argmin(np.abs(cuts[best] - 0.5))]], 1e-6, 1 - 1e-6)
    return found
