"""LwF: learning without forgetting, the source's outputs distilled into the moving model (Li & Hoiem, ECCV 2016)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import linear

from headstart.functional.distillation import soft_divergence
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.source_head import source_head
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class LwF(Term):
    """``weight * T^2 KL(source's outputs || old head on the moving features)`` on the target's images.

    The teacher is the source as it started, backbone and head; the student is the moving backbone with the source's
    head, which is trained along as in the paper (theta_o) and dropped afterwards. No source image is needed. See
    :func:`headstart.functional.distillation.soft_divergence`.

    Args:
        weight: > 0, default 1 (the paper's lambda_o).
        temperature: T > 0, default 2 (the paper's).

    Raises:
        RecipeError: ``temperature`` out of range.
    """

    weight: float = 1.0
    temperature: float = 2.0

    name = "lwf"
    needs = frozenset({"trainable_backbone", "pretrained_backbone", "source_head"})

    def __post_init__(self) -> None:
        check_argument(self.name, "temperature", self.temperature, self.temperature > 0, "> 0")

    def bind(self, start: Start) -> Penalty:
        return _Remembered(self, start)

    def describe(self) -> str:
        return f"LwF (weight {self.weight:g}, temperature {self.temperature:g})"


class _Remembered(Penalty):
    def __init__(self, term: LwF, start: Start) -> None:
        super().__init__()
        self.term = term
        self.old = source_head(start)
        start.frozen  # noqa: B018  the copy is made before the first step
        assert start.source_head is not None
        self.teacher = tuple(part.to(start.device) for part in start.source_head)

    def forward(self, seen: Seen) -> torch.Tensor:
        teacher = linear(seen.source_features, *self.teacher)
        return self.term.weight * soft_divergence(self.old(seen.features), teacher, self.term.temperature)
