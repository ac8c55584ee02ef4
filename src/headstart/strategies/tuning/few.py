"""What tunings share that move few parameters beside weights that stay: a rate of their own, and how batch norms behave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from headstart.sources.source import Layer
from headstart.strategies.tuning.adapters import RATE
from headstart.strategies.tuning.tuning import Stage, Tuning

BN = ("adapt", "frozen")


@dataclass(frozen=True, kw_only=True)
class Few(Tuning):
    """Arguments of a tuning that moves ``only`` one kind of parameters, in every layer.

    Args:
        lr_scale: > 0, default 10: their rate over that of full fine-tuning.
        bn: ``"frozen"`` (default: batch norms keep the source's statistics, which fit the weights that stay) or ``"adapt"``.
    """

    lr_scale: float = RATE
    bn: str = "frozen"

    only: ClassVar[str] = "adapter"

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset({"batch_norms"}) if self.bn != Few.bn else frozenset()

    def stages(self, layers: Sequence[Layer]) -> list[Stage]:
        return [Stage(layer, True, self.lr_scale, only=self.only, bn=self.bn) for layer in layers]

    def words(self) -> str:
        """The rate, and what differs from the default, for :meth:`describe`."""
        return f"at {self.lr_scale:g} times the rate{'' if self.bn == Few.bn else ', batch norms adapt'}"
