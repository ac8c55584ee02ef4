"""What the terms on several sources and a target share: the rows of each, and the weights of sources that they tell."""

from __future__ import annotations

from typing import Any

import torch

from headstart.functional.domain_risks import domain_risks
from headstart.strategies.terms.term import Penalty, Seen, Start
from headstart.tasks.task import Model


class SourceShares(Penalty):
    """A penalty that gives each source a share, kept as the mean over the epoch for the report."""

    sums: torch.Tensor

    def __init__(self, start: Start) -> None:
        super().__init__()
        self.task, self.sources = start.task, start.sources
        self.register_buffer("sums", torch.zeros(start.sources))

    def begin(self, model: Model, progress: float) -> None:
        self.sums.zero_()

    def said(self) -> dict[str, Any]:
        return {"sources": (self.sums / self.sums.sum().clamp_min(1e-12)).tolist()}

    def risks(self, seen: Seen) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean loss of each source, (S,), without gradient, and whether it is in the batch."""
        batch = seen.batch
        assert batch.targets is not None and batch.domain is not None
        with torch.no_grad():
            each = self.task.each(seen.outputs.float(), batch.targets)
            return domain_risks(each, batch.domain, self.sources, seen.weights)
