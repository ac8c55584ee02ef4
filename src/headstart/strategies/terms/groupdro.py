"""GroupDRO: the sources weighed so that the one with the largest loss counts most (Sagawa et al., ICLR 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from headstart.functional.domain_risks import domain_risks, row_factors
from headstart.functional.group_dro import exponentiated_shares
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class GroupDRO(Term):
    """The task's loss is ``sum_g q_g R_g`` over the sources g; each update ``q_g`` grows by ``exp(eta R_g)``.

    In the limit that descends the loss of the worst source
    (:func:`headstart.functional.group_dro.exponentiated_shares`; algorithm 1 of the paper). It needs no target. The shares act as
    weights of the labelled rows, so that other terms see them too; nothing is added to the loss. The paper finds
    that it helps only with regularisation: a network that fits every training row has no worst source.

    What it tells at the end: the shares, and the mean loss over the last epoch, by source.

    Args:
        eta: > 0, default 0.01.

    Raises:
        RecipeError: eta out of range.
    """

    weight: float = 1.0
    eta: float = 0.01

    name = "groupdro"
    needs = frozenset({"several_sources", "loss_per_image", "hard_labels"})

    def __post_init__(self) -> None:
        check_argument(self.name, "eta", self.eta, self.eta > 0, "> 0")

    def bind(self, start: Start) -> Penalty:
        return _Shares(self, start)

    def describe(self) -> str:
        return f"the worst source counts most (GroupDRO, eta {self.eta:g})"


class _Shares(Penalty):
    adds = False
    shares: torch.Tensor
    risks: torch.Tensor

    def __init__(self, term: GroupDRO, start: Start) -> None:
        super().__init__()
        self.term, self.task, self.sources = term, start.task, start.sources
        self.register_buffer("shares", torch.full((start.sources,), 1 / start.sources))
        self.register_buffer("risks", torch.zeros(2, start.sources))  # sums over the epoch, and batches

    def begin(self, model: torch.nn.Module, progress: float) -> None:
        self.risks.zero_()

    @torch.no_grad()
    def weigh(self, seen: Seen) -> torch.Tensor:
        batch = seen.batch
        assert batch.targets is not None and batch.domain is not None
        each = self.task.each(seen.outputs.detach().float(), batch.targets)
        risks, there = domain_risks(each, batch.domain, self.sources, seen.weights)
        self.shares.copy_(exponentiated_shares(self.shares, risks, self.term.eta))
        self.risks += torch.stack([risks, there.float()])
        return row_factors(self.shares, batch.domain)

    def said(self) -> dict[str, Any]:
        return {"sources": self.shares.tolist(), "losses": (self.risks[0] / self.risks[1].clamp_min(1)).tolist()}

    def forward(self, seen: Seen) -> torch.Tensor:
        return seen.outputs.new_zeros(())
