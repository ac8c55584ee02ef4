"""Open-set domain adaptation by backpropagation (Saito, Yamamoto, Ushiku, Harada, ECCV 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.functional.open_set import boundary_loss
from headstart.strategies.terms.adversary import against_the_head, nothing
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start, Term


@dataclass(frozen=True)
class OSBP(Term):
    """``weight * L_adv``, :func:`headstart.functional.open_set.boundary_loss` of the target behind a reversed gradient.

    The paper's equations 4 and 5: the head descends ``L_s + weight L_adv`` and the backbone ``L_s - weight L_adv``, so that the
    head draws every target row to the probability t of *unknown* and the backbone has to send each to one side. It needs a task
    with that output (:class:`headstart.tasks.open_set.OpenSet`), in which ``headstart adapt`` and ``DeepAdapter`` put it.

    Args:
        weight: > 0, default 1 (the paper's).
        t: in (0, 1), default 0.5 (the paper's).

    Raises:
        RecipeError: t out of range.
    """

    weight: float = 1.0
    t: float = 0.5

    name = "osbp"
    needs = frozenset({"target_stream", "trainable_backbone", "class_probabilities", "unknown_output"})

    def __post_init__(self) -> None:
        check_argument(self.name, "t", self.t, 0 < self.t < 1, "0 < t < 1")

    def bind(self, start: Start) -> Penalty:
        return _Boundary(self)

    def describe(self) -> str:
        return f"open set by backpropagation (weight {self.weight:g}, t {self.t:g})"


class _Boundary(Penalty):
    def __init__(self, term: OSBP) -> None:
        super().__init__()
        self.term = term

    def forward(self, seen: Seen) -> torch.Tensor:
        outputs = against_the_head(seen)
        return nothing(seen) if outputs is None else self.term.weight * boundary_loss(outputs, self.term.t)
