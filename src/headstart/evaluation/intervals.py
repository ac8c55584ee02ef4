"""Resampling of test examples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BLOCK_BYTES = 32 * 2**20


def bootstrap_blocks(n: int, n_boot: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of n examples is drawn in each resample, in blocks of at most 32 MB (one row at least).

    Yields:
        float (b, n), rows summing to n; together ``n_boot`` rows, the same ones whatever the size of a block.
    """
    rng = np.random.default_rng(seed)
    rows = max(1, BLOCK_BYTES // (8 * max(n, 1)))
    for start in range(0, n_boot, rows):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(rows, n_boot - start)).astype(np.float64)


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
