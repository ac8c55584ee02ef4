"""The gain of one method over another on the same test rows of several draws of one target.

A target row is tested in about half of the draws, and rows of one day or one person are alike. So neither a row of one draw
nor a row is the unit here, but a cluster: all that a day, a person or a row brings to all draws is drawn together.
``headstart.evaluation.gain.paired_gain``, which takes every row as independent, would give intervals that are too short.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.evaluation.gain import beyond_noise, no_difference_interval
from headstart.evaluation.intervals import bootstrap_blocks, percentile_interval

ROUNDS, MATTERS = 2000, 0.002
"""Resamples; and the least gain that is called one, however sure it is."""


def shares(y: np.ndarray, said: np.ndarray, task: str) -> np.ndarray:
    """What each test row (n,) adds to the score: 1 / n where the class is right, or minus its squared error over the sum of
    squares around the mean. Their sum is the accuracy, or R2 - 1."""
    if task == "classification":
        return (said == y) / len(y)
    return -((said - y) ** 2) / ((y - y.mean()) ** 2).sum()


def score(parts: np.ndarray, task: str) -> float:
    """The accuracy or R2 that :func:`shares` add up to."""
    return float(parts.sum() + (task == "regression"))


def pooled_gain(a: list[np.ndarray], b: list[np.ndarray], clusters: list[np.ndarray], seed: int = 0) -> dict[str, Any]:
    """The mean over draws of how much better ``a`` is than ``b``.

    Args:
        a, b: of each draw, the :func:`shares` (n,) of its test rows.
        clusters: of each draw, int (n,).

    Returns:
        ``{"value", "ci95", "p_value", "n"}``: the 95 % percentile interval of 2,000 resamples of clusters, a two-sided
        p-value by random swaps of ``a`` and ``b`` in whole clusters (2,000 rounds), and the number of clusters.
    """
    draws = len(a)
    _, place = np.unique(np.concatenate(clusters), return_inverse=True)
    difference = np.bincount(place, np.concatenate([x - y for x, y in zip(a, b, strict=True)]) / draws)
    weight = np.bincount(place, np.concatenate([np.full(len(x), 1 / (len(x) * draws)) for x in a]))
    value, n = float(difference.sum()), len(difference)
    if not difference.any():
        return {"value": 0.0, "ci95": no_difference_interval(n), "p_value": 1.0, "n": n}
    resampled = [(w @ difference) / (w @ weight) for w in bootstrap_blocks(n, ROUNDS, seed)]
    rng, hits = np.random.default_rng(seed), 0
    for _ in range(10):
        signs = rng.integers(0, 2, (ROUNDS // 10, n)) * 2.0 - 1
        hits += int((np.abs(signs @ difference) >= abs(value) - 1e-12).sum())
    return {
        "value": value,
        "ci95": percentile_interval(np.concatenate(resampled), value),
        "p_value": (hits + 1) / (ROUNDS + 1),
        "n": n,
    }


def verdict(gain: dict[str, Any]) -> str:
    """``"helped"``, ``"hurt"`` or ``"no evidence"``: interval and p-value must both say so, and by 0.002 at least."""
    if abs(gain["value"]) < MATTERS:
        return "no evidence"
    return {1: "helped", -1: "hurt", 0: "no evidence"}[beyond_noise(gain)]
