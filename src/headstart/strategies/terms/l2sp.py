"""L2-SP: stay near the source (Li, Grandvalet, Davoine, *Explicit Inductive Bias for Transfer Learning*, ICML 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.functional.l2sp import squared_distance
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class L2SP(Term):
    """``weight * ||theta_backbone - theta_source||^2 + head_weight * ||theta_head||^2``.

    The paper's equation is ``alpha/2 ||w_S - w_S^0||^2 + beta/2 ||w_not_S||^2``; here ``weight = alpha / 2`` and
    ``head_weight = beta / 2``. Only parameters that move are anchored: batch-norm statistics are not parameters.

    Args:
        weight: >= 0, default 0.05 (the paper's alpha = 0.1).
        head_weight: >= 0, default 0.005 (the paper's beta = 0.01).
    """

    weight: float = 0.05
    head_weight: float = 0.005

    name = "l2sp"
    needs = frozenset({"trainable_backbone", "pretrained_backbone", "plain_weights"})

    def bind(self, start: Start) -> Penalty:
        return _Distance(self, start)

    def describe(self) -> str:
        return f"L2-SP (weight {self.weight:g}, head {self.head_weight:g})"


class _Distance(Penalty):
    def __init__(self, term: L2SP, start: Start) -> None:
        super().__init__()
        self.term = term
        self.moving = [p for p in start.model.backbone.parameters() if p.requires_grad]
        self.anchors = [p.detach().clone() for p in self.moving]
        self.head = list(start.model.head.parameters())
        self.origin = [torch.zeros_like(p) for p in self.head]

    def forward(self, seen: Seen) -> torch.Tensor:
        value = self.term.weight * squared_distance(self.moving, self.anchors)
        if self.term.head_weight and self.head:  # a model that writes texts has no head of its own
            value = value + self.term.head_weight * squared_distance(self.head, self.origin)
        return value
