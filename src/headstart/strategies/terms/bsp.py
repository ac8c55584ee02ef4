"""BSP: batch spectral penalisation (Chen, Wang, Long, Wang, ICML 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.functional.bsp import largest_singular_values
from headstart.strategies.terms.two_domains import OnTwoDomains, Sides, whole


@dataclass(frozen=True)
class BSP(OnTwoDomains):
    """``weight * sum_{i=1..k} sigma_{s,i}^2 + sigma_{t,i}^2`` of each domain's features, the largest singular values.

    Chen, Wang, Long, Wang, *Transferability vs. Discriminability: Batch Spectral Penalization for Adversarial Domain
    Adaptation*, ICML 2019 (:func:`headstart.functional.bsp.largest_singular_values`). It aligns nothing: it goes beside a term
    that does (the paper: DANN and CDAN), whose alignment leaves the class in a few directions alone.

    Args:
        weight: > 0, default 0.0001 (the paper's).
        ramp: >= 0, default 0 (the paper has none).
        k: a whole number >= 1, default 1 (the paper's).
    """

    weight: float = 0.0001
    ramp: float = 0.0
    k: float = 1

    name = "bsp"
    least = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self, "k")

    def between(self, sides: Sides) -> torch.Tensor:
        return largest_singular_values(
            sides.source_features, sides.target_features, sides.source, sides.target, int(self.k)
        )

    def describe(self) -> str:
        return f"BSP (k {self.k:g}, {self.words()})"
