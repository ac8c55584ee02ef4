"""Scores where the target has classes that the source has not: all of these are one class, *unknown*."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.evaluation.intervals import bootstrap_blocks, percentile_interval, wilson
from headstart.evaluation.metrics import class_counts


def open_codes(labels: Sequence[Any] | np.ndarray, known: Sequence[Any]) -> np.ndarray:
    """int (n,): the place of each label in ``known`` (as text), K for every other label."""
    place = {str(name): i for i, name in enumerate(known)}
    return np.array([place.get(str(label), len(place)) for label in labels], dtype=np.int64)


def open_set_metrics(
    predicted: np.ndarray, labels: np.ndarray, k: int, *, n_boot: int = 1000, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """OS, OS*, UNK and HOS, each with its 95 % interval.

    - ``os_star``: mean recall of the known classes that the target has; ``unk``: recall of *unknown*;
    - ``os``: mean recall of all of them (Saito et al., ECCV 2018);
    - ``hos``: ``2 OS* UNK / (OS* + UNK)``, 0 where both are 0 (Bucci, Loghmani, Tommasi, *On the Effectiveness of Image Rotation for
      Open Set Domain Adaptation*, ECCV 2020). It cannot be had by giving up the unknown, as a good OS can.

    Args:
        predicted, labels: int (n,), 0 to K - 1 for known classes, K for *unknown* (:func:`open_codes`).
        k: known classes.
        n_boot: bootstrap resamples of the rows (percentile interval); where all rows of a share are right, or none, it
            is Wilson's.
        seed: of the resampling.

    Returns:
        ``{metric: {"value": float, "ci95": [low, high]}}``; without rows of unknown classes ``os_star`` alone, without rows of
        known ones ``unk`` alone: the others are not defined.
    """
    values = {name: float(v[0]) for name, v in _scores(*class_counts(predicted, labels, k + 1)[:2]).items()}
    spread: dict[str, list[np.ndarray]] = {name: [] for name in values}
    for weights in bootstrap_blocks(len(labels), n_boot, seed):
        for name, part in _scores(*class_counts(predicted, labels, k + 1, weights)[:2]).items():
            spread[name].append(part)
    found = {}
    for name, value in values.items():
        if np.isnan(value):
            continue
        interval = percentile_interval(np.concatenate(spread[name] or [np.zeros(0)]), value)
        if value in (0.0, 1.0) and interval[0] == interval[1]:  # no resample can differ, yet n rows prove no certainty
            n = int((labels == k).sum()) if name == "unk" else len(labels)
            interval = wilson(round(value * n), n)
        found[name] = {"value": value, "ci95": interval}
    return found


def _scores(right: np.ndarray, true: np.ndarray) -> dict[str, np.ndarray]:
    """Each (B,), of rows that are right and that are of each class, (B, K + 1); NaN where not defined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(true > 0, right / true, np.nan)
        seen = true[:, :-1] > 0
        star = np.where(seen.any(1), np.nansum(recall[:, :-1], axis=1) / seen.sum(1), np.nan)
        unk = recall[:, -1]
        both = (np.nansum(recall[:, :-1], axis=1) + unk) / (seen.sum(1) + 1)
        hos = np.where(star + unk > 0, 2 * star * unk / (star + unk), star + unk)  # 0 + 0 is 0, NaN stays
    return {"os": np.where(seen.any(1), both, np.nan), "os_star": star, "unk": unk, "hos": hos}
