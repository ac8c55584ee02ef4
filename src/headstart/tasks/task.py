"""What a task promises: a head, a loss, a decoding. One file a task."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn


class Task(ABC):
    """What is predicted.

    A concrete task says what it gives to the terms of a strategy (``gives``: ``"class_probabilities"`` for instance),
    so that the handshake can refuse a term that needs something else.
    """

    name: str
    gives: frozenset[str] = frozenset()

    @abstractmethod
    def head(self, width: int) -> nn.Module:
        """A new head for features (B, ``width``)."""

    @abstractmethod
    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean loss of a batch, a scalar."""

    def each(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(B,): the loss of each image, for tasks that give ``"loss_per_image"``."""
        raise NotImplementedError(f"the task {self.name!r} has no loss of one image")

    def mass(self, targets: torch.Tensor) -> float:
        """What a batch counts for in a mean over several: the number of its images, or the sum of their weights."""
        return float(len(targets))

    @abstractmethod
    def decode(self, outputs: torch.Tensor) -> torch.Tensor:
        """Outputs -> what a user reads (class probabilities, boxes, text)."""


class Model(nn.Module):
    """A backbone, dropout and a head: (B, 3, H, W) -> outputs of the task."""

    def __init__(self, backbone: nn.Module, head: nn.Module, dropout: float = 0.0) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(self.backbone(images)))
