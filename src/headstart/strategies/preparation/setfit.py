"""Contrastive tuning before the head, in the manner of SetFit (Tunstall et al., *Efficient Few-Shot Learning Without Prompts*, 2022)."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
        epochs: passes over the training inputs; default 0: ten, but at least 15 and at most about 50 steps (``FEWEST``, ``MOST``).
        lr: default 1e-4.
        batch_size: default 32.
    """

    epochs: float = 0
    lr: float = 1e-4
    batch_size: float = 32

    name = "setfit"
    needs = frozenset({"shared_labels"})
    reads_labels = True

    def describe(self) -> str:
        passes = f"{self.epochs:g} passes at " if self.epochs else "rate "
        return f"source tuned first by contrast of pairs (SetFit, {passes}{self.lr:g})"

    def passes(self, steps: int) -> int:
        """Passes over the inputs, where one has ``steps`` steps."""
        return int(self.epochs) or max(math.ceil(FEWEST / steps), min(10, math.ceil(MOST / steps)))


FEWEST, MOST = 15, 50
"""Steps. Two classes of ten and sixteen labels were no better after 40 steps than after 15, 77 classes worse after 250 than after 50; larger
rates (2e-4, 4e-4) were no better either."""
