"""Distillation of the source's features: what the moving backbone says stays near what it said (Romero et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.functional.distillation import cosine_distance, squared_difference
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Penalty, Seen, Start, Term

DISTANCES = {"cosine": cosine_distance, "squared": squared_difference}


@dataclass(frozen=True)
class Distill(Term):
    """``weight *`` the distance of the batch's features to those of the frozen source on the same images.

    Args:
        weight: > 0, default 1.
        distance: ``"cosine"`` (default, the direction only: the same for any scale of features) or ``"squared"`` (the mean squared
            difference); see :mod:`headstart.functional.distillation`.

    Raises:
        RecipeError: an unknown distance.
    """

    weight: float = 1.0
    distance: str = "cosine"

    name = "distill"
    needs = frozenset({"trainable_backbone", "pretrained_backbone"})

    def __post_init__(self) -> None:
        check_argument(self.name, "distance", self.distance, self.distance in DISTANCES, ", ".join(DISTANCES))

    def bind(self, start: Start) -> Penalty:
        return _ToSource(self, start)

    def describe(self) -> str:
        return f"distilled features ({self.distance}, weight {self.weight:g})"


class _ToSource(Penalty):
    def __init__(self, term: Distill, start: Start) -> None:
        super().__init__()
        self.term = term
        start.frozen  # noqa: B018  the copy is made before the first step

    def forward(self, seen: Seen) -> torch.Tensor:
        return self.term.weight * DISTANCES[self.term.distance](seen.features, seen.source_features)
