"""A quantity: root mean squared error, mean absolute error, R^2."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from headstart.evaluation.scoring.scoring import Metric, SumScoring, Worst
from headstart.tasks.task import Task


class RegressionScoring(SumScoring):
    """Of numbers (n, 1) and labels (n,) in one unit."""

    name = "regression"
    headline = "rmse"

    def metrics(self, classes: tuple[str, ...]) -> dict[str, Metric]:
        unit = f" of {classes[0]}"
        return {
            "rmse": Metric(larger=False, percent=False, unit=unit), "mae": Metric(larger=False, percent=False, unit=unit),
            "r2": Metric(percent=False),
        }  # fmt: skip

    def points(self, found: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, float]:
        off = found[:, 0].astype(np.float64) - labels
        spread = float(np.var(labels))
        mse = float(np.mean(off**2))
        return {
            "rmse": float(np.sqrt(mse)), "mae": float(np.abs(off).mean()), "r2": 1 - mse / spread if spread else 0.0, "loss": mse,
        }  # fmt: skip

    def parts(self, found: np.ndarray, labels: np.ndarray, task: Task) -> np.ndarray:
        off, centred = found[:, 0].astype(np.float64) - labels, labels - labels.mean()
        return np.column_stack([np.ones(len(labels)), np.abs(off), off**2, centred, centred**2])

    def of_sums(self, sums: np.ndarray, classes: tuple[str, ...]) -> dict[str, np.ndarray]:
        mae, mse, first, second = (sums[:, i] / sums[:, 0] for i in range(1, 5))
        spread = second - first**2
        with np.errstate(divide="ignore", invalid="ignore"):
            r2 = np.where(spread > 1e-12 * second, 1 - mse / spread, np.nan)
        return {"rmse": np.sqrt(mse), "mae": mae, "r2": r2}

    def read(self, table: pd.DataFrame, task: Task) -> tuple[np.ndarray, np.ndarray]:
        return table[["predicted"]].to_numpy(np.float64), table["label"].to_numpy(np.float64)

    def worst(self, found: np.ndarray, labels: np.ndarray, task: Task, names: tuple[str, ...]) -> list[Worst]:
        """The largest errors first."""
        off = found[:, 0] - labels
        return [
            Worst(int(i), f"{labels[i]:.4g}", f"{found[i, 0]:.4g}", note=f"{off[i]:+.3g}")
            for i in np.argsort(-np.abs(off), kind="stable")
        ]

    def columns(
        self, found: np.ndarray, labels: np.ndarray | None, task: Task, names: tuple[str, ...]
    ) -> dict[str, Any]:
        table: dict[str, Any] = {} if labels is None else {"label": labels}
        return table | {"predicted": found[:, 0]}

    def details(self, found: np.ndarray, labels: np.ndarray, task: Task) -> dict[str, Any]:
        """What always saying the mean of the test labels would score, and the range of the labels."""
        return {
            "constant": {"rmse": float(np.std(labels)), "mae": float(np.abs(labels - np.median(labels)).mean())},
            "range": [float(labels.min()), float(labels.max())],
        }

    def missing(self, labels: np.ndarray, classes: tuple[str, ...]) -> list[str]:
        return []
