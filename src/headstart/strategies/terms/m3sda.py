"""M3SDA: the moments of every source and of the target brought together (Peng et al., ICCV 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from headstart.functional.adaptation_ramp import adaptation_ramp
from headstart.functional.domain_risks import row_factors
from headstart.functional.moment_matching import moment_distances, moments
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.several_sources import SourceShares
from headstart.strategies.terms.term import Penalty, Seen, Start, Term
from headstart.tasks.task import Model


@dataclass(frozen=True)
class M3SDA(Term):
    """``weight * ramp(p) * (sum_i w_i d(source i, target) + mean over pairs d(source i, source j))``,
    d the distances of the first ``moments`` moments (:func:`headstart.functional.moment_matching.moment_distances`).

    The paper has w even in training, and lets the sources' own classifiers vote with weights by their accuracy on the target, which
    is not known here. With one classifier, ``sources="near"`` weighs instead what is learned of each source: w_i is
    proportional to ``1 / d_i^2``, d_i its distance before the first update, in units that do not hang on the training;
    both the task's loss and the distance count by it, and pairs by the product of their two. ``"even"`` is the paper's.

    What it tells at the end: w, and the mean distances of the last epoch, by source.

    Args:
        weight: > 0, default 0.1.
        moments: a whole number >= 1, default 2 (the paper's).
        sources: ``"even"`` (default) or ``"near"``.
        ramp: >= 0, default 10 (:func:`headstart.functional.gradient_reversal.adversarial_schedule`), 0 for none.

    Raises:
        RecipeError: arguments out of range.
    """

    weight: float = 0.1
    moments: float = 2
    sources: str = "even"
    ramp: float = 10.0

    name = "m3sda"
    needs = frozenset({"target_stream", "several_sources", "trainable_backbone"})

    def __post_init__(self) -> None:
        check_argument(self.name, "sources", self.sources, self.sources in ("even", "near"), "even, near")
        good = self.moments >= 1 and self.moments == int(self.moments)
        check_argument(self.name, "moments", self.moments, good, "a whole number from 1 on")

    def bind(self, start: Start) -> Penalty:
        return _Moments(self, start)

    def describe(self) -> str:
        return (
            f"moments of all sources and the target together (M3SDA, {self.moments:g} moments, weight {self.weight:g})"
        )


class _Moments(SourceShares):
    shares: torch.Tensor
    distances: torch.Tensor

    def __init__(self, term: M3SDA, start: Start) -> None:
        super().__init__(start)
        self.term = term
        even = torch.full((start.sources,), 1 / start.sources)
        self.register_buffer("shares", nearness(start, int(term.moments)) if term.sources == "near" else even)
        self.register_buffer("distances", torch.zeros(2, start.sources))  # sums over the epoch, and batches

    def begin(self, model: Model, progress: float) -> None:
        self.distances.zero_()

    def said(self) -> dict[str, Any]:
        found = self.distances[0] / self.distances[1].clamp_min(1)
        return {"sources": self.shares.tolist(), "distances": found.tolist()}

    def weigh(self, seen: Seen) -> torch.Tensor | None:
        assert seen.batch.domain is not None
        return row_factors(self.shares, seen.batch.domain) if self.term.sources == "near" else None

    def forward(self, seen: Seen) -> torch.Tensor:
        domain, target = seen.batch.domain, seen.target_features
        assert domain is not None and target is not None
        there = [i for i in range(self.sources) if (domain == i).any()]
        k = int(self.term.moments)
        given = seen.batch.weights
        found = [
            moments(seen.features[domain == i].float(), k, None if given is None else given[domain == i]) for i in there
        ]
        to_target, pairs = moment_distances(found, moments(target.float(), k), self.shares[there])
        with torch.no_grad():
            for i, d in zip(there, to_target, strict=True):
                self.distances[:, i] += torch.stack([d, torch.ones_like(d)])
        w = self.shares[there] / self.shares[there].sum()
        return self.term.weight * adaptation_ramp(seen.progress, self.term.ramp) * (w @ to_target + pairs)


@torch.no_grad()
def nearness(start: Start, count: int) -> torch.Tensor:
    """(S,) of sum 1, proportional to ``1 / d_i^2``: d_i from source i to the target in the features before the first update,
    each divided by its deviation over all rows."""
    assert start.target_batches is not None
    model, training = start.model, start.model.training
    model.eval()
    rows: list[torch.Tensor] = []
    of: list[torch.Tensor] = []
    for source, batches in ((True, start.batches()), (False, start.target_batches())):
        for batch in batches:
            rows.append(model.backbone(batch.inputs.to(start.device)).float())
            of.append(batch.domain if source and batch.domain is not None else torch.full((len(batch),), -1))
    model.train(training)
    x, domain = torch.cat(rows), torch.cat(of).to(start.device)
    x = (x - x.mean(0)) / x.std(0).clamp_min(1e-6)
    found = [moments(x[domain == i], count) for i in range(start.sources)]
    near = 1 / moment_distances(found, moments(x[domain == -1], count))[0].square()
    return near / near.sum()
