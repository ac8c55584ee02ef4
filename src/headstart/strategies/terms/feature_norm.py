"""AFN: adaptive feature norm (Xu, Li, Yang, Lin, ICCV 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.functional.feature_norm import hard_feature_norm, stepwise_feature_norm
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.two_domains import OnTwoDomains, Sides


@dataclass(frozen=True)
class AFN(OnTwoDomains):
    """The features of both domains made longer: ``step`` by step (SAFN), or to one mean length ``radius`` (HAFN).

    Xu, Li, Yang, Lin, *Larger Norm More Transferable*, ICCV 2019 (:mod:`headstart.functional.feature_norm`). The value of the
    stepwise form is ``2 weight step^2`` all along; its gradient is what acts.

    Args:
        weight: > 0, default 0.05 (the paper's).
        ramp: >= 0, default 0 (the paper has none).
        step: >= 0, default 1 (the paper's); 0 for the hard form.
        radius: >= 0, default 0, which is the stepwise form; the paper's 25 is for features of 1,000 numbers.

    Raises:
        RecipeError: ``step`` and ``radius`` both given, or neither.
    """

    weight: float = 0.05
    ramp: float = 0.0
    step: float = 1.0
    radius: float = 0.0

    name = "afn"
    least = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_argument(self.name, "step", self.step, self.step >= 0, "0 (hard form) or more")
        good = (self.step > 0) != (self.radius > 0) and self.radius >= 0
        allowed = "step above 0 with radius=0 (stepwise), or step=0 with radius above 0 (hard)"
        check_argument(self.name, "radius", f"step={self.step:g}, radius={self.radius:g}", good, allowed)

    def between(self, sides: Sides) -> torch.Tensor:
        of = sides.source_features, sides.target_features, sides.source, sides.target
        return stepwise_feature_norm(*of, self.step) if self.step else hard_feature_norm(*of, self.radius)

    def describe(self) -> str:
        form = f"step {self.step:g}" if self.step else f"radius {self.radius:g}"
        return f"AFN ({form}, {self.words()})"
