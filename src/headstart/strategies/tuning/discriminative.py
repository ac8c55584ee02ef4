"""What tunings that move whole layers share: rates that fall with depth, and how batch norms behave."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.errors import HandshakeError, RecipeError, sentence
from headstart.strategies.tuning.tuning import Stage, Tuning

BN = ("auto", "adapt", "frozen")


@dataclass(frozen=True, kw_only=True)
class Discriminative(Tuning):
    """Arguments of a tuning with discriminative learning rates (Howard and Ruder 2018).

    The backbone's layer ``i`` of ``L``, counted from 0 at the input, has the rate ``lr * layer_decay**(L - 1 - i)``: the
    last one moves at ``lr``, the one before it at ``layer_decay`` times that, and so on.

    Args:
        layer_decay: in (0, 1], default 1 (one rate for all).
        bn: ``"adapt"`` (batch norms follow the target's statistics), ``"frozen"`` (they keep the source's) or ``"auto"``, the
            default: frozen after a head that was solved first, since it was solved on features under the source's statistics,
            else adapt.

    Raises:
        RecipeError: values outside these.
    """

    layer_decay: float = 1.0
    bn: str = "auto"

    def __post_init__(self) -> None:
        if not 0 < self.layer_decay <= 1:
            raise RecipeError(
                sentence("argument 'layer_decay' is out of range", got=self.layer_decay, allowed="above 0, up to 1")
            )
        if self.bn not in BN:
            raise RecipeError(sentence("unknown value of the argument 'bn'", got=self.bn, allowed=list(BN)))

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset({"batch_norms"}) if self.bn != "auto" else frozenset()

    def checked(self, stages: list[Stage]) -> list[Stage]:
        """The stages as they are.

        Raises:
            HandshakeError: rates shall fall with depth, but one layer alone moves.
        """
        if self.layer_decay != 1 and sum(stage.trainable for stage in stages) < 2:
            raise HandshakeError(
                sentence(
                    "one layer alone moves, so that layer_decay would do nothing", got=self.layer_decay,
                    fix="leave it out, or --strategy 'finetune(layer_decay=0.75)'",
                )
            )  # fmt: skip
        return stages

    def scale(self, i: int, count: int) -> float:
        """The factor on the rate of layer ``i`` of ``count``."""
        return self.layer_decay ** (count - 1 - i)

    def words(self) -> str:
        """What differs from the defaults, for :meth:`describe`."""
        decay = f", learning rates falling by {self.layer_decay:g} a layer" if self.layer_decay != 1 else ""
        return decay + {
            "frozen": ", batch norms keep the source's statistics", "adapt": ", batch norms follow the target", "auto": ""
        }[self.bn]  # fmt: skip
