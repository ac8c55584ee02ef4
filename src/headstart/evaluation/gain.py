"""The paired gain of one model over another on the same test examples."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import binomtest

from headstart.errors import QuestionError, sentence
from headstart.evaluation.intervals import BLOCK_BYTES, bootstrap_blocks, percentile_interval
from headstart.evaluation.metrics import class_counts, from_counts

METRICS = ("accuracy", "balanced_accuracy", "macro_f1")


def check_metric(metric: str) -> None:
    """Refuse what no gain is measured in.

    Raises:
        QuestionError: not one of :data:`METRICS`.
    """
    if metric not in METRICS:
        raise QuestionError(sentence("unknown metric of a gain", got=metric, allowed=METRICS))


def paired_gain(
    a: np.ndarray, b: np.ndarray, labels: np.ndarray, metric: str = "accuracy", n_boot: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """How much better ``a`` is than ``b``.

    The interval is a percentile bootstrap over examples, both models resampled together (:func:`no_difference_interval`
    where they are right on the same ones). The p-value, two-sided, is
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
    check_metric(metric)
    first, second = (x.argmax(1) if x.ndim == 2 else x.astype(int) for x in (a, b))
    k = int(max(first.max(), second.max(), labels.max())) + 1

    def statistic(x: np.ndarray, w: np.ndarray | None = None) -> np.ndarray:
        return from_counts(*class_counts(x, labels, k, w))[metric]

    value = float(statistic(first)[0] - statistic(second)[0])
    differences = [statistic(first, w) - statistic(second, w) for w in bootstrap_blocks(len(labels), n_boot, seed)]
    ci = percentile_interval(np.concatenate(differences), value)
    if ((first == labels) == (second == labels)).all() and ci[0] == ci[1]:
        ci = no_difference_interval(len(labels))
    if metric == "accuracy":
        p = mcnemar(first == labels, second == labels)
    else:
        p = permutation_p(first, second, labels, k, metric, abs(value), seed)
    return {"value": value, "ci95": ci, "p_value": float(p), "n": len(labels)}


def beyond_noise(gain: dict[str, Any]) -> int:
    """1 where ``a`` is better beyond the noise, -1 where it is worse, else 0: the interval excludes zero *and* p < 0.05.

    Both are asked for. Where just four or five images tell two models apart, a percentile interval already excludes
    zero (resamples without any of five are e^-5 of all), but the exact test rightly does not.
    """
    low, high = gain["ci95"]
    if gain["p_value"] >= 0.05:
        return 0
    return 1 if low > 0 else -1 if high < 0 else 0


def no_difference_interval(n: int) -> list[float]:
    """95 % interval of the gain where two models are right on the same n examples: ``+-z^2 / (n + z^2)``.

    Tango's score interval (1998) at no discordant pair. A bootstrap would say [0, 0] of any n, even of three.
    """
    half = 1.959964**2 / (n + 1.959964**2)
    return [-half, half]


def permutation_p(
    first: np.ndarray, second: np.ndarray, labels: np.ndarray, k: int, metric: str, size: float, seed: int
) -> float:
    """Two-sided p-value: how often a gain of ``size`` or more comes about when the two predictions (n,) of each example are
    swapped at even odds; 2,000 rounds, in blocks. The observed order counts as one of them, so it is never 0."""
    rng, rounds, block = np.random.default_rng(seed), 2000, max(1, BLOCK_BYTES // (8 * len(labels)))
    right, true, said = (a + b for a, b in zip(*(class_counts(x, labels, k) for x in (first, second)), strict=True))
    hits = 0
    for start in range(0, rounds, block):
        swap = (rng.random((min(block, rounds - start), len(labels))) < 0.5).astype(np.float64)
        # what the first model has after the swap; the second has the rest of what both have
        parts = class_counts(first, labels, k, 1 - swap), class_counts(second, labels, k, swap)
        one = [a + b for a, b in zip(*parts, strict=True)]
        other = from_counts(right - one[0], true - one[1], said - one[2])
        hits += int((np.abs(from_counts(*one)[metric] - other[metric]) >= size - 1e-12).sum())
    return (hits + 1) / (rounds + 1)


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> float:
    """Exact two-sided p-value (McNemar 1947): under no difference, b of the b + c discordant examples ~ Binomial(1/2)."""
    only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    if only_a + only_b == 0:
        return 1.0
    return float(binomtest(only_a, only_a + only_b, 0.5).pvalue)
