"""Which parameters move: a tuning turns the layers of a backbone into stages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from headstart.sources.source import Layer


@dataclass(frozen=True)
class Stage:
    """One layer of the backbone and how it is trained.

    Attributes:
        layer: its name and modules.
        trainable: whether its parameters move. A layer that does not is in eval mode: its batch norms keep the
            source's statistics.
        lr_scale: factor on the learning rate of the backbone.
    """

    layer: Layer
    trainable: bool
    lr_scale: float = 1.0


class Tuning(ABC):
    """Which parameters of the backbone move. The head always does."""

    @abstractmethod
    def stages(self, layers: Sequence[Layer]) -> list[Stage]:
        """One stage a layer, from the input to the output."""

    @abstractmethod
    def describe(self) -> str:
        """A few words for tables."""


def set_trainable(backbone: nn.Module, stages: Sequence[Stage]) -> None:
    """Set ``requires_grad`` of every parameter by its stage."""
    for stage in stages:
        for name in stage.layer.modules:
            part(backbone, name).requires_grad_(stage.trainable)


def frozen_to_eval(backbone: nn.Module, stages: Sequence[Stage]) -> None:
    """Put the frozen layers in eval mode; to be called after each ``model.train()`` (batch norm, dropout)."""
    for stage in stages:
        if not stage.trainable:
            for name in stage.layer.modules:
                module = part(backbone, name)
                if isinstance(module, nn.Module):
                    module.eval()


def part(backbone: nn.Module, name: str) -> nn.Module | nn.Parameter:
    """A module, or a bare parameter such as a class token, by its dotted name."""
    if not name:
        return backbone
    parent, _, last = name.rpartition(".")
    owner = backbone.get_submodule(parent) if parent else backbone
    return getattr(owner, last)
