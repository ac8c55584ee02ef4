"""BSS: batch spectral shrinkage (Chen, Wang, Fu, Long, Wang, NeurIPS 2019), against negative transfer."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.functional.bss import smallest_singular_values
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class BSS(Term):
    """``weight * sum_{i=1..k} sigma_{-i}^2`` of the batch's features (B, width).

    The directions in which a batch's features hardly vary are those that transfer worst; shrinking them leaves the others
    alone. See :func:`headstart.functional.bss.smallest_singular_values`; a batch (or, where memory is short, a piece of
    one) of ``k`` images or fewer adds nothing.

    Args:
        weight: > 0, default 0.001 (the paper's eta).
        k: a whole number >= 1, default 1 (the paper's).

    Raises:
        RecipeError: ``k`` out of range.
    """

    weight: float = 0.001
    k: float = 1

    name = "bss"
    needs = frozenset({"trainable_backbone"})

    def __post_init__(self) -> None:
        good = self.k >= 1 and self.k == int(self.k)
        check_argument(self.name, "k", self.k, good, "a whole number from 1 on")

    def bind(self, start: Start) -> Penalty:
        return _Spectrum(self)

    def describe(self) -> str:
        return f"BSS (weight {self.weight:g}, k {self.k:g})"


class _Spectrum(Penalty):
    def __init__(self, term: BSS) -> None:
        super().__init__()
        self.term = term

    def forward(self, seen: Seen) -> torch.Tensor:
        with torch.autocast(seen.features.device.type, enabled=False):
            return self.term.weight * smallest_singular_values(seen.features, int(self.term.k))
