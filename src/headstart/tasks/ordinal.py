"""Ranks: conditional questions "is it above j?" (CORN)."""

from __future__ import annotations

from typing import Any

import torch

from headstart.data.dataset import Dataset
from headstart.functional.corn import corn_loss, questions, rank_probabilities
from headstart.tasks.task import Task, TaskOptions


class Ordinal(Task):
    """One of K classes that have an order.

    Args:
        classes: the K names from low to high.
    """

    name = "ordinal"
    gives = frozenset({"rank_probabilities"})

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes

    @classmethod
    def learn(cls, train_set: Dataset, options: TaskOptions) -> Ordinal:
        return cls(train_set.classes)

    @classmethod
    def restore(cls, classes: tuple[str, ...], state: dict[str, Any]) -> Ordinal:
        return cls(classes)

    @property
    def says(self) -> str:
        return f"Ordinal regression from images: {len(self.classes)} ranks, {self.classes[0]} to {self.classes[-1]}"

    @property
    def rows(self) -> int:
        return len(self.classes) - 1

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return corn_loss(outputs, targets)

    def mass(self, targets: torch.Tensor) -> float:
        """The questions that the batch answers, over which the loss is a mean."""
        return questions(targets, len(self.classes))

    def some_targets(self, n: int) -> torch.Tensor:
        return torch.arange(n) % len(self.classes)

    def decode(self, outputs: torch.Tensor) -> torch.Tensor:
        """Logits (B, K - 1) -> probabilities of the ranks (B, K)."""
        return rank_probabilities(outputs)
