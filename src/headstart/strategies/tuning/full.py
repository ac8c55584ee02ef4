"""Full fine-tuning: every parameter moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.sources.source import Layer
from headstart.strategies.tuning.tuning import Stage, Tuning


@dataclass(frozen=True)
class Full(Tuning):
    """Every parameter of the backbone moves at the same learning rate."""

    def stages(self, layers: Sequence[Layer]) -> list[Stage]:
        return [Stage(layer, trainable=True) for layer in layers]

    def describe(self) -> str:
        return "whole backbone trained"
