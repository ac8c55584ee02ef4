"""Intervals of scores and of paired differences, for scores that are functions of sums over examples, and for any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from headstart.evaluation.intervals import BLOCK_BYTES, bootstrap_blocks, percentile_interval

Sums = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Sums (B, C) of the examples' parts -> scores by name, each (B,)."""


def scores_of_sums(parts: np.ndarray, score: Sums, *, n_boot: int = 1000, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Each score of ``parts`` (n, C) with its 95 % percentile interval over resamples of the examples."""
    values = {name: float(v[0]) for name, v in score(parts.sum(0, keepdims=True)).items()}
    drawn = [score(weights @ parts) for weights in bootstrap_blocks(len(parts), n_boot, seed)]
    return {
        name: {"value": value, "ci95": percentile_interval(np.concatenate([d[name] for d in drawn]), value)}
        for name, value in values.items()
        if np.isfinite(value)
    }


def gain_of_sums(
    a: np.ndarray, b: np.ndarray, score: Callable[[np.ndarray], np.ndarray], *, n_boot: int = 2000, rounds: int = 2000, seed: int = 0
) -> dict[str, Any]:  # fmt: skip
    """By how much ``score`` (sums (B, C) -> (B,), larger is better) of a (n, C) is above that of b, example by example.

    The interval is a percentile bootstrap over examples, both resampled together. The two-sided p-value swaps the parts of an
    example between the two at even odds, ``rounds`` times; the observed order counts as one of them.
    """
    n = len(a)
    value = float(score(a.sum(0, keepdims=True))[0] - score(b.sum(0, keepdims=True))[0])
    samples = np.concatenate([score(w @ a) - score(w @ b) for w in bootstrap_blocks(n, n_boot, seed)])
    rng, hits, block = np.random.default_rng(seed), 0, max(1, BLOCK_BYTES // (8 * n))
    total = a.sum(0) + b.sum(0)
    for start in range(0, rounds, block):
        swap = (rng.random((min(block, rounds - start), n)) < 0.5).astype(np.float64)
        one = swap @ b + (1 - swap) @ a
        hits += int((np.abs(score(one) - score(total - one)) >= abs(value) - 1e-12).sum())
    return {"value": value, "ci95": percentile_interval(samples, value), "p_value": (hits + 1) / (rounds + 1), "n": n}


def gain_of_resamples(value: float, samples: np.ndarray, n: int) -> dict[str, Any]:
    """A gain with the interval of its resamples, and twice the smaller share of them on either side of zero as the p-value
    (never 0), for scores that are no function of sums."""
    samples = samples[np.isfinite(samples)]
    side = min((samples <= 0).sum(), (samples >= 0).sum()) if len(samples) else 0
    p = min(1.0, 2 * (int(side) + 1) / (len(samples) + 1))
    return {"value": value, "ci95": percentile_interval(samples, value), "p_value": p, "n": n}
