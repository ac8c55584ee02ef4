"""Importance weighted adversarial nets, for a target with some of the source's classes (Zhang, Ding, Li, Ogunbona, CVPR 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from headstart.functional.gradient_reversal import ramp_up
from headstart.functional.partial import unlike_source
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.discriminator import discriminator
from headstart.strategies.terms.pada import domain_loss, ours
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class IWAN(Term):
    """Two discriminators of the domains: D learns what the source has alone, D_0 is the adversary on the rows that are left.

    The paper's equations 6 to 9: D is trained on features from which no gradient comes back; source rows count
    ``w = (1 - D) / mean(1 - D)`` (:func:`headstart.functional.partial.unlike_source`) in the loss of D_0, whose gradient is
    reversed into the backbone and grows with :func:`headstart.functional.gradient_reversal.ramp_up`. The task's loss is not
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
        good = self.hidden >= 1 and self.hidden == int(self.hidden)
        check_argument(self.name, "hidden", self.hidden, good, "a whole number from 1 on")

    def bind(self, start: Start) -> Penalty:
        return _Importance(self, start)

    def describe(self) -> str:
        return f"importance weighted adversarial nets (weight {self.weight:g})"


class _Importance(Penalty):
    sums: torch.Tensor

    def __init__(self, term: IWAN, start: Start) -> None:
        super().__init__()
        head = start.model.head
        assert isinstance(head, torch.nn.Linear)
        self.term, self.classes = term, start.task.classes
        self.first = discriminator(head.in_features, int(term.hidden), start.seed)
        self.second = discriminator(head.in_features, int(term.hidden), start.seed + 1)
        self.register_buffer("sums", torch.zeros(2, head.out_features))

    def begin(self, model: torch.nn.Module, progress: float) -> None:
        self.sums.zero_()

    def said(self) -> dict[str, Any]:
        total, count = self.sums.cpu()
        means = (total / count.clamp_min(1)).tolist()
        return {"classes": {str(c): m for c, m, n in zip(self.classes, means, count, strict=False) if n}}

    def forward(self, seen: Seen) -> torch.Tensor:
        assert seen.target_features is not None and seen.batch.targets is not None
        mine = ours(seen)
        source, target, labels = seen.features[mine], seen.target_features, seen.batch.targets[mine]
        given = None if seen.weights is None else seen.weights[mine]
        telling = domain_loss(self.first, source.detach(), target.detach(), given, 1.0)
        with torch.no_grad():
            weights = unlike_source(self.first(source)[:, 0])
            self.sums[0].index_add_(0, labels, weights)
            self.sums[1].index_add_(0, labels, torch.ones_like(weights))
        both = weights if given is None else weights * given
        return self.term.weight * (telling + domain_loss(self.second, source, target, both, ramp_up(seen.progress)))
