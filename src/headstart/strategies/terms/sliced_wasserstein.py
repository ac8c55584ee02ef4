"""SWD: sliced Wasserstein distance of the features (Rabin et al. 2011; Lee et al., CVPR 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.functional.sliced_wasserstein import random_directions, sliced_wasserstein
from headstart.strategies.terms.two_domains import OnTwoDomains, Sides, whole


@dataclass(frozen=True)
class SlicedWasserstein(OnTwoDomains):
    """``weight * ramp(p) *`` the mean over random directions of the squared 2-Wasserstein distance along each.

    :func:`headstart.functional.sliced_wasserstein.sliced_wasserstein`, on features; Lee et al. 2019 put it between two
    classifiers in the manner of MCD. Directions are drawn anew for each batch. The value goes with the square of the
    features' scale.

    Args:
        weight: > 0, default 3.
        ramp: >= 0, default 10.
        directions: a whole number >= 1, default 128 (Lee et al.).
    """

    weight: float = 3.0
    directions: float = 128

    name = "swd"

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self, "directions")

    def between(self, sides: Sides) -> torch.Tensor:
        Xs, Xt = sides.source_features, sides.target_features
        lines = random_directions(Xs.shape[1], int(self.directions), Xs)
        return sliced_wasserstein(Xs, Xt, lines, sides.source, sides.target)

    def describe(self) -> str:
        return f"sliced Wasserstein ({self.directions:g} directions, {self.words()})"
