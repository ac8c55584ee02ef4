"""A quantity: a linear head on the standardised scale, squared error."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from headstart.data.dataset import Dataset
from headstart.tasks.task import Task, TaskOptions


class Regression(Task):
    """One number an image.

    The head works on ``(y - center) / scale``, so that learning rates mean the same for years and for micrometres.

    Args:
        classes: the name of the quantity, alone.
        center, scale: mean and standard deviation of the training labels, in the label's unit.
    """

    name = "regression"
    likelihood = 0.5
    obeys = frozenset({"mixing"})

    def __init__(self, classes: tuple[str, ...], *, center: float = 0.0, scale: float = 1.0) -> None:
        self.classes = classes
        self.center, self.scale = float(center), float(scale)
        self.unit = self.scale

    @classmethod
    def learn(cls, train_set: Dataset, options: TaskOptions) -> Regression:
        assert train_set.labels is not None
        spread = float(np.std(train_set.labels))
        return cls(train_set.classes, center=float(np.mean(train_set.labels)), scale=spread or 1.0)

    @classmethod
    def restore(cls, classes: tuple[str, ...], state: dict[str, Any]) -> Regression:
        return cls(classes, center=state["center"], scale=state["scale"])

    def state(self) -> dict[str, Any]:
        return {"center": self.center, "scale": self.scale}

    @property
    def says(self) -> str:
        return f"Regression of {self.classes[0]!r} from images"

    def each(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(B,): squared error of (B, 1) against labels (B,) or (B, 1) in their own unit, in units of ``scale``."""
        wanted = (targets.reshape(len(outputs), 1).double() - self.center) / self.scale
        return (outputs.float() - wanted.float()).square()[:, 0]

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean of :meth:`each`."""
        return self.each(outputs, targets).mean()

    def soft(self, targets: torch.Tensor) -> torch.Tensor:
        return targets.reshape(-1, 1).float()

    def some_targets(self, n: int) -> torch.Tensor:
        return self.center + self.scale * torch.linspace(-1, 1, n, dtype=torch.float64)

    def decode(self, outputs: torch.Tensor) -> torch.Tensor:
        """(B, 1) -> (B, 1) in the label's unit."""
        return outputs.float() * self.scale + self.center
