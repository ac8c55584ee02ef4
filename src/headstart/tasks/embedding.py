"""A metric embedding: pictures of one identity near each other on a sphere (ArcFace, or triplets)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from headstart.data.dataset import Dataset
from headstart.functional.margin import arcface_logits, triplet_loss, unit
from headstart.tasks.task import Task, TaskOptions

SCALES = {"arcface": 16.0}
"""ArcFace's s. The paper's 64 is for tens of thousands of identities; with few, gradients vanish early at 64."""
MARGINS = {"arcface": 0.5, "triplet": 0.2}


class Embedding(Task):
    """D numbers an image, of length 1; how alike two images are is the cosine of theirs.

    Args:
        classes: the identities that are learned from; images of others are what the test is about.
        size: D.
        loss: ``"arcface"`` (Deng et al. 2019) or ``"triplet"`` (Schroff et al. 2015, all triples of a batch).
        margin: of the loss; ``None``: :data:`MARGINS`.
    """

    name = "embedding"
    gives = frozenset({"embedding"})
    obeys = frozenset({"embedding_loss", "embedding_size", "margin"})

    def __init__(
        self, classes: tuple[str, ...], *, size: int = 128, loss: str = "arcface", margin: float | None = None
    ) -> None:
        self.classes, self.size, self.kind = classes, size, loss
        self.margin = MARGINS[loss] if margin is None else margin
        self.at_once = 4 if loss == "triplet" else 1

    @classmethod
    def learn(cls, train_set: Dataset, options: TaskOptions) -> Embedding:
        assert train_set.labels is not None
        learned = train_set.classes[
            : int(train_set.labels.max()) + 1
        ]  # the first ones are those of the training images
        return cls(learned, size=options.embedding_size, loss=options.embedding_loss, margin=options.margin)

    @classmethod
    def restore(cls, classes: tuple[str, ...], state: dict[str, Any]) -> Embedding:
        return cls(classes, size=state["size"])

    def state(self) -> dict[str, Any]:
        return {"size": self.size}

    @property
    def says(self) -> str:
        return f"Metric embedding of images: {self.size} numbers of length 1, compared by cosine"

    @property
    def rows(self) -> int:
        return self.size

    def head(self, width: int) -> nn.Linear:
        """A projection (D, ``width``) drawn at random; for ArcFace with a centre an identity beside it."""
        if self.kind == "triplet":
            return nn.Linear(width, self.size)
        return Centred(width, self.size, len(self.classes))

    def beside(self, outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """ArcFace's centres: the mean embedding of each identity."""
        if self.kind == "triplet":
            return ()
        sums = torch.zeros(len(self.classes), self.size).index_add_(0, targets.long(), unit(outputs))
        return (unit(sums),)

    def head_state(self, start: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
        return dict(zip(("weight", "bias", "centres"), start, strict=False))

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Of outputs (B, D), for ArcFace followed by the cosines to the centres (B, D + C), and identities (B,)."""
        if self.kind == "triplet":
            return triplet_loss(unit(outputs), targets, margin=self.margin)
        logits = arcface_logits(outputs[:, self.size :].float(), targets, margin=self.margin, scale=SCALES["arcface"])
        return nn.functional.cross_entropy(logits, targets)

    def some_targets(self, n: int) -> torch.Tensor:
        return torch.arange(n) % len(self.classes)

    def decode(self, outputs: torch.Tensor) -> torch.Tensor:
        """(B, D or more) -> (B, D), rows of length 1."""
        return unit(outputs[:, : self.size])


class Centred(nn.Linear):
    """A projection to D numbers, then the cosines of these to C centres that are learned: (B, width) -> (B, D + C)."""

    def __init__(self, width: int, size: int, classes: int) -> None:
        super().__init__(width, size)
        self.centres = nn.Parameter(torch.randn(classes, size))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        embedded = super().forward(features)
        cosines = unit(embedded) @ unit(self.centres).T
        return torch.cat([embedded, cosines.to(embedded.dtype)], 1)
