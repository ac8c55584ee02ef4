"""Stochastic normalisation: batch norms that sometimes trust the moving statistics (Kou, You, Long, Wang, NeurIPS 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from headstart.errors import HandshakeError, sentence
from headstart.functional.stochnorm import drawn_channels
from headstart.strategies.terms.checks import check_argument
from headstart.strategies.terms.term import Start, Term
from headstart.strategies.tuning.tuning import in_train_mode


@dataclass(frozen=True)
class StochNorm(Term):
    """Each channel of each batch norm is normalised by the moving statistics with chance ``p``, else by the batch's.

    Small batches have noisy statistics, and a pretrained network has good moving ones: drawing between them regularises
    (:func:`headstart.functional.stochnorm.drawn_channels`). The moving statistics are those from before this batch, and
    follow it afterwards as in any batch norm. Evaluation is that of a batch norm, the parameters and buffers are
    those of one under the same names, and after training the modules are plain again. It adds nothing to the loss, so
    that the log has no column for it.

    Args:
        p: in (0, 1], default 0.5 (the paper's); 1 trains on the moving statistics alone.

    Raises:
        RecipeError: ``p`` out of range (0 would be the plain batch norm).
        HandshakeError: from :meth:`bind`, where no batch norm trains.
    """

    weight: float = 1.0
    p: float = 0.5

    name = "stochnorm"
    needs = frozenset({"trainable_backbone", "pretrained_backbone"})

    def __post_init__(self) -> None:
        check_argument(self.name, "p", self.p, 0 < self.p <= 1, "more than 0, at most 1")

    def rewire(self, backbone: nn.Module) -> None:
        for module in backbone.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
                module.__class__ = _stochastic(type(module))  # type: ignore[assignment]
                module.p = self.p  # type: ignore[assignment]

    def restore(self, backbone: nn.Module) -> None:
        for module in backbone.modules():
            if isinstance(module, _Stochastic):
                module.__class__ = module.plain  # type: ignore[assignment]
                del module.p

    def bind(self, start: Start) -> None:
        if not any(isinstance(m, _Stochastic) for _, m in in_train_mode(start.model.backbone, start.stages)):
            raise HandshakeError(
                sentence(
                    "term 'stochnorm' draws between the two statistics of batch norms in training, but this backbone has "
                    "none that trains on its batches, so it cannot act",
                    fix="leave it out, or a source with batch norms and a tuning with bn=adapt",
                )
            )

    def describe(self) -> str:
        return f"stochastic normalisation (p {self.p:g})"


class _Stochastic(nn.Module):
    """Put before the class of a batch norm; ``plain`` is that class."""

    plain: type[nn.Module]
    p: float

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(x)  # type: ignore[misc]
        self.training = False
        try:
            by_moving = super().forward(x)  # type: ignore[misc]
        finally:
            self.training = True
        return drawn_channels(super().forward(x), by_moving, self.p)  # type: ignore[misc]


_CLASSES: dict[type[nn.Module], type[nn.Module]] = {}


def _stochastic(plain: type[nn.Module]) -> type[nn.Module]:
    if plain not in _CLASSES:
        _CLASSES[plain] = type(f"Stochastic{plain.__name__}", (_Stochastic, plain), {"plain": plain})
    return _CLASSES[plain]
