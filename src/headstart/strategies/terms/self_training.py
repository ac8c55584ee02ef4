"""Class-balanced self-training (Zou et al., ECCV 2018): the target is labelled anew before each epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from headstart.functional.class_balanced import class_balanced_labels, class_thresholds, labelled_loss
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.target_pass import target_pass
from headstart.strategies.terms.term import Penalty, Seen, Start, Term
from headstart.tasks.task import Model


@dataclass(frozen=True)
class SelfTraining(Term):
    """The confident part of each class of the target, by the model's own labels, learned beside the source.

    Before each epoch all of the target is predicted; of the rows predicted as class k the most confident share gives the
    threshold of k, and a row is labelled ``argmax_k p_k / threshold_k`` where this is 1 or more. Through the epoch
    ``weight / U * sum_u 1[labelled] H(label_u, p_u)`` is added. The share grows in a line from ``first`` at the end of the
    warm-up to ``last`` at the end of the training (the paper: from 0.2 by 0.05 a round).

    Args:
        weight: > 0, default 1.
        first, last: shares in (0, 1], ``first <= last``. Defaults 0.2 and 0.8 (the paper stops at 0.5, with rounds of few epochs).
        warmup: in [0, 1), share of the epochs on the source alone, default 0.2.
    """

    weight: float = 1.0
    first: float = 0.2
    last: float = 0.8
    warmup: float = 0.2

    name = "selftrain"
    needs = frozenset({"class_probabilities", "target_stream"})

    def __post_init__(self) -> None:
        check_argument(self.name, "first", self.first, 0 < self.first <= 1, "0 < first <= 1")
        check_argument(self.name, "last", self.last, self.first <= self.last <= 1, f"first ({self.first:g}) to 1")
        check_argument(self.name, "warmup", self.warmup, 0 <= self.warmup < 1, "0 <= warmup < 1, a share of the epochs")

    @property
    def waits(self) -> float:
        return self.warmup

    def portion(self, progress: float) -> float:
        """The share of each class that is labelled at the share ``progress`` of the epochs; 0 in the warm-up."""
        if progress < self.warmup:
            return 0.0
        return self.first + (self.last - self.first) * (progress - self.warmup) / (1 - self.warmup)

    def bind(self, start: Start) -> Penalty:
        return _SelfTraining(self, start)

    def describe(self) -> str:
        return f"class-balanced self-training (weight {self.weight:g}, {self.first:g} to {self.last:g} of each class)"


class _SelfTraining(Penalty):
    labels: torch.Tensor

    def __init__(self, term: SelfTraining, start: Start) -> None:
        super().__init__()
        assert start.target_batches is not None
        self.term, self.batches, self.device, self.classes = (
            term,
            start.target_batches,
            start.device,
            start.task.classes,
        )
        self.register_buffer("labels", torch.full((start.target_total,), -1))
        self.register_buffer("thresholds", torch.full((start.task.rows,), torch.inf))

    def begin(self, model: Model, progress: float) -> None:
        portion = self.term.portion(progress)
        if portion:
            p = torch.softmax(target_pass(model, self.batches, self.device)[1], dim=1)
            self.thresholds = class_thresholds(p, portion)
            self.labels = class_balanced_labels(p, self.thresholds)

    def forward(self, seen: Seen) -> torch.Tensor:
        assert seen.target_outputs is not None and seen.batch.target_index is not None
        return self.term.weight * labelled_loss(seen.target_outputs, self.labels[seen.batch.target_index])

    def said(self) -> dict[str, Any]:
        """Of the last labelling: the threshold of each class (``None``: it labelled nothing) and the share of the target with a label."""
        shown = {
            name: round(value, 4) if value <= 1 else None
            for name, value in zip(self.classes, self.thresholds.tolist(), strict=False)
        }
        return {"thresholds": shown, "labelled": float((self.labels >= 0).float().mean())}
