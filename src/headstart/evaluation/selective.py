"""How sets and refusals do on labelled images: coverage and size; answered share and accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.evaluation.intervals import wilson


def set_scores(sets: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Share of sets that hold the true class, with Wilson's interval, and their mean size.

    Args:
        sets: bool (n, K).
        labels: int (n,).

    Returns:
        ``{"covered": {"value", "ci95"}, "size": float}``.
    """
    held = sets[np.arange(len(labels)), labels]
    return {"covered": share(held), "size": float(sets.sum(1).mean())}


def answered_scores(probabilities: np.ndarray, labels: np.ndarray, abstain_below: float) -> dict[str, Any]:
    """Share of images whose confidence reaches ``abstain_below``, and the accuracy on those.

    Returns:
        ``{"answered": {"value", "ci95"}, "accuracy": {"value", "ci95"} or None where none is answered}``.
    """
    answered = probabilities.max(1) >= abstain_below
    right = probabilities.argmax(1) == labels
    return {"answered": share(answered), "accuracy": share(right[answered]) if answered.any() else None}


def share(hits: np.ndarray) -> dict[str, Any]:
    """Mean of bool (n,) with Wilson's 95 % interval."""
    low, high = wilson(int(hits.sum()), len(hits))
    return {"value": float(hits.mean()), "ci95": [low, high]}
