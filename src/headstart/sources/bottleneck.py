"""New layers between a backbone, or rows of features, and the head."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from headstart.sources.source import Layer


@dataclass
class Network:
    """A backbone as the loop takes it.

    Attributes:
        backbone: inputs -> (B, width).
        layers: from the input to the output.
        width: of what the head reads.
        pretrained: whether any of it carries a source's weights.
    """

    backbone: nn.Module
    layers: list[Layer]
    width: int
    pretrained: bool


def bottleneck(width: int, hidden: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    """Linear, batch norm, ReLU and dropout for each of ``hidden``: (B, width) -> (B, hidden[-1])."""
    parts: list[nn.Module] = []
    for size in hidden:
        parts += [nn.Linear(width, size), nn.BatchNorm1d(size), nn.ReLU(), nn.Dropout(dropout)]
        width = size
    return nn.Sequential(*parts)


def on_rows(width: int, hidden: Sequence[int], dropout: float = 0.0) -> Network:
    """A network on rows of ``width`` features: the bottleneck alone, with random weights."""
    body = bottleneck(width, hidden, dropout)
    layers = [Layer(f"hidden{i + 1}", (str(4 * i), str(4 * i + 1))) for i in range(len(hidden))]
    return Network(body, layers, hidden[-1], pretrained=False)


def on_backbone(
    backbone: nn.Module, layers: Sequence[Layer], width: int, hidden: Sequence[int], dropout: float = 0.0
) -> Network:
    """A pretrained backbone with the bottleneck behind it, which learns at the head's rate."""
    body = nn.Sequential(OrderedDict(backbone=backbone, bottleneck=bottleneck(width, hidden, dropout)))
    old = [Layer(layer.name, tuple(f"backbone.{name}" for name in layer.modules)) for layer in layers]
    return Network(body, [*old, Layer("bottleneck", ("bottleneck",), fresh=True)], hidden[-1], pretrained=True)
