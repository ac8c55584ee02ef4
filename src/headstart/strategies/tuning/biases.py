"""BitFit (Ben Zaken, Goldberg, Ravfogel, ACL 2022): only the biases move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from headstart.errors import RecipeError, sentence
from headstart.sources.source import Layer
from headstart.strategies.tuning.adapters import RATE
from headstart.strategies.tuning.discriminative import BN
from headstart.strategies.tuning.tuning import Stage, Tuning


@dataclass(frozen=True)
class Biases(Tuning):
    """BitFit: the bias of every linear, convolution and norm layer moves, every weight stays.

    Args:
        lr_scale: > 0, default 10: rate of the biases over that of full fine-tuning.
        bn: ``"frozen"`` (default: batch norms keep the source's statistics, which fit the weights that stay) or ``"adapt"``.

    Raises:
        RecipeError: values outside these.
    """

    lr_scale: float = RATE
    bn: str = "frozen"

    only: ClassVar[str] = "bias"
    has: ClassVar[str] = "biases"
    words: ClassVar[str] = "biases trained (BitFit)"

    def __post_init__(self) -> None:
        if self.lr_scale <= 0:
            raise RecipeError(sentence("argument 'lr_scale' is out of range", got=self.lr_scale, allowed="above 0"))
        if self.bn not in BN:
            raise RecipeError(sentence("unknown value of the argument 'bn'", got=self.bn, allowed=list(BN)))

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset({self.has, *(["batch_norms"] if self.bn != type(self).bn else [])})

    def stages(self, layers: Sequence[Layer]) -> list[Stage]:
        return [Stage(layer, True, self.lr_scale, only=self.only, bn=self.bn) for layer in layers]

    def describe(self) -> str:
        bn = "" if self.bn == type(self).bn else ", batch norms adapt"
        return f"{self.words} at {self.lr_scale:g} times the rate{bn}"
