"""Minimax entropy, for a target of which a few rows have labels (Saito, Kim, Sclaroff, Darrell, Saenko, ICCV 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.functional.entropies import entropy
from headstart.strategies.terms.adversary import against_the_head, nothing
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class MME(Term):
    """``-weight * H`` of the target's unlabelled rows behind a reversed gradient; the value is negative.

    The paper's equation 3: the head descends ``L - weight H`` (its rows, which are prototypes of the classes, move towards the
    target), the backbone ``L + weight H`` (target rows gather around them). L is the loss of source and labelled target rows,
    which every batch holds as many of.

    It differs from the paper in the head, which is the task's linear one, not one of cosines at temperature 0.05: a model has to
    stay the plain network that it is saved as.

    Args:
        weight: lambda > 0, default 0.1 (the paper's).
    """

    weight: float = 0.1

    name = "mme"
    needs = frozenset({"target_stream", "labelled_target", "trainable_backbone", "class_probabilities"})

    def bind(self, start: Start) -> Penalty:
        return _Minimax(self)

    def describe(self) -> str:
        return f"minimax entropy (weight {self.weight:g})"


class _Minimax(Penalty):
    def __init__(self, term: MME) -> None:
        super().__init__()
        self.term = term

    def forward(self, seen: Seen) -> torch.Tensor:
        outputs = against_the_head(seen)
        return nothing(seen) if outputs is None else -self.term.weight * entropy(outputs).mean()
