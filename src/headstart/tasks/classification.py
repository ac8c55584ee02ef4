"""Single-label classification: a linear head, cross-entropy, softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.dataset import ImageDataset
from headstart.errors import RecipeError, near, sentence
from headstart.tasks.task import Task, TaskOptions


class Classification(Task):
    """One of K classes.

    Args:
        classes: the K names, in the order of the label indices.
        label_smoothing: in [0, 1), default 0; the target becomes ``(1 - s) * onehot + s / K`` (Szegedy et al. 2016).
        class_weights: float (K,), a factor on the loss of each class's images, or ``None``.

    The weighted loss is ``sum_i w[y_i] l_i / sum_i w[y_i]``; for soft targets (mixup) ``w[y_i]`` is the expectation of
    ``w`` under the target, so that a hard target is the special case.
    """

    name = "classification"
    gives = frozenset({"class_probabilities", "class_labels"})
    obeys = frozenset({"label_smoothing", "imbalance", "sampler", "mixing"})

    def __init__(
        self, classes: tuple[str, ...], *, label_smoothing: float = 0.0, class_weights: np.ndarray | None = None
    ) -> None:
        self.classes = classes
        self.label_smoothing = label_smoothing
        self.class_weights = None if class_weights is None else torch.as_tensor(class_weights, dtype=torch.float32)

    @classmethod
    def learn(cls, train_set: ImageDataset, options: TaskOptions) -> Classification:
        weights = class_weights(options.imbalance, train_set.counts, train_set.classes)
        return cls(train_set.classes, label_smoothing=options.label_smoothing, class_weights=weights)

    @classmethod
    def restore(cls, classes: tuple[str, ...], state: dict[str, Any]) -> Classification:
        return cls(classes)

    def soft(self, targets: torch.Tensor) -> torch.Tensor:
        """One-hot rows (B, K)."""
        return nn.functional.one_hot(targets, len(self.classes)).to(torch.float32)

    def some_targets(self, n: int) -> torch.Tensor:
        return torch.arange(n) % len(self.classes)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of logits (B, K) against indices (B,) or probabilities (B, K)."""
        k = outputs.shape[1]
        if targets.ndim == 1:
            targets = nn.functional.one_hot(targets, k)
        targets = targets.to(torch.float32)
        smooth = targets * (1 - self.label_smoothing) + self.label_smoothing / k
        each = -(smooth * torch.log_softmax(outputs.float(), dim=1)).sum(1)
        if self.class_weights is None:
            return each.mean()
        weight = targets @ self.class_weights.to(targets.device)
        return (each * weight).sum() / weight.sum()

    def mass(self, targets: torch.Tensor) -> float:
        """The sum of the class weights of the images; their number where no class has a weight of its own."""
        if self.class_weights is None:
            return float(len(targets))
        weights = self.class_weights.to(targets.device)
        return float((weights[targets] if targets.ndim == 1 else targets.to(torch.float32) @ weights).sum())

    def decode(self, outputs: torch.Tensor) -> torch.Tensor:
        """Logits (B, K) -> probabilities (B, K)."""
        return torch.softmax(outputs.float(), dim=1)


def class_weights(imbalance: str | dict[str, float], counts: np.ndarray, classes: tuple[str, ...]) -> np.ndarray | None:
    """What ``imbalance`` means as weights on the loss.

    Args:
        imbalance: ``"none"``; ``"auto"`` (weights when the largest class has more than 1.5 times the images of the
            smallest); ``"weights"`` (always); ``"sampler"`` (no weights here: batches are drawn balanced instead); or
            ``{class name: weight}``, classes not named have weight 1.
        counts: int (K,), training images a class.
        classes: the K names.

    Returns:
        float32 (K,) with a mean of 1 over the training images (``n / (K * counts)``), or ``None`` for equal weights.

    Raises:
        RecipeError: a name that is no class, or a weight that is not positive.
    """
    if isinstance(imbalance, dict):
        for name, value in imbalance.items():
            if name not in classes:
                close = near(name, classes)
                raise RecipeError(
                    sentence(
                        "unknown class in the class weights",
                        got=name,
                        allowed=list(classes),
                        fix=close[0] if close else None,
                    )
                )
            if not value > 0:
                raise RecipeError(sentence(f"the weight of class {name!r} must be positive", got=value, allowed="> 0"))
        return np.array([imbalance.get(name, 1.0) for name in classes], dtype=np.float32)
    present = counts[counts > 0]
    if imbalance in ("none", "sampler") or (imbalance == "auto" and present.max() <= 1.5 * present.min()):
        return None
    return (counts.sum() / (len(counts) * np.maximum(counts, 1))).astype(np.float32)


def sampler_weights(labels: np.ndarray) -> np.ndarray:
    """float64 (n,): the chance of drawing each image so that every class comes equally often."""
    return 1.0 / np.bincount(labels)[labels]
