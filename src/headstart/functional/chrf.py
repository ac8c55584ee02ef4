"""chrF of a corpus from counts that add up over sentences (Popovic 2015; as sacreBLEU computes it)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

ORDER = 6
BETA = 2.0


def chrf_counts(said: Sequence[str], right: Sequence[str]) -> np.ndarray:
    """float (n, 18): of each sentence the character n-grams said, right and matching, orders 1 to 6; spaces do not count."""
    found = np.zeros((len(said), 3 * ORDER))
    for row, a, b in zip(found, said, right, strict=True):
        one, other = "".join(a.split()), "".join(b.split())
        for n in range(1, ORDER + 1):
            mine, theirs = _grams(one, n), _grams(other, n)
            both = sum((mine & theirs).values())
            row[3 * n - 3 : 3 * n] = (sum(mine.values()) if theirs else 0), sum(theirs.values()), both
    return found


def _grams(text: str, n: int) -> Counter[str]:
    return Counter(text[i : i + n] for i in range(len(text) - n + 1))


def chrf(sums: np.ndarray) -> np.ndarray:
    """Sums (B, 18) of :func:`chrf_counts` -> chrF (B,), 0 to 100::

        chrF = 100 (1 + beta^2) P R / (beta^2 P + R),    beta = 2

    with precision P and recall R averaged over the orders that both sides have.
    """
    said, right, both = sums[:, 0::3], sums[:, 1::3], sums[:, 2::3]
    there = (said > 0) & (right > 0)
    orders = np.maximum(there.sum(1), 1)
    precision = np.where(there, both / np.maximum(said, 1), 0).sum(1) / orders
    recall = np.where(there, both / np.maximum(right, 1), 0).sum(1) / orders
    below = BETA**2 * precision + recall
    return 100 * np.where(below > 0, (1 + BETA**2) * precision * recall / np.where(below > 0, below, 1), 0.0)
