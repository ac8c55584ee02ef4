"""Gradual unfreezing (Howard and Ruder, *Universal Language Model Fine-tuning for Text Classification*, ACL 2018, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.errors import RecipeError, sentence
from headstart.sources.source import Layer
from headstart.strategies.tuning.discriminative import Discriminative
from headstart.strategies.tuning.tuning import Stage


@dataclass(frozen=True)
class Gradual(Discriminative):
    """The head begins alone; then one layer after the other moves too, from the output to the input.

    With L layers the k-th from the output (k = 1 the last) opens after the share ``until * k / L`` of the epochs, so that all
    are open from ``until`` on. The paper opens one layer an epoch: that is ``epochs = L / until``. A layer that is not open
    yet is frozen: bit-equal and in eval mode. One schedule of the learning rate runs through all of it, and early stopping
    counts from the last opening.

    Args:
        until: in (0, 1), default 0.5.
        layer_decay, bn: see :class:`Discriminative`; the paper's discriminative rates are ``layer_decay = 1 / 2.6``.

    Raises:
        RecipeError: values outside these.
    """

    until: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.until < 1:
            raise RecipeError(
                sentence(
                    "argument 'until' of strategy 'gradual' is out of range", got=self.until, allowed="above 0, below 1"
                )
            )

    def stages(self, layers: Sequence[Layer]) -> list[Stage]:
        n = len(layers)
        return self.checked([
            Stage(layer, True, self.scale(i, n), opens=self.until * (n - i) / n, bn=self.bn) for i, layer in enumerate(layers)
        ])  # fmt: skip

    def describe(self) -> str:
        return f"layers unfrozen one after the other, all of them after {self.until:.0%} of the epochs{self.words()}"
