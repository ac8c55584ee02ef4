"""Contrastive tuning before the head, in the manner of SetFit (Tunstall et al., *Efficient Few-Shot Learning Without Prompts*, 2022)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from headstart.errors import RecipeError, sentence
from headstart.strategies.preparation.preparation import Preparation


@dataclass(frozen=True)
class SetFit(Preparation):
    """Pairs of inputs of one label are drawn together and pairs of different labels apart; then the head is solved on the features.

    The loss is that of the paper, ``(cos(f_a, f_b) - y)^2`` with y = 1 for one label and 0 for two, both kinds counted alike. The paper
    draws pairs and encodes both sides of each; here every pair of a batch counts, the kinds are weighed to halves
    (:func:`headstart.functional.pair_contrast.pair_contrast`), and batches bring at least two inputs of a label: the same expectation from
    far fewer encodings, and no list of pairs anywhere. Any number of labels, any backbone. With several labels an input y is 1 where the two
    share one, as in the authors' code.

    Args:
        epochs: passes over the training inputs at most, default 10.
        steps: at most about so many, default 50. At least ``FEWEST`` are made: few inputs take more passes.
        lr: default 1e-4.
        batch_size: default 32.
    """

    epochs: float = 10
    steps: float = 50
    lr: float = 1e-4
    batch_size: float = 32

    name = "setfit"
    needs = frozenset({"shared_labels"})
    reads_labels = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1 or self.steps != int(self.steps):
            what = f"argument 'steps' of phase {self.name!r} is out of range"
            raise RecipeError(sentence(what, got=self.steps, allowed="a whole number from 1 on"))

    def describe(self) -> str:
        return f"source tuned first by contrast of pairs (SetFit, about {self.steps:g} steps at {self.lr:g})"

    def passes(self, one: int) -> int:
        """Passes over the inputs, where a pass has ``one`` steps."""
        return max(math.ceil(FEWEST / one), min(int(self.epochs), math.ceil(self.steps / one)))


FEWEST = 15
"""Steps. Two classes of ten and sixteen labels were no better after 40 steps than after 15, 77 classes worse after 250 than after 50; larger
rates (2e-4, 4e-4) were no better either."""
