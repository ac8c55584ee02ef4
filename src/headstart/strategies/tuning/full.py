"""Full fine-tuning: every parameter moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.sources.source import Layer
from headstart.strategies.tuning.discriminative import Discriminative
from headstart.strategies.tuning.tuning import Stage


@dataclass(frozen=True)
class Full(Discriminative):
    """Every parameter of the backbone moves; arguments as for :class:`Discriminative`."""

    def stages(self, layers: Sequence[Layer]) -> list[Stage]:
        n = len(layers)
        return [Stage(layer, True, self.scale(i, n), bn=self.bn) for i, layer in enumerate(layers)]

    def describe(self) -> str:
        return f"whole backbone trained{self.words()}"
