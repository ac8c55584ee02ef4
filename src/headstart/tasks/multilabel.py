"""Several labels an image: one logistic a label, a threshold of its own for each."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from headstart.data.dataset import Dataset
from headstart.errors import RecipeError, near, sentence
from headstart.functional.thresholds import best_thresholds
from headstart.tasks.task import Task, TaskOptions


class Multilabel(Task):
    """Any number of K labels.

    Args:
        classes: the K names.
        label_smoothing: s in [0, 1), default 0; a target becomes ``y (1 - s) + s / 2``.
        positive_weights: float (K,), a factor on the loss of each label's positive examples, or ``None``.
        thresholds: float (K,) in (0, 1): a label is said from this probability on; default 0.5.
    """

    name = "multilabel"
    gives = frozenset({"label_probabilities", "shared_labels"})
    obeys = frozenset({"label_smoothing", "imbalance", "mixing"})
    settles = "the labels' thresholds"

    def __init__(
        self, classes: tuple[str, ...], *, label_smoothing: float = 0.0, positive_weights: np.ndarray | torch.Tensor | None = None,
        thresholds: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        self.classes = classes
        self.label_smoothing = label_smoothing
        self.positive_weights = None if positive_weights is None else torch.as_tensor(positive_weights).float()
        self.thresholds = np.full(len(classes), 0.5) if thresholds is None else np.asarray(thresholds, dtype=np.float64)

    @classmethod
    def learn(cls, train_set: Dataset, options: TaskOptions) -> Multilabel:
        """``imbalance``: ``"auto"`` and ``"none"`` weigh nothing (thresholds take care of rare labels), ``"weights"`` weighs the
        positive examples of label k by (negatives / positives), a table names factors."""
        counts, n = train_set.counts, len(train_set)
        weights = None
        if isinstance(options.imbalance, dict):
            for name, value in options.imbalance.items():
                if name not in train_set.classes or not value > 0:
                    close = near(name, train_set.classes)
                    raise RecipeError(
                        sentence(
                            "cannot weigh this label", got=f"{name}={value}", allowed=list(train_set.classes),
                            fix=close[0] if close else None,
                        )
                    )  # fmt: skip
            weights = np.array([options.imbalance.get(name, 1.0) for name in train_set.classes])
        elif options.imbalance == "weights":
            weights = (n - counts) / np.maximum(counts, 1)
        return cls(train_set.classes, label_smoothing=options.label_smoothing, positive_weights=weights)

    @classmethod
    def restore(cls, classes: tuple[str, ...], state: dict[str, Any]) -> Multilabel:
        return cls(classes, thresholds=np.array(state["thresholds"]))

    def state(self) -> dict[str, Any]:
        return {"thresholds": [float(t) for t in self.thresholds]}

    @property
    def says(self) -> str:
        return f"Multilabel image classification: any of {len(self.classes)} labels"

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean binary cross-entropy of logits (B, K) against 0..1 (B, K)."""
        smooth = targets.float() * (1 - self.label_smoothing) + self.label_smoothing / 2
        weight = None if self.positive_weights is None else self.positive_weights.to(outputs.device)
        return F.binary_cross_entropy_with_logits(outputs.float(), smooth, pos_weight=weight)

    def soft(self, targets: torch.Tensor) -> torch.Tensor:
        return targets.float()

    def some_targets(self, n: int) -> torch.Tensor:
        return torch.arange(n)[:, None].remainder(2).expand(n, self.rows).float()

    def decode(self, outputs: torch.Tensor) -> torch.Tensor:
        """Logits (B, K) -> the probability of each label (B, K)."""
        return torch.sigmoid(outputs.float())

    def tuned(self, found: np.ndarray, labels: np.ndarray) -> Multilabel:
        """Thresholds with the best F1 of each label on held-out images."""
        return Multilabel(
            self.classes, label_smoothing=self.label_smoothing, positive_weights=self.positive_weights,
            thresholds=best_thresholds(found, labels),
        )  # fmt: skip
