"""BitFit (Ben Zaken, Goldberg, Ravfogel, ACL 2022): only the biases move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from headstart.errors import RecipeError, sentence
from headstart.strategies.tuning.few import BN, Few


@dataclass(frozen=True)
class Biases(Few):
    """BitFit: the bias of every linear, convolution and norm layer moves, every weight stays.

    Args:
        lr_scale: > 0, default 10: rate of the biases over that of full fine-tuning.
        bn: ``"frozen"`` (default: batch norms keep the source's statistics, which fit the weights that stay) or ``"adapt"``.

    Raises:
        RecipeError: values outside these.
    """

    only: ClassVar[str] = "bias"
    has: ClassVar[str] = "biases"
    what: ClassVar[str] = "biases trained (BitFit)"

    def __post_init__(self) -> None:
        if self.lr_scale <= 0:
            raise RecipeError(sentence("argument 'lr_scale' is out of range", got=self.lr_scale, allowed="above 0"))
        if self.bn not in BN:
            raise RecipeError(sentence("unknown value of the argument 'bn'", got=self.bn, allowed=list(BN)))

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        return super().needs | {self.has}

    def describe(self) -> str:
        return f"{self.what} {self.words()}"
