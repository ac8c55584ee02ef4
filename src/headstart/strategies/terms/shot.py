"""SHOT: a source model moves to the target without the source's data (Liang et al., ICML 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from headstart.errors import HandshakeError, sentence
from headstart.functional.class_balanced import labelled_loss
from headstart.functional.shot import centroid_labels
from headstart.strategies.procedures.source_free import SourceFree
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.target_pass import target_pass
from headstart.strategies.terms.term import Penalty, Seen, Start, Term
from headstart.tasks.task import Model


@dataclass(frozen=True)
class SHOT(Term):
    """Source training for a share of the epochs, then the target alone under the frozen head (hypothesis transfer).

    In the second part the backbone descends ``L_ent + L_div + weight / U * sum_u H(label_u, p_u)``: every row sure, all classes in
    use, and the labels of the nearest of K centroids in feature space, found anew before each epoch
    (:mod:`headstart.functional.shot`; equation 7 of the paper). Not a row of the source is read there.

    Args:
        weight: beta > 0 of the labels, default 0.3 (the paper: 0.3, for digits 0.1).
        source: in [0, 0.9], share of the training on the source, default 0.5; 0 is for a model that comes trained
            (:func:`headstart.training.source_free.source_free`).
    """

    weight: float = 0.3
    source: float = 0.5

    name = "shot"
    needs = frozenset({"class_probabilities", "target_stream", "trainable_backbone"})

    def __post_init__(self) -> None:
        check_argument(self.name, "source", self.source, 0 <= self.source <= 0.9, "0 to 0.9, a share of the training")

    @property
    def procedure(self) -> SourceFree:  # type: ignore[override]
        return SourceFree(self.source)

    def bind(self, start: Start) -> Penalty:
        head = start.model.head
        if not self.source and isinstance(head, nn.Linear) and not bool(head.weight.any()):
            raise HandshakeError(
                sentence("term 'shot' keeps the head as it is, and without source training it is a new one that says nothing",
                         got="source=0", fix="shot(source=0.5), or headstart adapt RUN TARGET --method shot")
            )  # fmt: skip
        return Pseudo(self, start)

    def describe(self) -> str:
        return f"SHOT (labels weigh {self.weight:g}, {self.source:.0%} of the training on the source)"


class Pseudo(Penalty):
    """The labels of the epoch, and their cross-entropy."""

    labels: torch.Tensor

    def __init__(self, term: SHOT, start: Start) -> None:
        super().__init__()
        assert start.target_batches is not None
        self.term, self.batches, self.device, self.classes = (
            term,
            start.target_batches,
            start.device,
            start.task.classes,
        )
        self.register_buffer("labels", torch.full((start.target_total,), -1))

    def begin(self, model: Model, progress: float) -> None:
        if progress >= self.term.source:
            self._label(model)

    def _label(self, model: Model) -> None:
        features, outputs = target_pass(model, self.batches, self.device)
        self.labels = centroid_labels(features, torch.softmax(outputs, dim=1))

    def forward(self, seen: Seen) -> torch.Tensor:
        assert seen.target_outputs is not None and seen.batch.target_index is not None
        if self.labels[0] < 0:  # the second part begins within an epoch
            self._label(seen.model)
        labels = self.labels[seen.batch.target_index]
        return self.term.weight * labelled_loss(seen.target_outputs, labels)

    def said(self) -> dict[str, Any]:
        """How many rows of the target the last clustering gave each class."""
        counts = torch.bincount(self.labels.clamp(min=0), minlength=len(self.classes))
        return {"labels": dict(zip(self.classes, counts.tolist(), strict=False))}
