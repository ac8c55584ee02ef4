"""The paired gain of one model over another on the same test examples."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import binomtest

from headstart.errors import QuestionError, sentence
from headstart.evaluation.intervals import bootstrap_blocks, percentile_interval
from headstart.evaluation.metrics import class_counts, from_counts

METRICS = ("accuracy", "balanced_accuracy", "macro_f1")


def paired_gain(
    a: np.ndarray, b: np.ndarray, labels: np.ndarray, metric: str = "accuracy", n_boot: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """How much better ``a`` is than ``b``.

    The interval is a percentile bootstrap over examples, both models resampled together. The p-value, two-sided, is
    McNemar's exact test for accuracy (a binomial test on the examples that just one of the two gets right), and for the
    other metrics a permutation test that swaps the two predictions of an example at even odds.

    Args:
        a, b: float (n, K) probabilities of the two models, or int (n,) predicted classes.
        labels: int (n,).
        metric: ``"accuracy"``, ``"balanced_accuracy"`` or ``"macro_f1"``.

    Returns:
        ``{"value", "ci95": [low, high], "p_value", "n"}``.

    Raises:
        QuestionError: unequal lengths, or an unknown metric.
    """
    if not len(a) == len(b) == len(labels):
        raise QuestionError(sentence("paired models need the same examples", got=[len(a), len(b), len(labels)]))
    if metric not in METRICS:
        raise QuestionError(sentence("unknown metric of a gain", got=metric, allowed=METRICS))
    first, second = (x.argmax(1) if x.ndim == 2 else x.astype(int) for x in (a, b))
    k = int(max(first.max(), second.max(), labels.max())) + 1

    def statistic(x: np.ndarray, w: np.ndarray | None = None) -> np.ndarray:
        return from_counts(*class_counts(x, labels, k, w))[metric]

    value = float(statistic(first)[0] - statistic(second)[0])
    differences = [statistic(first, w) - statistic(second, w) for w in bootstrap_blocks(len(labels), n_boot, seed)]
    ci = percentile_interval(np.concatenate(differences), value)
    if metric == "accuracy":
        p = mcnemar(first == labels, second == labels)
    else:
        rng = np.random.default_rng(seed)
        hits, rounds = 0, 2000
        for _ in range(rounds):
            swap = rng.random(len(labels)) < 0.5
            one, two = np.where(swap, second, first), np.where(swap, first, second)
            hits += abs(float(statistic(one)[0] - statistic(two)[0])) >= abs(value) - 1e-12
        p = (hits + 1) / (rounds + 1)
    return {"value": value, "ci95": ci, "p_value": float(p), "n": len(labels)}


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> float:
    """Exact two-sided p-value (McNemar 1947): under no difference, b of the b + c discordant examples ~ Binomial(1/2)."""
    only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    if only_a + only_b == 0:
        return 1.0
    return float(binomtest(only_a, only_a + only_b, 0.5).pvalue)
