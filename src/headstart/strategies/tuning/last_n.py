"""Fine-tuning of the last N layers (Yosinski et al., *How transferable are features in deep neural networks?*, 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.errors import HandshakeError, sentence
from headstart.sources.source import Layer
from headstart.strategies.tuning.tuning import Stage, Tuning


@dataclass(frozen=True)
class LastN(Tuning):
    """The last ``n`` layers with parameters move, those before them stay frozen in eval mode.

    Args:
        n: >= 1. Layers are the source's stages (``Source.layers``), as `headstart sources NAME` prints them.

    Raises:
        HandshakeError: from :meth:`stages`, when the backbone has fewer than ``n`` layers.
    """

    n: int = 1

    def stages(self, layers: Sequence[Layer]) -> list[Stage]:
        if not 1 <= self.n <= len(layers):
            raise HandshakeError(
                sentence(
                    "the number of last layers to train does not fit this backbone",
                    got=self.n,
                    allowed=f"1 to {len(layers)}",
                    fix=f"--strategy 'last({min(max(self.n, 1), len(layers))})'",
                )
            )
        first = len(layers) - self.n
        return [Stage(layer, trainable=i >= first, lr_scale=float(i >= first)) for i, layer in enumerate(layers)]

    def describe(self) -> str:
        return f"last {self.n} layer{'s' if self.n > 1 else ''} trained"
