"""Importance weighted adversarial nets, for a target with some of the source's classes (Zhang, Ding, Li, Ogunbona, CVPR 2018)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from headstart.functional.gradient_reversal import adversarial_schedule
from headstart.functional.partial import unlike_source
from headstart.strategies.terms.adversary import check_hidden, faces, linear_head, nothing, perceptron
from headstart.strategies.terms.pada import adversary
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class IWAN(Term):
    """Two discriminators of the domains: D learns what the source has alone, D_0 is the adversary on the rows that are left.

    The paper's equations 6 to 9: D is trained on features from which no gradient comes back; source rows count
    ``w = (1 - D) / mean(1 - D)`` (:func:`headstart.functional.partial.unlike_source`) in the loss of D_0, whose gradient is
    reversed into the backbone and grows with :func:`headstart.functional.gradient_reversal.adversarial_schedule`. The task's loss is not
    weighed. Both share one backbone here, where the paper holds a second one for the source; its entropy of the target is the term
    ``entropy``: ``iwan+entropy(0.1)``.

    What it tells at the end: the mean weight of the rows of each class over the last epoch.

    Args:
        weight: > 0, default 1.
        hidden: units of each of the two hidden layers of both, a whole number >= 1, default 256.

    Raises:
        RecipeError: hidden out of range.
    """

    weight: float = 1.0
    hidden: float = 256

    name = "iwan"
    needs = frozenset({"target_stream", "trainable_backbone", "class_labels", "hard_labels"})

    def __post_init__(self) -> None:
        check_hidden(self.name, self.hidden)

    def bind(self, start: Start) -> Penalty:
        return _Importance(self, start)

    def describe(self) -> str:
        return f"importance weighted adversarial nets (weight {self.weight:g})"


class _Importance(Penalty):
    sums: torch.Tensor

    def __init__(self, term: IWAN, start: Start) -> None:
        super().__init__()
        head = linear_head(start)
        self.term, self.classes = term, start.task.classes
        self.first = perceptron(head.in_features, term.hidden, 1, start.seed)
        self.second = perceptron(head.in_features, term.hidden, 1, start.seed + 1)
        self.register_buffer("sums", torch.zeros(2, head.out_features))

    def begin(self, model: torch.nn.Module, progress: float) -> None:
        self.sums.zero_()

    def said(self) -> dict[str, Any]:
        total, count = self.sums.cpu()
        means = (total / count.clamp_min(1)).tolist()
        return {"classes": {str(c): m for c, m, n in zip(self.classes, means, count, strict=False) if n}}

    def forward(self, seen: Seen) -> torch.Tensor:
        if not faces(seen):
            return nothing(seen)
        features, *_ = seen.source_side()
        away = unlike_source(self.first(features.detach().float())[:, 0])
        self._count(seen, away)
        assert seen.target_features is not None
        telling = adversary(
            self.first,
            replace(seen, features=seen.features.detach(), target_features=seen.target_features.detach()),
            1.0,
        )
        coefficient = adversarial_schedule(seen.progress)
        return self.term.weight * (telling + adversary(self.second, seen, coefficient, more=away))

    @torch.no_grad()
    def _count(self, seen: Seen, weights: torch.Tensor) -> None:
        labels, domain = seen.batch.targets, seen.batch.domain
        assert labels is not None
        labels = labels if domain is None else labels[domain < seen.start.sources]
        self.sums[0].index_add_(0, labels, weights)
        self.sums[1].index_add_(0, labels, torch.ones_like(weights))
