"""Scores of a classifier with bootstrap intervals over test examples."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.evaluation.intervals import bootstrap_blocks, percentile_interval, wilson

BINS = 15
AUC_RESAMPLES = 200


def class_counts(
    predicted: np.ndarray, labels: np.ndarray, k: int, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Examples that are right, that are of, and that are taken for each class: three (B, K) of ``weights`` (B, n).

    All that accuracy, balanced accuracy and F1 need of a confusion matrix, at K numbers a resample and not K x K.
    """
    rows = np.ones((1, len(labels))) if weights is None else weights
    return (
        _by_class(rows * (predicted == labels), labels, k),
        _by_class(rows, labels, k),
        _by_class(rows, predicted, k),
    )


def _by_class(rows: np.ndarray, index: np.ndarray, k: int) -> np.ndarray:
    """Sums of (B, n) over the examples of each class: (B, K)."""
    return np.stack([np.bincount(index, row, minlength=k) for row in rows])


def from_counts(right: np.ndarray, true: np.ndarray, said: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy, balanced accuracy and macro F1, each (B,), of :func:`class_counts`.

    A class without a label in a (re)sample does not count in the balanced accuracy; one with neither label nor
    prediction does not count in the macro F1, as in scikit-learn.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(true > 0, right / true, np.nan)
        f1 = np.where(true + said > 0, 2 * right / (true + said), np.nan)
    return {
        "accuracy": right.sum(1) / true.sum(1),
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
    """Macro one-vs-rest area under the ROC curve; ``None`` where a class has no example, or all of them."""
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    if (counts == 0).any() or (counts == len(labels)).any():
        return None
    return float(weighted_auc(probabilities, labels, np.ones((1, len(labels))))[0])


def weighted_auc(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Macro one-vs-rest AUC (B,) of resamples ``weights`` (B, n): the share of pairs in order, ties counting half.

    Each class is sorted once for all resamples. A class that a resample has lost does not count in it;
    NaN where just one is left.
    """
    columns = np.ascontiguousarray(weights.T)
    total = weights.sum(1)
    areas = []
    for c in range(probabilities.shape[1]):
        order = np.argsort(probabilities[:, c], kind="stable")
        score, own = probabilities[order, c], labels[order] == c
        sorted_weights = columns[order]
        below = np.concatenate([np.zeros((1, len(total))), np.cumsum(sorted_weights * ~own[:, None], axis=0)])
        positive = sorted_weights[own]
        first, last = (np.searchsorted(score, score[own], side=side) for side in ("left", "right"))
        won = (positive * (below[first] + below[last]) / 2).sum(0)
        mass = positive.sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            areas.append(np.where((mass > 0) & (mass < total), won / (mass * (total - mass)), np.nan))
    found = np.isfinite(areas)
    with np.errstate(invalid="ignore"):
        return np.nansum(areas, axis=0) / found.sum(axis=0)


def point_metrics(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy, balanced accuracy, macro F1 and ``loss`` (log loss), without intervals; for choosing epochs."""
    counts = class_counts(probabilities.argmax(1), labels, probabilities.shape[1])
    found = {name: float(value[0]) for name, value in from_counts(*counts).items()}
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
        roc_auc (``ci95`` from the first 200 of the resamples) where every class has an example.
        Where every image is right, or none is, all resamples are alike; accuracy, balanced accuracy and macro F1 then
        have Wilson's interval (1927) of n of n, so that 15 images of 15 read [0.80, 1] and not [1, 1].
    """
    k, n = probabilities.shape[1], len(labels)
    predicted, losses = probabilities.argmax(1), log_losses(probabilities, labels)
    values = {name: float(v[0]) for name, v in from_counts(*class_counts(predicted, labels, k)).items()}
    values |= {"log_loss": float(losses.mean()), "ece": float(expected_calibration_error(probabilities, labels)[0])}
    auc = roc_auc(probabilities, labels)
    if auc is not None:
        values["roc_auc"] = auc
    spread: dict[str, list[np.ndarray]] = {name: [] for name in values}
    done = 0
    for weights in bootstrap_blocks(n, n_boot, seed):
        part_of = from_counts(*class_counts(predicted, labels, k, weights))
        part_of["log_loss"] = weights @ losses / n
        part_of["ece"] = expected_calibration_error(probabilities, labels, weights)
        if auc is not None and done < AUC_RESAMPLES:
            part_of["roc_auc"] = weighted_auc(probabilities, labels, weights[: AUC_RESAMPLES - done])
        done += len(weights)
        for name, part in part_of.items():
            spread[name].append(part)
    found = {
        name: {"value": value, "ci95": percentile_interval(np.concatenate(spread[name] or [np.zeros(0)]), value)}
        for name, value in values.items()
    }
    right = int((predicted == labels).sum())
    if right in (0, n):  # no resample can differ, yet n images prove no certainty
        for name in ("accuracy", "balanced_accuracy", "macro_f1"):
            found[name]["ci95"] = wilson(right, n)
    return found
