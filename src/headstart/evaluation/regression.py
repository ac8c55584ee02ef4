"""Scores of a regressor with bootstrap intervals, and the paired gain of one over another on the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.errors import QuestionError, sentence
from headstart.evaluation.intervals import bootstrap_blocks, percentile_interval


def regression_metrics(
    said: np.ndarray, truth: np.ndarray, *, n_boot: int = 1000, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """R^2, mean absolute error and root mean squared error, each ``{"value", "ci95"}``.

    Args:
        said, truth: float (n,). R^2 is against the mean of ``truth``; of one constant value it is undefined and left out.
    """
    off = said - truth
    parts = np.column_stack([np.abs(off), off**2, truth, truth**2])

    def scores(means: np.ndarray) -> dict[str, np.ndarray]:
        spread = means[:, 3] - means[:, 2] ** 2
        found = {"mae": means[:, 0], "rmse": np.sqrt(means[:, 1])}
        if truth.var() > 0:
            with np.errstate(divide="ignore", invalid="ignore"):
                found["r2"] = 1 - means[:, 1] / np.where(spread > 1e-12 * truth.var(), spread, np.nan)
        return found

    values = scores(parts.mean(0)[None])
    drawn = [scores(weights @ parts / len(truth)) for weights in bootstrap_blocks(len(truth), n_boot, seed)]
    out: dict[str, dict[str, Any]] = {}
    for name in ("r2", "mae", "rmse"):
        if name in values:
            samples = np.concatenate([d[name] for d in drawn]) if drawn else np.zeros(0)
            value = float(values[name][0])
            out[name] = {"value": value, "ci95": percentile_interval(samples[np.isfinite(samples)], value)}
    return out


def paired_error_gain(
    a: np.ndarray, b: np.ndarray, truth: np.ndarray, *, n_boot: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """By how much the mean absolute error of ``a`` is below that of ``b`` on the same rows (n,), in units of the label.

    Percentile bootstrap over rows; the p-value flips the signs of the rows' differences at random, 2,000 times.

    Raises:
        QuestionError: unequal lengths.
    """
    if not len(a) == len(b) == len(truth):
        raise QuestionError(sentence("paired models need the same examples", got=[len(a), len(b), len(truth)]))
    difference = np.abs(b - truth) - np.abs(a - truth)
    value, n = float(difference.mean()), len(truth)
    samples = np.concatenate([weights @ difference / n for weights in bootstrap_blocks(n, n_boot, seed)])
    rng = np.random.default_rng(seed)
    hits, rounds, block = 0, 2000, max(1, 20_000_000 // n)
    for start in range(0, rounds, block):
        signs = rng.integers(0, 2, (min(block, rounds - start), n), dtype=np.int8) * 2.0 - 1.0
        hits += int((np.abs(signs @ difference / n) >= abs(value) - 1e-12).sum())
    return {"value": value, "ci95": percentile_interval(samples, value), "p_value": (hits + 1) / (rounds + 1), "n": n}
