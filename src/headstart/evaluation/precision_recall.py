"""Average precision of rankings, and F1 of labels that are said or not; over resamples of the examples."""

from __future__ import annotations

import numpy as np


def average_precisions(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """``AP = sum_t (R_t - R_{t-1}) P_t`` over the distinct scores, falling (as scikit-learn), of each label: (B, K).

    Args:
        scores: float (n, K).
        truth: 0 or 1, (n, K).
        weights: float (B, n), how often each example counts; default: once, B = 1.

    Returns:
        nan for a label without a positive example.
    """
    rows = np.ones((1, len(scores))) if weights is None else weights
    found = np.full((len(rows), scores.shape[1]), np.nan)
    for k in range(scores.shape[1]):
        order = np.argsort(-scores[:, k], kind="stable")
        s, y = scores[order, k], truth[order, k] > 0
        if not y.any():
            continue
        w = rows[:, order]
        ends = np.flatnonzero(np.append(s[1:] < s[:-1], True))
        hits, said = np.cumsum(w * y, 1)[:, ends], np.cumsum(w, 1)[:, ends]
        gained = np.diff(hits, axis=1, prepend=0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(said > 0, hits / said, 0.0)
            found[:, k] = (gained * precision).sum(1) / hits[:, -1]
    return found


def f1_of_sums(hits: np.ndarray, true: np.ndarray, said: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Micro and macro F1 (B,) of counts (B, K): right ones, those that have the label, those that are said to.

    A label with neither does not count in the macro F1.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.where(true + said > 0, 2 * hits / (true + said), np.nan)
        micro = 2 * hits.sum(1) / (true.sum(1) + said.sum(1))
    shown = np.isfinite(each)
    macro = np.nansum(each, 1) / np.maximum(shown.sum(1), 1)
    return np.nan_to_num(micro), macro
