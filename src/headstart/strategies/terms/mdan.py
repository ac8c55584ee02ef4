"""MDAN: a discriminator for each source, the worst source first (Zhao et al., NeurIPS 2018)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from headstart.functional.adaptation_ramp import adaptation_ramp
from headstart.functional.domain_classifier import domain_loss
from headstart.functional.domain_risks import row_factors
from headstart.functional.gradient_reversal import reverse_gradient
from headstart.functional.source_weights import best_case_shares, worst_case_shares
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.several_sources import SourceShares
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class MDAN(Term):
    """``sum_i w_i (R_i + weight * L_i)``: R_i the task's loss of source i, L_i that of its own discriminator against the target.

    The gradient of L_i is reversed into the backbone, growing as DANN's does; the discriminators themselves all learn alike. With ``sources="soft"`` w is the softmax of
    ``gamma (R_i - weight * L_i)``, with ``"hard"`` all of it goes to the largest: the paper's equations 6 and 5, a bound on the
    target's error by the worst source (a source that the discriminator tells apart easily, L_i small, is bad as well as one that
    is learned badly). That is the right thing where every source matters and the wrong one where one of them is misleading:
    it counts most. ``"near"`` is the other way round, DARN (Wen, Greiner, Schuurmans, ICML 2020): w has the least
    ``sum_i w_i (R_i - weight * L_i) + tau ||w||_2``, and a source that costs too much counts nothing.

    What it tells at the end: the mean w of the last epoch.

    Args:
        weight: mu > 0, default 1.
        sources: ``"soft"`` (default), ``"hard"`` or ``"near"``.
        gamma: > 0, default 10, of ``"soft"``. tau: > 0, default 0.5, of ``"near"``: larger is more even.
        hidden: units of each of the discriminators' two hidden layers, a whole number >= 1, default 256.
        ramp: >= 0, default 10 (:func:`headstart.functional.gradient_reversal.adversarial_schedule`), 0 for none.

    Raises:
        RecipeError: arguments out of range.
    """

    weight: float = 1.0
    sources: str = "soft"
    gamma: float = 10.0
    tau: float = 0.5
    hidden: float = 256
    ramp: float = 10.0

    name = "mdan"
    needs = frozenset({"target_stream", "several_sources", "trainable_backbone", "loss_per_image", "hard_labels"})

    def __post_init__(self) -> None:
        known = self.sources in ("soft", "hard", "near")
        check_argument(self.name, "sources", self.sources, known, "soft, hard, near")
        for key, value in (("gamma", self.gamma), ("tau", self.tau)):
            check_argument(self.name, key, value, value > 0, "> 0")
        good = self.hidden >= 1 and self.hidden == int(self.hidden)
        check_argument(self.name, "hidden", self.hidden, good, "a whole number from 1 on")

    def bind(self, start: Start) -> Penalty:
        return _Discriminators(self, start)

    def shares(self, costs: torch.Tensor) -> torch.Tensor:
        """w (S,) of the costs ``R_i - weight * L_i``."""
        if self.sources == "near":
            return best_case_shares(costs, self.tau)
        return worst_case_shares(costs, self.gamma if self.sources == "soft" else math.inf)

    def describe(self) -> str:
        first = "the nearest sources first" if self.sources == "near" else f"the worst source first, {self.sources}"
        return f"a discriminator for each source (MDAN, {first}, weight {self.weight:g})"


class _Discriminators(SourceShares):
    now: torch.Tensor

    def __init__(self, term: MDAN, start: Start) -> None:
        super().__init__(start)
        head = start.model.head
        assert isinstance(head, nn.Linear)
        self.term = term
        self.register_buffer("now", torch.full((start.sources,), 1 / start.sources), persistent=False)
        width, hidden = head.in_features, int(term.hidden)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(start.seed)
            self.discriminators = nn.ModuleList(
                nn.Sequential(
                    nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
                )
                for _ in range(start.sources)
            )

    def domain_losses(self, seen: Seen, coefficients: torch.Tensor) -> torch.Tensor:
        """L_i of each source, (S,), 0 without rows of it; the gradient to the features is ``-coefficients[i]`` times the plain one."""
        domain, target = seen.batch.domain, seen.target_features
        assert domain is not None and target is not None
        found = []
        for i, discriminator in enumerate(self.discriminators):
            mine = domain == i
            if not mine.any():
                found.append(target.new_zeros(()))
                continue
            both = torch.cat([seen.features[mine], target])
            logits = discriminator(reverse_gradient(both, float(coefficients[i]))).float()
            found.append(domain_loss(*logits.split([len(both) - len(target), len(target)])))
        return torch.stack(found)

    @torch.no_grad()
    def weigh(self, seen: Seen) -> torch.Tensor:
        assert seen.batch.domain is not None
        risks, there = self.risks(seen)
        costs = risks - self.term.weight * self.domain_losses(seen, torch.zeros(self.sources))
        self.now.zero_()
        self.now[there] = self.term.shares(costs[there])
        self.sums += self.now
        return row_factors(self.now, seen.batch.domain)

    def forward(self, seen: Seen) -> torch.Tensor:
        # every discriminator learns alike, so that all L_i can be compared; the features hear each by its share
        coefficients = adaptation_ramp(seen.progress, self.term.ramp) * self.sources * self.now
        return self.term.weight * self.domain_losses(seen, coefficients).mean()
