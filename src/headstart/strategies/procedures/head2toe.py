"""The head is solved on selected features of every layer."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.errors import RecipeError, sentence
from headstart.strategies.procedures.procedure import Procedure


@dataclass(frozen=True)
class Head2Toe(Procedure):
    """Head2Toe (Evci et al. 2022): features of all layers, ranked by a group lasso, and a head on the best of them.

    See :func:`headstart.training.head2toe.fit_head2toe`.

    Attributes:
        fraction: share of all features that is kept, in (0, 1]; 0 chooses it by cross-validation.
        grid: spatial maps are averaged to ``grid`` x ``grid`` means a channel, 1 or more.

    Raises:
        RecipeError: values outside these ranges.
    """

    fraction: float = 0.0
    grid: int = 1

    name = "head2toe"
    needs = frozenset({"frozen_backbone", "class_labels"})
    by_steps = False
    reads = "all"
    words = "head solved on selected features of every layer"

    def __post_init__(self) -> None:
        for key, value, good, allowed in (
            ("fraction", self.fraction, 0 <= self.fraction <= 1, "0 (chosen by cross-validation) to 1"),
            ("grid", self.grid, self.grid >= 1 and self.grid == int(self.grid), "a whole number from 1 on"),
        ):
            if not good:
                raise RecipeError(
                    sentence(f"argument {key!r} of strategy 'head2toe' is out of range", got=value, allowed=allowed)
                )
