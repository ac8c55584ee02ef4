"""Resampling of test examples."""

from __future__ import annotations

import numpy as np


def bootstrap_weights(n: int, n_boot: int, seed: int) -> np.ndarray:
    """How often each of n examples is drawn in each resample: float (n_boot, n), rows summing to n."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1 / n), size=n_boot).astype(np.float64)


def percentile_interval(samples: np.ndarray, value: float) -> list[float]:
    """The 2.5 % and 97.5 % quantiles of a statistic over resamples; ``[value, value]`` where there are none."""
    samples = samples[np.isfinite(samples)]
    if not len(samples):
        return [value, value]
    low, high = np.quantile(samples, [0.025, 0.975])
    return [float(low), float(high)]


def wilson(right: int, n: int, z: float = 1.959963984540054) -> list[float]:
    """Wilson's 95 % interval of a share (1927); ``[0, 1]`` for n = 0. Used for single classes, where n is small."""
    if n == 0:
        return [0.0, 1.0]
    p = right / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return [float(max(0.0, centre - half)), float(min(1.0, centre + half))]
