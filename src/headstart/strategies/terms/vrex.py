"""V-REx: equal losses in every source (Krueger et al., ICML 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from headstart.functional.domain_risks import domain_risks
from headstart.functional.vrex import risk_variance
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.irm import annealed
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class VREx(Term):
    """``weight * 1/E sum_e (R_e - mean R)^2`` over the losses of the sources e (:func:`headstart.functional.vrex.risk_variance`).

    Over the first ``anneal`` of the training the weight is 1 at most. It needs no target.

    What it tells at the end: the mean loss of each source over the last epoch.

    Args:
        weight: beta > 0, default 10.
        anneal: in [0, 1), default 0.1, a share of the training.

    Raises:
        RecipeError: anneal out of range.
    """

    weight: float = 10.0
    anneal: float = 0.1

    name = "vrex"
    needs = frozenset({"several_sources", "loss_per_image", "hard_labels", "trainable_backbone"})

    def __post_init__(self) -> None:
        check_argument(self.name, "anneal", self.anneal, 0 <= self.anneal < 1, "0 to below 1, a share of the epochs")

    def bind(self, start: Start) -> Penalty:
        return _Variance(self, start)

    def describe(self) -> str:
        return f"equal losses in every source (V-REx, weight {self.weight:g})"


class _Variance(Penalty):
    risks: torch.Tensor

    def __init__(self, term: VREx, start: Start) -> None:
        super().__init__()
        self.term, self.task, self.sources = term, start.task, start.sources
        self.register_buffer("risks", torch.zeros(2, start.sources))  # sums over the epoch, and batches

    def begin(self, model: torch.nn.Module, progress: float) -> None:
        self.risks.zero_()

    def said(self) -> dict[str, Any]:
        return {"losses": (self.risks[0] / self.risks[1].clamp_min(1)).tolist()}

    def forward(self, seen: Seen) -> torch.Tensor:
        batch = seen.batch
        assert batch.targets is not None and batch.domain is not None
        each = self.task.each(seen.outputs.float(), batch.targets)
        risks, there = domain_risks(each, batch.domain, self.sources, seen.weights)
        with torch.no_grad():
            self.risks += torch.stack([risks.detach() * there, there.float()])
        weight = annealed(self.term.weight, self.term.anneal, seen.progress)
        return weight * risk_variance(risks[there])
