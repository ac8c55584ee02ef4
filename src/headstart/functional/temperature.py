"""Temperature scaling (Guo et al. 2017): one number that makes confidences honest and changes no decision."""

from __future__ import annotations

import numpy as np

LEAST, MOST = 0.05, 20.0
"""The range of temperatures."""


def fit_temperature(logits: np.ndarray, labels: np.ndarray, *, doubt: float = 0.0) -> float:
    """The T in [0.05, 20] for which ``softmax(logits / T)`` has the lowest log loss on held-out examples.

    With b = 1/T the loss ``sum_i logsumexp(b z_i) - b z_i[y_i]`` is convex, and its derivative
    ``sum_i sum_k p_ik z_ik - z_i[y_i]`` is bisected. ``doubt`` adds the cross-entropy of that many examples whose
    label is every class alike (spread over the given images), so that a handful of images that are all right
    does not give certainty; it counts for nothing beside many images.

    Args:
        logits: float (n, K), n >= 1; log-probabilities do as well, and -inf is taken as -1e4.
        labels: int (n,).
        doubt: >= 0, in examples.
    """
    z = np.maximum(np.asarray(logits, dtype=np.float64), -1e4)
    z = z - z.max(1, keepdims=True)
    n = len(labels)
    own = z[np.arange(n), labels].sum() + doubt * z.mean()

    def slope(b: float) -> float:
        p = np.exp(b * z)
        return float((1 + doubt / n) * ((p / p.sum(1, keepdims=True)) * z).sum() - own)

    low, high = 1 / MOST, 1 / LEAST
    if slope(low) >= 0:
        return MOST
    if slope(high) <= 0:
        return LEAST
    while high / low > 1 + 1e-13:
        middle = float(np.sqrt(low * high))
        if middle in (low, high):
            break
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / float(np.sqrt(low * high))


def at_temperature(logits: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(logits / T), (n, K)."""
    scaled = logits / temperature
    scaled = np.exp(scaled - scaled.max(1, keepdims=True))
    return scaled / scaled.sum(1, keepdims=True)


def log_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Logits, float64, of probabilities; those below what float32 holds count as 1e-38."""
    return np.log(np.asarray(probabilities, dtype=np.float64).clip(1e-38, 1))
