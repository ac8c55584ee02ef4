"""Is a confidence of 80 % right 80 times of 100?"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from headstart.evaluation.metrics import expected_calibration_error
from headstart.functional.temperature import at_temperature, fit_temperature, log_probabilities

BINS = 10


def calibration(probabilities: np.ndarray, labels: np.ndarray, applied: dict[str, Any] | None = None) -> dict[str, Any]:
    """Bins for a reliability diagram, the expected calibration error, and the temperature that would mend it.

    Args:
        probabilities: float (n, K).
        labels: int (n,).
        applied: how a temperature was found on other images, with ``temperature``; the probabilities are after it.

    Returns:
        ``{"bins": [{"lo", "hi", "confidence", "accuracy", "n"}], "ece", "temperature"}``; the temperature (Guo et al. 2017) is
        above 1 where the model is too sure, and is found on these same examples, so it describes and does not correct.
        With ``applied`` also ``"applied"`` and ``"before": {"bins", "ece"}``, what they were without it.
    """
    found = {
        **_reliability(probabilities, labels),
        "temperature": fit_temperature(log_probabilities(probabilities), labels),
    }
    if applied:
        raw = at_temperature(log_probabilities(probabilities), 1 / applied["temperature"])
        found |= {"applied": applied, "before": _reliability(raw, labels)}
    return found


def _reliability(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Bins of equal width and the expected calibration error."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    edges = np.linspace(0, 1, BINS + 1)
    bins = []
    for lo, hi in pairwise(edges):
        inside = (confidence > lo) & (confidence <= hi)
        if inside.any():
            bins.append(
                {
                    "lo": round(float(lo), 2), "hi": round(float(hi), 2), "confidence": float(confidence[inside].mean()),
                    "accuracy": float(right[inside].mean()), "n": int(inside.sum()),
                }
            )  # fmt: skip
    return {"bins": bins, "ece": float(expected_calibration_error(probabilities, labels)[0])}
