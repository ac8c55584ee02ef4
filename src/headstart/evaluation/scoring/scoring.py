"""How predictions of a task are scored, compared, and written down. One file a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from headstart.errors import QuestionError, near, sentence
from headstart.evaluation.paired import gain_of_sums, scores_of_sums
from headstart.tasks.task import Task


@dataclass(frozen=True)
class Metric:
    """Attributes:
    larger: whether more is better; a gain in it is positive where the model is better, whatever this says.
    percent: whether it is a share, shown in percent.
    unit: what stands behind a gain in words, where it is no share.
    """

    larger: bool = True
    percent: bool = True
    unit: str = ""


@dataclass(frozen=True)
class Worst:
    """One test image that the model gets wrong, for the report: its row, its label and the prediction in words, the confidence where
    there is one, and what else is to say."""

    index: int
    label: str
    predicted: str
    confidence: float | None = None
    note: str = ""


class Scoring(ABC):
    """Attributes:
    name: of the task.
    headline: the metric that gains are measured in unless told otherwise.
    """

    name: str
    headline: str

    @abstractmethod
    def metrics(self, classes: tuple[str, ...]) -> dict[str, Metric]:
        """What gains may be measured in, the headline first."""

    @abstractmethod
    def points(self, found: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, float]:
        """Scores without intervals and ``loss`` (lower is better), for choosing an epoch."""

    @abstractmethod
    def scores(self, found: np.ndarray, labels: np.ndarray, task: Task) -> dict[str, dict[str, Any]]:
        """``{metric: {"value", "ci95"}}`` of decoded predictions (n, M), intervals from a bootstrap over the test examples."""

    @abstractmethod
    def gain(
        self, a: np.ndarray, b: np.ndarray, labels: np.ndarray, metric: str, tasks: tuple[Task, Task]
    ) -> dict[str, Any]:
        """By how much ``a`` is better than ``b`` on the same examples: ``{"value", "ci95", "p_value", "n"}``."""

    @abstractmethod
    def columns(
        self, found: np.ndarray, labels: np.ndarray | None, task: Task, names: tuple[str, ...]
    ) -> dict[str, Any]:
        """Columns of predictions.csv, in order: ``label`` where it is known (``names`` are those of the data's own classes),
        ``predicted``, and what stands behind it."""

    def read(self, table: pd.DataFrame, task: Task) -> tuple[np.ndarray, np.ndarray]:
        """What :meth:`columns` wrote, back: predictions (n, M) and labels, here of one probability column a class."""
        found = table[[f"prob_{name}" for name in task.classes]].to_numpy(np.float64)
        return found, np.array([task.classes.index(str(label)) for label in table["label"]], dtype=np.int64)

    @abstractmethod
    def worst(self, found: np.ndarray, labels: np.ndarray, task: Task, names: tuple[str, ...]) -> list[Worst]:
        """The mistakes, the worst first."""

    def details(self, found: np.ndarray, labels: np.ndarray, task: Task) -> dict[str, Any]:
        """More of what metrics.json and the report tell of this task."""
        return {}

    def missing(self, labels: np.ndarray, classes: tuple[str, ...]) -> list[str]:
        """Classes of which the labels have no example."""
        present = set(labels.tolist())
        return [name for i, name in enumerate(classes) if i not in present]

    def check_metric(self, metric: str, classes: tuple[str, ...]) -> str:
        """The metric to use; ``"auto"`` is the headline.

        Raises:
            QuestionError: a metric that this task has not.
        """
        known = self.metrics(classes)
        if metric == "auto":
            return self.headline
        if metric not in known:
            close = near(metric, known, 1)
            raise QuestionError(
                sentence(f"unknown metric of --task {self.name}", got=metric, allowed=list(known), fix=f"--metric {close[0] if close else self.headline}")
            )  # fmt: skip
        return metric

    def watched(self, metric: str, classes: tuple[str, ...]) -> str:
        """The key of :meth:`watch` by which epochs are chosen: larger is better."""
        return metric if self.metrics(classes)[metric].larger else f"minus_{metric}"

    def watch(self, found: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, float]:
        """:meth:`points`, and ``minus_`` those of which less is better."""
        points = self.points(found, labels, classes)
        less = {name for name, metric in self.metrics(classes).items() if not metric.larger}
        return points | {f"minus_{name}": -value for name, value in points.items() if name in less}


class SumScoring(Scoring):
    """Scores that are functions of sums over the examples."""

    @abstractmethod
    def parts(self, found: np.ndarray, labels: np.ndarray, task: Task) -> np.ndarray:
        """float (n, C): what each example adds."""

    @abstractmethod
    def of_sums(self, sums: np.ndarray, classes: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Sums (B, C) -> scores by name, each (B,)."""

    def scores(self, found: np.ndarray, labels: np.ndarray, task: Task) -> dict[str, dict[str, Any]]:
        return scores_of_sums(self.parts(found, labels, task), lambda sums: self.of_sums(sums, task.classes))

    def gain(
        self, a: np.ndarray, b: np.ndarray, labels: np.ndarray, metric: str, tasks: tuple[Task, Task]
    ) -> dict[str, Any]:
        classes = tasks[0].classes
        sign = 1.0 if self.metrics(classes)[metric].larger else -1.0
        return gain_of_sums(
            self.parts(a, labels, tasks[0]), self.parts(b, labels, tasks[1]),
            lambda sums: sign * self.of_sums(sums, classes)[metric],
        )  # fmt: skip
