"""Deep CORAL: the covariances of both domains' features brought together (Sun & Saenko 2016)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.functional.deep_coral import coral_loss
from headstart.strategies.terms.two_domains import OnTwoDomains, Sides


@dataclass(frozen=True)
class DeepCORAL(OnTwoDomains):
    """``weight * ramp(p) * ||C_s - C_t||_F^2 / (4 d^2)``.

    Sun, Saenko, *Deep CORAL: Correlation Alignment for Deep Domain Adaptation*, ECCV workshops 2016
    (:func:`headstart.functional.deep_coral.coral_loss`). Means are left alone. The value goes with the fourth power of the
    features' scale; the paper chooses the weight so that it is about the task's loss at the end.

    Args:
        weight: > 0, default 30.
        ramp: >= 0, default 10.
    """

    weight: float = 30.0

    name = "deepcoral"

    def between(self, sides: Sides) -> torch.Tensor:
        return coral_loss(sides.source_features, sides.target_features, sides.source, sides.target)

    def describe(self) -> str:
        return f"Deep CORAL ({self.words()})"
