"""Several labels an image: mean average precision, and F1 at thresholds that were settled on held-out images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from headstart.evaluation.intervals import bootstrap_blocks, percentile_interval
from headstart.evaluation.paired import gain_of_resamples, gain_of_sums
from headstart.evaluation.precision_recall import average_precisions, f1_of_sums
from headstart.evaluation.scoring.scoring import Metric, Scoring, Worst
from headstart.tasks.multilabel import Multilabel
from headstart.tasks.task import Task

SEPARATOR = "|"


class MultilabelScoring(Scoring):
    """Of label probabilities (n, K) and labels 0 or 1 (n, K)."""

    name = "multilabel"
    headline = "mean_average_precision"

    def metrics(self, classes: tuple[str, ...]) -> dict[str, Metric]:
        return {"mean_average_precision": Metric(), "micro_f1": Metric(), "macro_f1": Metric()}

    def points(self, found: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, float]:
        """With every threshold at 0.5."""
        micro, macro = f1_of_sums(*_counts(found, labels, np.full(len(classes), 0.5)))
        p = found.astype(np.float64).clip(1e-7, 1 - 1e-7)
        loss = -np.where(labels > 0, np.log(p), np.log(1 - p)).mean()
        return {
            "mean_average_precision": _mean_ap(found, labels), "micro_f1": float(micro[0]), "macro_f1": float(macro[0]),
            "loss": float(loss),
        }  # fmt: skip

    def scores(
        self, found: np.ndarray, labels: np.ndarray, task: Task, n_boot: int = 1000, seed: int = 0
    ) -> dict[str, dict[str, Any]]:
        """A label that no test image has does not count in the mean average precision (a resample may lose one, too)."""
        thresholds = _thresholds(task)
        micro, macro = f1_of_sums(*_counts(found, labels, thresholds))
        values = {
            "mean_average_precision": _mean_ap(found, labels),
            "micro_f1": float(micro[0]),
            "macro_f1": float(macro[0]),
        }
        drawn: dict[str, list[np.ndarray]] = {name: [] for name in values}
        for weights in bootstrap_blocks(len(labels), n_boot, seed):
            drawn["mean_average_precision"].append(_means(average_precisions(found, labels, weights)))
            for name, part in zip(
                ("micro_f1", "macro_f1"), f1_of_sums(*_counts(found, labels, thresholds, weights)), strict=True
            ):
                drawn[name].append(part)
        return {
            name: {"value": value, "ci95": percentile_interval(np.concatenate(drawn[name]), value)}
            for name, value in values.items()
        }

    def gain(
        self, a: np.ndarray, b: np.ndarray, labels: np.ndarray, metric: str, tasks: tuple[Task, Task]
    ) -> dict[str, Any]:
        if metric == "mean_average_precision":
            value = _mean_ap(a, labels) - _mean_ap(b, labels)
            samples = [
                _means(average_precisions(a, labels, w)) - _means(average_precisions(b, labels, w))
                for w in bootstrap_blocks(len(labels), 2000, 0)
            ]
            return gain_of_resamples(value, np.concatenate(samples), len(labels))
        K, which = labels.shape[1], ("micro_f1", "macro_f1").index(metric)
        one, other = (np.hstack(_each(x, labels, _thresholds(task))) for x, task in zip((a, b), tasks, strict=True))
        return gain_of_sums(one, other, lambda s: f1_of_sums(s[:, :K], s[:, K : 2 * K], s[:, 2 * K :])[which])

    def read(self, table: pd.DataFrame, task: Task) -> tuple[np.ndarray, np.ndarray]:
        found = table[[f"prob_{name}" for name in task.classes]].to_numpy(np.float64)
        lists = [set(str(cell).split(SEPARATOR)) for cell in table["label"]]
        return found, np.array([[name in row for name in task.classes] for row in lists], dtype=np.float32)

    def worst(self, found: np.ndarray, labels: np.ndarray, task: Task, names: tuple[str, ...]) -> list[Worst]:
        """Those with a wrong label, the largest loss first."""
        said = found >= _thresholds(task)
        p = found.astype(np.float64).clip(1e-7, 1 - 1e-7)
        loss = -np.where(labels > 0, np.log(p), np.log(1 - p)).mean(1)
        wrong = np.flatnonzero((said != (labels > 0)).any(1))
        return [
            Worst(int(i), _joined(labels[i] > 0, names) or "none", _joined(said[i], names) or "none")
            for i in wrong[np.argsort(-loss[wrong], kind="stable")]
        ]

    def columns(
        self, found: np.ndarray, labels: np.ndarray | None, task: Task, names: tuple[str, ...]
    ) -> dict[str, Any]:
        """label and predicted as lists, names joined by a bar; one probability column a label."""
        said = found >= _thresholds(task)
        table: dict[str, Any] = {} if labels is None else {"label": [_joined(row > 0, task.classes) for row in labels]}
        table["predicted"] = [_joined(row, task.classes) for row in said]
        return table | {f"prob_{name}": found[:, k] for k, name in enumerate(task.classes)}

    def details(self, found: np.ndarray, labels: np.ndarray, task: Task) -> dict[str, Any]:
        """One row a label: test images that have it, average precision, precision, recall and F1 at its threshold."""
        thresholds = _thresholds(task)
        hits, true, said = (x[0] for x in _counts(found, labels, thresholds))
        precision = average_precisions(found, labels)[0]
        rows = []
        for k, name in enumerate(task.classes):
            rows.append(
                {
                    "name": name, "n": int(true[k]), "threshold": float(thresholds[k]),
                    "average_precision": float(precision[k]) if np.isfinite(precision[k]) else None,
                    "precision": float(hits[k] / said[k]) if said[k] else None,
                    "recall": float(hits[k] / true[k]) if true[k] else None,
                    "f1": float(2 * hits[k] / (true[k] + said[k])) if true[k] + said[k] else None,
                }
            )  # fmt: skip
        return {"per_label": rows}

    def missing(self, labels: np.ndarray, classes: tuple[str, ...]) -> list[str]:
        return [name for k, name in enumerate(classes) if not labels[:, k].any()]


def _thresholds(task: Task) -> np.ndarray:
    assert isinstance(task, Multilabel)
    return task.thresholds


def _each(found: np.ndarray, labels: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    said, true = (found >= thresholds).astype(np.float64), (labels > 0).astype(np.float64)
    return said * true, true, said


def _counts(
    found: np.ndarray, labels: np.ndarray, thresholds: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = np.ones((1, len(labels))) if weights is None else weights
    hits, true, said = (rows @ part for part in _each(found, labels, thresholds))
    return hits, true, said


def _means(precisions: np.ndarray) -> np.ndarray:
    shown = np.isfinite(precisions)
    return np.where(shown.any(1), np.nansum(precisions, 1) / np.maximum(shown.sum(1), 1), np.nan)


def _mean_ap(found: np.ndarray, labels: np.ndarray) -> float:
    return float(np.nan_to_num(_means(average_precisions(found, labels))[0]))


def _joined(has: np.ndarray, classes: tuple[str, ...]) -> str:
    return SEPARATOR.join(name for name, here in zip(classes, has, strict=True) if here)
