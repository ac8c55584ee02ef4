"""Scores of a classifier with bootstrap intervals over test examples."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.evaluation.intervals import bootstrap_weights, percentile_interval

BINS = 15


def confusion(predicted: np.ndarray, labels: np.ndarray, k: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Weighted counts (B, K, K), rows the label, columns the prediction; ``weights`` (B, n), default one row of ones."""
    cell = labels * k + predicted
    if weights is None:
        return np.bincount(cell, minlength=k * k).reshape(1, k, k).astype(np.float64)
    return np.stack([np.bincount(cell, row, minlength=k * k) for row in weights]).reshape(-1, k, k)


def from_confusion(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy, balanced accuracy and macro F1, each (B,), of confusion matrices (B, K, K).

    A class without a label in a (re)sample does not count in the balanced accuracy; one with neither label nor
    prediction does not count in the macro F1, as in scikit-learn.
    """
    right = np.diagonal(matrix, axis1=1, axis2=2)
    true, said = matrix.sum(2), matrix.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(true > 0, right / true, np.nan)
        f1 = np.where(true + said > 0, 2 * right / (true + said), np.nan)
    return {
        "accuracy": right.sum(1) / matrix.sum((1, 2)),
        "balanced_accuracy": np.nanmean(recall, axis=1),
        "macro_f1": np.nanmean(f1, axis=1),
    }


def log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """``-log p(label)`` of each example (n,), probabilities clipped to 1e-7."""
    return -np.log(probabilities[np.arange(len(labels)), labels].astype(np.float64).clip(1e-7, 1))


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """ECE (B,) over 15 bins of equal width (Guo et al. 2017): ``sum_b n_b / n * |accuracy_b - confidence_b|``."""
    confidence = probabilities.max(1).astype(np.float64)
    right = (probabilities.argmax(1) == labels).astype(np.float64)
    slot = np.minimum((confidence * BINS).astype(int), BINS - 1)
    rows = np.ones((1, len(labels))) if weights is None else weights
    gap = right - confidence
    return np.array([np.abs(np.bincount(slot, row * gap, minlength=BINS)).sum() / row.sum() for row in rows])


def roc_auc(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """Macro one-vs-rest area under the ROC curve by ranks; ``None`` where a class has no example, or all of them."""
    from scipy.stats import rankdata

    counts = np.bincount(labels, minlength=probabilities.shape[1])
    if (counts == 0).any() or (counts == len(labels)).any():
        return None
    ranks = rankdata(probabilities, axis=0)
    own = np.array([ranks[labels == c, c].sum() for c in range(probabilities.shape[1])])
    return float(np.mean((own - counts * (counts + 1) / 2) / (counts * (len(labels) - counts))))


def point_metrics(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy, balanced accuracy, macro F1 and ``loss`` (log loss), without intervals; for choosing epochs."""
    matrix = confusion(probabilities.argmax(1), labels, probabilities.shape[1])
    found = {name: float(value[0]) for name, value in from_confusion(matrix).items()}
    return found | {"loss": float(log_losses(probabilities, labels).mean())}


def classification_metrics(
    probabilities: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], *, n_boot: int = 1000, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Every score with its 95 % interval.

    Args:
        probabilities: float (n, K), rows summing to 1.
        labels: int (n,), indices into ``classes``.
        classes: the K names.
        n_boot: bootstrap resamples of the test examples (Efron 1979, percentile interval).
        seed: of the resampling.

    Returns:
        ``{metric: {"value": float, "ci95": [low, high]}}`` with accuracy, balanced_accuracy, macro_f1, log_loss, ece, and
        roc_auc (``ci95`` by the same resamples on up to 200 of them) where every class has an example.
    """
    k = probabilities.shape[1]
    weights = bootstrap_weights(len(labels), n_boot, seed)
    predicted = probabilities.argmax(1)
    losses = log_losses(probabilities, labels)
    values = {n: float(v[0]) for n, v in from_confusion(confusion(predicted, labels, k)).items()}
    spread = from_confusion(confusion(predicted, labels, k, weights))
    values |= {"log_loss": float(losses.mean()), "ece": float(expected_calibration_error(probabilities, labels)[0])}
    spread |= {
        "log_loss": weights @ losses / len(labels),
        "ece": expected_calibration_error(probabilities, labels, weights),
    }
    auc = roc_auc(probabilities, labels)
    if auc is not None:
        index = np.arange(len(labels))
        tries = [np.repeat(index, row.astype(int)) for row in weights[:200]]
        found = [roc_auc(probabilities[i], labels[i]) for i in tries]
        values["roc_auc"], spread["roc_auc"] = auc, np.array([x for x in found if x is not None])
    return {name: {"value": value, "ci95": percentile_interval(spread[name], value)} for name, value in values.items()}
