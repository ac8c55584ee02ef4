"""Only the norm layers move (Frankle, Schwab, Morcos, *Training BatchNorm and Only BatchNorm*, ICLR 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from headstart.strategies.tuning.biases import Biases


@dataclass(frozen=True)
class Norms(Biases):
    """Scale and shift of every norm layer move (batch, layer, group and instance norms); arguments as for BitFit."""

    only: ClassVar[str] = "norm"
    has: ClassVar[str] = "norms"
    what: ClassVar[str] = "norm layers trained"
