"""Class-aware contrastive alignment (Kang, Jiang, Yang, Hauptmann, CVPR 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.functional.class_alignment import contrastive_discrepancy
from headstart.functional.confident import confident_labels
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.two_domains import OnTwoDomains, Sides, whole


@dataclass(frozen=True)
class Alignment(OnTwoDomains):
    """``weight * ramp(p) *`` (MMD^2 of equal classes across domains - ``between`` times that of different ones).

    Kang, Jiang, Yang, Hauptmann, *Contrastive Adaptation Network for Unsupervised Domain Adaptation*, CVPR 2019
    (:func:`headstart.functional.class_alignment.contrastive_discrepancy`). The class of a target row is the model's answer where
    it is at least ``threshold`` sure, its label where it has one; the paper takes clusters of the whole target instead,
    and draws batches class by class. Here a class that a batch has on one side only waits for another batch.

    Args:
        weight: > 0, default 1.
        ramp: >= 0, default 10.
        threshold: in [0, 1), default 0.5.
        apart: >= 0, what keeping different classes apart counts, default 1 (the paper's).
        widths: kernels, a whole number >= 1, default 5.
    """

    threshold: float = 0.5
    apart: float = 1.0
    widths: float = 5

    name = "alignment"
    needs = OnTwoDomains.needs | {"class_probabilities", "class_labels", "hard_labels"}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_argument(self.name, "threshold", self.threshold, 0 <= self.threshold < 1, "0 <= threshold < 1")
        check_argument(self.name, "apart", self.apart, self.apart >= 0, "0 or more")
        whole(self, "widths")

    def between(self, sides: Sides) -> torch.Tensor:
        said, sure = confident_labels(sides.target_outputs, self.threshold)
        labels = torch.where(sides.target_labels >= 0, sides.target_labels, torch.where(sure, said, -1))
        return contrastive_discrepancy(
            sides.source_features, sides.target_features, sides.source_labels, labels, sides.source, sides.target,
            sides.target_outputs.shape[1], between=self.apart, widths=int(self.widths),
        )  # fmt: skip

    def describe(self) -> str:
        return f"class alignment (threshold {self.threshold:g}, {self.words()})"
