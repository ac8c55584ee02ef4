"""Feature extraction: the backbone stays as the source left it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.sources.source import Layer
from headstart.strategies.tuning.tuning import Stage, Tuning


@dataclass(frozen=True)
class Frozen(Tuning):
    """No parameter of the backbone moves; batch norms keep the source's statistics."""

    def stages(self, layers: Sequence[Layer]) -> list[Stage]:
        return [Stage(layer, trainable=False, lr_scale=0.0) for layer in layers]

    def describe(self) -> str:
        return "frozen backbone"
