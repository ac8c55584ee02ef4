"""What a task promises: a head, a loss, a decoding. One file a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.dataset import Dataset
from headstart.tasks.losses import CROSS_ENTROPY, Loss


@dataclass(frozen=True)
class TaskOptions:
    """What a user may say about a task; a task names those that it obeys, the others are refused.

    Attributes:
        label_smoothing: share of the target spread over all classes.
        imbalance: see :func:`headstart.tasks.classification.class_weights`.
        embedding_loss: ``"arcface"``, ``"triplet"`` or ``"ranking"``.
        embedding_size: numbers of an embedding.
        margin: of the embedding's loss; ``None``: 0.5 radians for ArcFace, 0.2 for triplets.
        loss: see :mod:`headstart.tasks.losses`.
    """

    label_smoothing: float = 0.0
    imbalance: Any = "auto"
    embedding_loss: str = "arcface"
    embedding_size: int = 128
    margin: float | None = None
    loss: Loss = CROSS_ENTROPY


class Task(ABC):
    """What is predicted.

    A concrete task says what it gives to the terms of a strategy (``gives``: ``"class_probabilities"`` for instance), so that the
    handshake can refuse a term that needs something else, and which options it obeys (``obeys``), so that the others are refused.

    Its outputs are those of a linear head; ``decode`` makes of them what a user reads, float (n, M).
    """

    name: str
    gives: frozenset[str] = frozenset()
    obeys: frozenset[str] = frozenset()
    classes: tuple[str, ...]
    at_once: int = 1
    """How many images of a class come one after the other, where the loss compares those of a batch."""
    settles: str = ""
    """What :meth:`tuned` settles on held-out predictions, in words; empty for nothing."""
    unit: float = 1.0
    """How much of what is decoded is a whole unit: 1 for probabilities, the spread of the labels for a quantity."""

    by_token: bool = False
    """Whether the head reads each token of a text, and what is decoded of the windows of a text is then gathered."""

    likelihood: float = 1.0
    """What its loss counts for in a log-likelihood: 1 for a cross-entropy, 1/2 for a squared error."""

    @classmethod
    @abstractmethod
    def learn(cls, train_set: Dataset, options: TaskOptions) -> Task:
        """The task of a training set: its classes, and what else its labels tell (weights, scales).

        Raises:
            QuestionError: options that these labels cannot have.
        """

    @classmethod
    @abstractmethod
    def restore(cls, classes: tuple[str, ...], state: dict[str, Any]) -> Task:
        """The task of a saved model, from :meth:`state`; good for decoding."""

    def state(self) -> dict[str, Any]:
        """What decoding needs beside the names of the classes, ready for JSON."""
        return {}

    @property
    def says(self) -> str:
        """What a model of this task does, for its card."""
        return f"Image {self.name} into {len(self.classes)} classes"

    @property
    def rows(self) -> int:
        """Outputs of the head."""
        return len(self.classes)

    def head(self, width: int) -> nn.Linear:
        """A linear layer (rows, ``width``) that starts at zero: before the first step every image has the same output."""
        head = nn.Linear(width, self.rows)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        return head

    @property
    def adjustment(self) -> torch.Tensor:
        """float32 (rows,): what the loss adds to the outputs, which a head that was solved without it has learned already."""
        return torch.zeros(self.rows)

    def beside(self, outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What a head that was solved needs besides weight and bias to go on by steps, from its outputs on the training images."""
        return ()

    def head_state(self, start: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
        """Weight, bias and what :meth:`beside` gave, by their names in the head."""
        return {"weight": start[0], "bias": start[1]}

    @abstractmethod
    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean loss of a batch, a scalar."""

    def each(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(B,): the loss of each image, for tasks that give ``"loss_per_image"``."""
        raise NotImplementedError(f"the task {self.name!r} has no loss of one image")

    def mass(self, targets: torch.Tensor) -> float:
        """What a batch counts for in a mean over several: the number of its images, or the sum of their weights."""
        return float(len(targets))

    def soft(self, targets: torch.Tensor) -> torch.Tensor | None:
        """The targets as numbers that can be mixed (mixup, CutMix), (B, M) float; ``None`` where a mixture has no meaning."""
        return None

    @abstractmethod
    def some_targets(self, n: int) -> torch.Tensor:
        """n targets of the kind that this task has, for trial steps."""

    @abstractmethod
    def decode(self, outputs: torch.Tensor) -> torch.Tensor:
        """Outputs -> what a user reads, float32 (n, M): probabilities, a quantity, an embedding."""

    def windows(self, dataset: Dataset, preprocessing: Any) -> Dataset:
        """What the model reads of a data set, with the targets of the loss: for tasks ``by_token`` windows of the texts."""
        return dataset

    def gathered(self, found: list[np.ndarray], windows: Dataset, dataset: Dataset) -> np.ndarray:
        """For tasks ``by_token``: what was decoded of each window -> what is said of each example, object (n,)."""
        raise NotImplementedError(f"the task {self.name!r} reads no windows")

    def compared(self, found: np.ndarray) -> np.ndarray:
        """What a reloaded model must say again, float (n, M)."""
        return found

    def tuned(self, found: np.ndarray, labels: np.ndarray) -> Task:
        """The task with what can only be settled on held-out predictions (thresholds): ``found`` (n, M) decoded, and their labels."""
        return self


class Model(nn.Module):
    """A backbone, dropout and a head: (B, 3, H, W) -> outputs of the task."""

    def __init__(self, backbone: nn.Module, head: nn.Module, dropout: float = 0.0) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(self.backbone(images)))
