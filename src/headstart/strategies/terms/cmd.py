"""CMD: the central moments of both domains' features brought together (Zellinger et al., ICLR 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.functional.central_moments import central_moment_discrepancy
from headstart.strategies.terms.two_domains import OnTwoDomains, Sides, whole


@dataclass(frozen=True)
class CMD(OnTwoDomains):
    """``weight * ramp(p) *`` the central moment discrepancy of the features, up to order ``moments``.

    Zellinger et al., *Central Moment Discrepancy (CMD) for Domain-Invariant Representation Learning*, ICLR 2017
    (:func:`headstart.functional.central_moments.central_moment_discrepancy`). The paper's features lie in a known interval; here
    its width is the widest range of a feature in the batch, so that the value does not hang on the features' scale.

    Args:
        weight: > 0, default 0.3 (the paper: 1, for features of a sigmoid).
        ramp: >= 0, default 10.
        moments: a whole number >= 1, default 5 (the paper's); 1 compares means alone.
    """

    weight: float = 0.3
    moments: float = 5

    name = "cmd"

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self, "moments")

    def between(self, sides: Sides) -> torch.Tensor:
        return central_moment_discrepancy(
            sides.source_features, sides.target_features, sides.source, sides.target, int(self.moments)
        )

    def describe(self) -> str:
        return f"CMD ({self.moments:g} moments, {self.words()})"
