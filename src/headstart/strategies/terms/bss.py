"""BSS: batch spectral shrinkage (Chen, Wang, Fu, Long, Wang, NeurIPS 2019), against negative transfer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from headstart.errors import HandshakeError, sentence
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
        HandshakeError: from :meth:`bind`, where a batch has no more than ``k`` singular values.
    """

    weight: float = 0.001
    k: float = 1

    name = "bss"
    needs = frozenset({"trainable_backbone"})

    def __post_init__(self) -> None:
        good = self.k >= 1 and self.k == int(self.k)
        check_argument(self.name, "k", self.k, good, "a whole number from 1 on")

    def bind(self, start: Start) -> Penalty:
        head = start.model.head
        assert isinstance(head, nn.Linear)
        values = min(start.batch, head.in_features)
        if self.k >= values:
            raise HandshakeError(
                sentence(
                    "term 'bss' shrinks the k smallest singular values of a batch's features, and there are no more than k, "
                    "so it cannot act", got=f"k={self.k:g}", allowed=f"k below {values}, the smaller of batch and width",
                    fix="--strategy 'finetune+bss(k=1)', or a larger --batch-size",
                )
            )  # fmt: skip
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
