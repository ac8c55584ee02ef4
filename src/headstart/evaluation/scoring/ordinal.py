"""Ranks: how many ranks the prediction is off, quadratic-weighted kappa, accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.evaluation.scoring.classification import class_columns, worst_classes
from headstart.evaluation.scoring.scoring import Metric, SumScoring, Worst
from headstart.tasks.task import Task


def median_rank(probabilities: np.ndarray) -> np.ndarray:
    """The first rank whose cumulative probability reaches one half, int (n,): it has the lowest expected absolute error."""
    return (np.cumsum(probabilities.astype(np.float64), 1)[:, :-1] < 0.5 - 1e-9).sum(1)


def quadratic_kappa(confusion: np.ndarray) -> np.ndarray:
    """``1 - sum w O / sum w E`` with ``w_ij = (i - j)^2`` (Cohen 1968), (B,), of confusion matrices (B, K, K).

    nan where truth and prediction are one and the same rank throughout.
    """
    k = confusion.shape[-1]
    weight = (np.arange(k)[:, None] - np.arange(k)) ** 2
    n = confusion.sum((1, 2))
    chance = confusion.sum(2)[:, :, None] * confusion.sum(1)[:, None, :] / n[:, None, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 - (weight * confusion).sum((1, 2)) / (weight * chance).sum((1, 2))


class OrdinalScoring(SumScoring):
    """Of rank probabilities (n, K) and ranks (n,)."""

    name = "ordinal"
    headline = "mae"

    def metrics(self, classes: tuple[str, ...]) -> dict[str, Metric]:
        return {
            "mae": Metric(larger=False, percent=False, unit=" of a rank"), "quadratic_kappa": Metric(percent=False),
            "accuracy": Metric(),
        }  # fmt: skip

    def points(self, found: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, float]:
        values = self.of_sums(self._confusion(found, labels).sum(0, keepdims=True), classes)
        own = found[np.arange(len(labels)), labels].astype(np.float64)
        return {name: float(np.nan_to_num(v[0])) for name, v in values.items()} | {
            "loss": float(-np.log(own.clip(1e-7, 1)).mean())
        }

    def parts(self, found: np.ndarray, labels: np.ndarray, task: Task) -> np.ndarray:
        return self._confusion(found, labels)

    def _confusion(self, found: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """float (n, K * K): a one at (true rank, predicted rank)."""
        k = found.shape[1]
        cells = np.zeros((len(labels), k * k))
        cells[np.arange(len(labels)), labels * k + median_rank(found)] = 1
        return cells

    def of_sums(self, sums: np.ndarray, classes: tuple[str, ...]) -> dict[str, np.ndarray]:
        k = len(classes)
        confusion = sums.reshape(-1, k, k)
        n = confusion.sum((1, 2))
        off = np.abs(np.arange(k)[:, None] - np.arange(k))
        return {
            "mae": (off * confusion).sum((1, 2)) / n, "quadratic_kappa": quadratic_kappa(confusion),
            "accuracy": np.trace(confusion, axis1=1, axis2=2) / n,
        }  # fmt: skip

    def worst(self, found: np.ndarray, labels: np.ndarray, task: Task, names: tuple[str, ...]) -> list[Worst]:
        """Those that are off by the most ranks first."""
        said = median_rank(found)
        return worst_classes(found, labels, names, said, np.abs(said - labels))

    def columns(
        self, found: np.ndarray, labels: np.ndarray | None, task: Task, names: tuple[str, ...]
    ) -> dict[str, Any]:
        return class_columns(found, labels, task.classes, median_rank(found))
