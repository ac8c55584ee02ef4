"""What is too uncertain to be one of the known classes: a threshold from held-out rows of the known classes alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.errors import RecipeError, sentence
from headstart.functional.temperature import at_temperature, fit_temperature

UNKNOWN = "unknown"


def rejection(logits: np.ndarray, labels: np.ndarray, keep: float) -> tuple[float, float]:
    """(T, threshold): with ``softmax(logits / T)`` a share ``keep`` of held-out rows has a largest probability of at least
    ``threshold``.

    T is the temperature of the lowest log loss on the same rows and one doubtful one (Guo et al. 2017), so that rows that are all
    right do not give certainty, which leaves nothing to tell them by. The threshold is the largest value
    that at least ``keep * n`` rows reach.

    Args:
        logits: float (n, K) of held-out rows of known classes, n >= 1; log-probabilities do as well.
        labels: int (n,), their classes.
        keep: in (0, 1).
    """
    temperature = fit_temperature(logits, labels, doubt=1.0)
    confidence = np.sort(at_temperature(np.asarray(logits, dtype=np.float64), temperature).max(1))
    return temperature, float(confidence[int(np.floor((1 - keep) * len(confidence) + 1e-9))])


def with_unknown(logits: np.ndarray, temperature: float, threshold: float) -> np.ndarray:
    """(n, K + 1) scores that sum to 1; the last, *unknown*, is the largest just where the confidence is below ``threshold``.

    ``[p, threshold] / (1 + threshold)`` with ``p = softmax(logits / T)``: an order of the answers, not a probability of
    *unknown*, of which nothing is known without an example.
    """
    p = at_temperature(np.asarray(logits, dtype=np.float64), temperature)
    # what just reaches the threshold is known: argmax takes the first of equals
    return np.column_stack([p, np.full(len(p), threshold)]) / (1 + threshold)


def unknown_label(known: np.ndarray) -> Any:
    """What stands for *unknown* beside labels ``known`` (K,): -1 beside numbers, as in scikit-learn, else ``"unknown"``.

    Raises:
        RecipeError: a known class has that label.
    """
    label: object = -1 if np.issubdtype(np.asarray(known).dtype, np.number) else UNKNOWN
    if label in np.asarray(known).tolist():
        raise RecipeError(
            sentence("a class of the source has the name that an open set gives to all others", got=label,
                     fix="another name for that class")
        )  # fmt: skip
    return label
