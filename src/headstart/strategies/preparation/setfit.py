"""Contrastive tuning before the head, in the manner of SetFit (Tunstall et al., *Efficient Few-Shot Learning Without Prompts*, 2022)."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.strategies.preparation.preparation import Preparation


@dataclass(frozen=True)
class SetFit(Preparation):
    """Pairs of inputs of one label are drawn together and pairs of different labels apart; then the head is solved on the features.

    The loss is that of the paper, ``(cos(f_a, f_b) - y)^2`` with y = 1 for one label and 0 for two, both kinds counted alike. The paper
    draws pairs and encodes both sides of each; here every pair of a batch counts, the kinds are weighed to halves
    (:func:`headstart.functional.pair_contrast.pair_contrast`), and batches bring at least two inputs of a label: the same expectation from
    far fewer encodings, and no list of pairs anywhere. Any number of labels, any backbone.

    Args:
        epochs: passes over the training inputs, default 10. Fewer than ``STEPS`` steps are never made: few inputs take more passes.
        lr: default 1e-4.
        batch_size: default 32.
    """

    epochs: float = 10
    lr: float = 1e-4
    batch_size: float = 32

    name = "setfit"
    needs = frozenset({"class_labels"})
    reads_labels = True

    def describe(self) -> str:
        return f"source tuned first by contrast of pairs (SetFit, {self.epochs:g} passes at {self.lr:g})"


STEPS = 15
"""Steps at least. More of them (40) and larger rates (2e-4, 4e-4) were no better on draws of ten and sixteen labels a class."""
