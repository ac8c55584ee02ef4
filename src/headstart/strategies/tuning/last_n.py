"""Fine-tuning of the last N layers (Yosinski et al., *How transferable are features in deep neural networks?*, 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.errors import HandshakeError, RecipeError, sentence
from headstart.sources.source import Layer
from headstart.strategies.tuning.discriminative import Discriminative
from headstart.strategies.tuning.tuning import Stage


@dataclass(frozen=True)
class LastN(Discriminative):
    """The last ``n`` layers with parameters move, those before them stay frozen in eval mode.

    Args:
        n: a whole number >= 1. Layers are the source's stages (``Source.layers``), as `headstart sources NAME` prints them.
        layer_decay, bn: see :class:`Discriminative`.

    Raises:
        RecipeError: ``n`` is not a whole number.
        HandshakeError: from :meth:`stages`, when the backbone has fewer than ``n`` layers.
    """

    n: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n != int(self.n):
            raise RecipeError(sentence("argument 'n' of strategy 'last' must be a whole number", got=self.n))

    def stages(self, layers: Sequence[Layer]) -> list[Stage]:
        count = len(layers)
        if not 1 <= self.n <= count:
            raise HandshakeError(
                sentence(
                    "the number of last layers to train does not fit this backbone",
                    got=self.n,
                    allowed=f"1 to {count}",
                    fix=f"--strategy 'last({min(max(self.n, 1), count)})'",
                )
            )
        first = count - self.n
        return [
            Stage(layer, True, self.scale(i, count), bn=self.bn) if i >= first else Stage(layer, False, 0.0)
            for i, layer in enumerate(layers)
        ]

    def describe(self) -> str:
        return f"last {self.n} layer{'s' if self.n > 1 else ''} trained{self.words()}"
