"""L2-SP: stay near the source (Li, Grandvalet, Davoine, *Explicit Inductive Bias for Transfer Learning*, ICML 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.functional.l2sp import squared_distance
from headstart.strategies.terms.term import Penalty, Term
from headstart.tasks.task import Model


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
    needs = frozenset({"trainable_backbone", "pretrained_backbone"})

    def bind(self, model: Model) -> Penalty:
        moving = [p for p in model.backbone.parameters() if p.requires_grad]
        anchors = [p.detach().clone() for p in moving]
        head = list(model.head.parameters())
        origin = [torch.zeros_like(p) for p in head]

        def penalty() -> torch.Tensor:
            value = self.weight * squared_distance(moving, anchors)
            if self.head_weight:
                value = value + self.head_weight * squared_distance(head, origin)
            return value

        return penalty

    def describe(self) -> str:
        return f"L2-SP (weight {self.weight:g}, head {self.head_weight:g})"
