"""A metric embedding: inputs of one identity near each other on a sphere (ArcFace, triplets, or ranking among a batch)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from headstart.data.dataset import Dataset
from headstart.errors import HandshakeError, sentence
from headstart.functional.contrastive import supervised_contrastive
from headstart.functional.margin import arcface_logits, triplet_loss, unit
from headstart.tasks.task import Task, TaskOptions

SCALES = {"arcface": 16.0, "ranking": 20.0}
"""Cosines are multiplied by it: 20 is usual for ranking. ArcFace's s: The paper's 64 is for tens of thousands of identities; with few, gradients vanish early at 64."""
MARGINS = {"arcface": 0.5, "triplet": 0.2}


class Embedding(Task):
    """D numbers an input, of length 1; how alike two inputs are is the cosine of theirs.

    Args:
        classes: the identities that are learned from; images of others are what the test is about.
        size: D.
        loss: ``"arcface"`` (Deng et al. 2019), ``"triplet"`` (Schroff et al. 2015, all triples of a batch), or ``"ranking"``: each input has to
            find those of its identity among all others of the batch (multiple negatives, Henderson et al. 2017; InfoNCE, van den Oord
            et al. 2018), :func:`headstart.functional.contrastive.supervised_contrastive` at a temperature of 1/20. Made for pairs.
        margin: of the loss; ``None``: :data:`MARGINS`.
    """

    name = "embedding"
    gives = frozenset({"embedding"})
    obeys = frozenset({"embedding_loss", "embedding_size", "margin"})

    def __init__(
        self, classes: tuple[str, ...], *, size: int = 128, loss: str = "arcface", margin: float | None = None
    ) -> None:
        self.classes, self.size, self.kind = classes, size, loss
        self.margin = MARGINS.get(loss, 0.0) if margin is None else margin
        self.at_once = {"triplet": 4, "ranking": 2}.get(loss, 1)

    @classmethod
    def learn(cls, train_set: Dataset, options: TaskOptions) -> Embedding:
        assert train_set.labels is not None
        if options.embedding_loss == "ranking" and options.margin is not None:
            raise HandshakeError(
                sentence("the ranking loss has no margin", where="--embedding-loss ranking", got=f"--margin {options.margin:g}", fix="leave it out")
            )  # fmt: skip
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
        return f"Metric embedding: {self.size} numbers of length 1, compared by cosine"

    @property
    def rows(self) -> int:
        return self.size

    def head(self, width: int) -> nn.Linear:
        """A projection (D, ``width``) drawn at random; for ArcFace with a centre an identity beside it; for ranking with rows (or columns) at
        right angles and no bias, which keeps the source's cosines as well as D numbers can."""
        if self.kind != "arcface":
            head = nn.Linear(width, self.size)
            if self.kind == "ranking":
                nn.init.orthogonal_(head.weight)
                nn.init.zeros_(head.bias)
            return head
        return Centred(width, self.size, len(self.classes))

    def beside(self, outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """ArcFace's centres: the mean embedding of each identity."""
        if self.kind != "arcface":
            return ()
        sums = torch.zeros(len(self.classes), self.size).index_add_(0, targets.long(), unit(outputs))
        return (unit(sums),)

    def head_state(self, start: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
        return dict(zip(("weight", "bias", "centres"), start, strict=False))

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Of outputs (B, D), for ArcFace followed by the cosines to the centres (B, D + C), and identities (B,)."""
        if self.kind == "triplet":
            return triplet_loss(unit(outputs), targets, margin=self.margin)
        if self.kind == "ranking":
            return supervised_contrastive(outputs, targets, 1 / SCALES["ranking"])
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
